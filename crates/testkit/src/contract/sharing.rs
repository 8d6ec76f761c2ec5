//! Several callers on clones of one connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use redis::aio::ConnectionLike;

use super::Keys;

/// What one clone writes another reads.
pub async fn clones_see_the_same_keys<C: ConnectionLike + Clone>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let mut other = conn.clone();
    let () = ask!(&mut other, "SET", &key, "v");
    let got: String = ask!(conn, "GET", &key);
    assert_eq!(got, "v");
}

/// None of many increments at once is lost.
pub async fn concurrent_increments_are_all_counted<C: ConnectionLike + Clone>(conn: &mut C, keys: &Keys) {
    let key = keys.key("n");
    let increments = (0..200).map(|_| {
        let (mut conn, key) = (conn.clone(), key.clone());
        async move {
            let count: i64 = ask!(&mut conn, "INCR", &key);
            count
        }
    });
    let mut counts = all(increments).await;
    counts.sort_unstable();
    assert!(counts.into_iter().eq(1..=200));
}

/// Each of many callers at once gets the reply to what it asked.
pub async fn each_clone_gets_its_own_replies<C: ConnectionLike + Clone>(conn: &mut C, keys: &Keys) {
    let callers = (0..100).map(|caller| {
        let (mut conn, key) = (conn.clone(), keys.key(&caller.to_string()));
        async move {
            for turn in 0..20 {
                let value = format!("{caller}.{turn}");
                let () = ask!(&mut conn, "SET", &key, &value);
                let got: String = ask!(&mut conn, "GET", &key);
                assert_eq!(got, value);
            }
        }
    });
    all(callers).await;
}

/// A call that is given up after it was started leaves its reply to nobody.
pub async fn a_dropped_call_does_not_shift_replies<C: ConnectionLike + Clone>(conn: &mut C, keys: &Keys) {
    for turn in 0..50 {
        let key = keys.key(&format!("k{turn}"));
        let () = ask!(conn, "SET", &key, turn);
        {
            let mut dropped = conn.clone();
            let cmd = redis::cmd("ECHO").arg("not for you").to_owned();
            let mut call = pin!(cmd.query_async::<String>(&mut dropped));
            poll_fn(|cx| {
                let _ = call.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
        }
        let got: i64 = ask!(conn, "GET", &key);
        assert_eq!(got, turn);
    }
}

/// Runs them all at once, on this task.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut outputs = Vec::new();
    poll_fn(|cx| {
        futures.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            Poll::Pending => true,
        });
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs
}
