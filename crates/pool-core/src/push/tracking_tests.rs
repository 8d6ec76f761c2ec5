//! What becomes of those who track when the server will not.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::event::Event;
use super::fake::{drain, error, settle, topic};
use super::machine::Machine;
use super::queue::Queue;
use super::tests::{BOUNDS, answered, connected};
use super::topics::Kind;
use crate::error::Error;

fn tracker(machine: &mut Machine, prefix: &str) -> (Arc<Queue>, oneshot::Receiver<Result<(), Error>>) {
    let (queue, (ack, receiver)) = (Arc::new(Queue::new(BOUNDS)), oneshot::channel());
    machine.join(&topic(Kind::Prefix, prefix), &queue, Some(ack));
    (queue, receiver)
}

#[test]
fn a_server_too_busy_to_track_more_goes_on_tracking_what_it_did() {
    let (mut machine, mut server, mut wakes) = connected();
    let (had, _ack) = tracker(&mut machine, "user:");
    settle(&mut machine, &mut server, &mut wakes);
    let (_wants, mut asked) = tracker(&mut machine, "");
    let busy = || error("BUSY Redis is busy running a script");
    answered(&mut machine, vec![busy(), busy()], &mut wakes).unwrap();
    assert!(matches!(asked.try_recv(), Ok(Err(_))));
    assert!(drain(&had).is_empty(), "nothing was taken from who had it");
    let (_again, mut asked) = tracker(&mut machine, "user:admin:");
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(asked.try_recv(), Ok(Ok(()))), "the server still has what covers it");
}

#[test]
fn tracking_that_ended_and_could_not_begin_anew_is_told_or_begun_on_another_connection() {
    for (reason, is_final) in [("NOPERM not you", true), ("BUSY script", false)] {
        let (mut machine, mut server, mut wakes) = connected();
        let (had, _ack) = tracker(&mut machine, "user:");
        settle(&mut machine, &mut server, &mut wakes);
        let _wants = tracker(&mut machine, "");
        let outcome = answered(&mut machine, vec![redis::Value::Okay, error(reason)], &mut wakes);
        assert_eq!(outcome.is_ok(), is_final, "{reason}");
        assert_eq!(matches!(drain(&had)[..], [Event::Refused(_)]), is_final, "{reason}");
    }
}

#[test]
fn whoever_comes_while_others_are_refused_has_its_own_turn() {
    for reason in ["NOPERM not you", "BUSY script"] {
        let (mut machine, mut server, mut wakes) = connected();
        let _had = tracker(&mut machine, "user:");
        settle(&mut machine, &mut server, &mut wakes);
        let (_flags, mut refused) = tracker(&mut machine, "flags:");
        machine.next_command(Instant::now(), &mut Vec::new(), &mut wakes);
        let moved = Arc::new(Queue::new(BOUNDS));
        machine.join(&topic(Kind::Prefix, "user:admin:"), &moved, None);
        let (_other, mut later) = tracker(&mut machine, "other:");
        machine.accept(error(reason), &mut wakes).unwrap();
        settle(&mut machine, &mut server, &mut wakes);
        assert!(matches!(refused.try_recv(), Ok(Err(_))), "{reason}");
        assert!(matches!(drain(&moved)[..], [Event::Gap]), "{reason}");
        assert!(matches!(later.try_recv(), Ok(Ok(()))), "{reason}");
    }
}

#[test]
fn a_server_that_would_not_stop_tracking_is_still_known_to_track() {
    let (mut machine, mut server, mut wakes) = connected();
    let (had, _ack) = tracker(&mut machine, "user:");
    settle(&mut machine, &mut server, &mut wakes);
    machine.leave(&topic(Kind::Prefix, "user:"), &had, &mut wakes);
    machine.next_command(Instant::now(), &mut Vec::new(), &mut wakes);
    let (_again, mut asked) = tracker(&mut machine, "user:");
    machine.accept(error("BUSY script"), &mut wakes).unwrap();
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(asked.try_recv(), Ok(Ok(()))));
}

#[test]
fn after_tracking_could_not_begin_anew_it_is_asked_for_again() {
    let (mut machine, mut server, mut wakes) = connected();
    let _had = tracker(&mut machine, "user:");
    settle(&mut machine, &mut server, &mut wakes);
    let _wants = tracker(&mut machine, "");
    answered(&mut machine, vec![redis::Value::Okay, error("NOPERM not you")], &mut wakes).unwrap();
    let (_again, mut asked) = tracker(&mut machine, "user:");
    assert!(asked.try_recv().is_err(), "not from memory");
    server.prefixes.clear();
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(asked.try_recv(), Ok(Ok(()))) && server.prefixes.contains(&b"user:"[..]));
}
