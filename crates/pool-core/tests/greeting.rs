//! What a connection says of itself costs it no round trip, and does no harm where a server does not know of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cenote_pool_core::{Pool, PoolBuilder, State};
use cenote_testkit::{Answer, Canned, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Knows `HELLO`, and not that clients tell of their library.
    Grown,
    /// Knows neither.
    Old,
}

/// Notes what comes in one piece, and answers it whole.
struct Peer {
    canned: Canned,
    pieces: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Peer {
    fn of(age: Age) -> Self {
        let pieces: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
        let seen = pieces.clone();
        let canned = Canned::answering(move |_, bytes| {
            let piece = commands(bytes);
            let replies: String = piece.iter().map(|command| reply(age, command)).collect();
            seen.lock().unwrap().push(piece);
            Answer::Send(replies.into_bytes())
        });
        Self { canned, pieces }
    }

    fn pool(&self) -> PoolBuilder {
        Pool::builder().url(self.canned.url()).shared_connections(1)
    }

    /// Since it was last asked.
    fn pieces(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.pieces.lock().unwrap())
    }
}

/// Each in one text. No word of a greeting looks like the length of another.
fn commands(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let words = |command: &str| {
        let words: Vec<_> = command.split("\r\n").skip(1).filter(|word| !word.starts_with('$')).collect();
        words.join(" ").trim_end().to_owned()
    };
    text.split('*').skip(1).map(words).collect()
}

fn reply(age: Age, command: &str) -> String {
    let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let word = command.split(' ').next().unwrap_or_default();
    match (word, age) {
        ("HELLO", Age::Grown) => {
            "%2\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$4\r\nrole\r\n$6\r\nmaster\r\n".to_owned()
        }
        ("HELLO" | "RESET", Age::Old) => {
            format!("-ERR unknown command '{word}', with args beginning with: \r\n")
        }
        ("CLIENT", _) if command.contains("SETINFO") => {
            "-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n".to_owned()
        }
        ("INFO", _) => text("run_id:1\r\nrole:master\r\n"),
        ("GET", _) => text("v"),
        ("PING", _) => "+PONG\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    }
}

async fn pieces_of_a_call(age: Age, named: impl Fn(PoolBuilder) -> PoolBuilder) -> Vec<Vec<String>> {
    let peer = Peer::of(age);
    let pool = named(peer.pool()).build().unwrap();
    let value: String = within(SOON, pool.conn().get("k")).await.unwrap();
    assert_eq!(value, "v");
    let status = pool.status();
    assert_eq!((pool.state(), status.reconnects, status.last_error), (State::Ready, 0, None));
    assert_eq!(peer.canned.accepted(), 1);
    peer.pieces()
}

#[tokio::test]
async fn a_name_costs_no_round_trip_and_a_server_that_knows_no_library_lets_it_in() {
    for (age, greetings) in [(Age::Grown, 1), (Age::Old, 2)] {
        let nameless = pieces_of_a_call(age, |pool| pool).await;
        let named = pieces_of_a_call(age, |pool| pool.client_name("shop-1")).await;
        assert_eq!((nameless.len(), named.len()), (greetings + 1, greetings + 1), "{nameless:?}\n{named:?}");
        assert!(!nameless.concat().iter().any(|command| command.starts_with("CLIENT")), "{nameless:?}");
        let greeting = &named[greetings - 1];
        let library = format!("CLIENT SETINFO LIB-VER {}", env!("CARGO_PKG_VERSION"));
        for said in ["CLIENT SETNAME shop-1", "CLIENT SETINFO LIB-NAME cenote", &library] {
            assert_eq!(greeting.iter().filter(|command| *command == said).count(), 1, "{said}: {greeting:?}");
        }
        assert_eq!(named.last().unwrap(), &["GET k"]);
    }
}

#[tokio::test]
async fn a_connection_that_was_changed_is_named_again_in_the_one_round_trip_of_its_reset_and_not_replaced() {
    let peer = Peer::of(Age::Grown);
    let pool = peer.pool().client_name("shop-1").build().unwrap();
    for _ in 0..3 {
        let mut held = within(SOON, pool.dedicated()).await.unwrap();
        redis::cmd("SELECT").arg(1).exec_async(&mut held).await.unwrap();
        drop(held);
        peer.pieces();
        drop(within(SOON, pool.dedicated()).await.unwrap());
        let pieces = peer.pieces();
        assert_eq!(pieces.len(), 1, "{pieces:?}");
        assert_eq!(pieces[0][0], "RESET");
        assert!(pieces[0].iter().any(|command| command == "CLIENT SETNAME shop-1"), "{pieces:?}");
    }
    assert_eq!(peer.canned.accepted(), 1);
    assert_eq!(pool.status().last_error, None);
}
