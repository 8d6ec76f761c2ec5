//! The fault proxy before a real server, seen by a client that is nothing but a socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cenote_testkit::{Proxy, Server};

const SOON: Duration = Duration::from_millis(80);
const LIMIT: Duration = Duration::from_secs(20);

struct Client(TcpStream);

impl Client {
    fn new(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self(stream)
    }

    fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> Result<String, ErrorKind> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            match self.0.read(&mut byte) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof),
                Ok(_) => line.push(byte[0]),
                Err(error) => return Err(error.kind()),
            }
        }
        Ok(String::from_utf8(line).unwrap().trim_end().to_owned())
    }

    fn ask(&mut self, line: &str) -> Result<String, ErrorKind> {
        self.send(line);
        self.line()
    }

    fn expect_silence(&mut self) {
        self.0.set_read_timeout(Some(SOON)).unwrap();
        let kind = self.line().unwrap_err();
        assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
        self.0.set_read_timeout(Some(LIMIT)).unwrap();
    }
}

/// For what happens on another thread and is only seen from here.
fn eventually(mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < give_up, "it did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn both() -> (Server, Proxy) {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    (server, proxy)
}

#[test]
fn it_forwards_and_counts() {
    let (_server, proxy) = both();
    let mut clients: Vec<_> = (0..3).map(|_| Client::new(proxy.addr())).collect();
    for client in &mut clients {
        assert_eq!(client.ask("PING").unwrap(), "+PONG");
    }
    assert_eq!((proxy.accepted(), proxy.open()), (3, 3));
    clients.pop();
    eventually(|| proxy.open() == 2);
    assert_eq!((proxy.held_requests(), proxy.held_replies()), (0, 0));
}

#[test]
fn large_values_pass_both_ways() {
    let (server, proxy) = both();
    let value = "x".repeat(8 << 20);
    let mut connection = redis::Client::open(proxy.url()).unwrap().get_connection().unwrap();
    redis::cmd("SET").arg("k").arg(&value).exec(&mut connection).unwrap();
    assert_eq!(redis::cmd("GET").arg("k").query::<String>(&mut connection).unwrap(), value);
    assert_eq!(server.observer().get::<usize>(&["STRLEN", "k"]), value.len());
}

#[test]
fn its_url_carries_the_password() {
    let server = Server::builder().password("s3cret").start();
    let proxy = Proxy::to(&server);
    let mut connection = redis::Client::open(proxy.url()).unwrap().get_connection().unwrap();
    redis::cmd("PING").exec(&mut connection).unwrap();
}

#[test]
fn a_cut_resets_everything_and_new_connections_pass() {
    let (server, proxy) = both();
    for _ in 0..20 {
        let mut answered = Client::new(proxy.addr());
        answered.ask("PING").unwrap();
        let mut fresh = Client::new(proxy.addr());
        proxy.cut();
        assert_eq!(proxy.open(), 0);
        assert_eq!(answered.line(), Err(ErrorKind::ConnectionReset));
        assert_eq!(fresh.line(), Err(ErrorKind::ConnectionReset));
        assert_eq!(Client::new(proxy.addr()).ask("PING").unwrap(), "+PONG");
    }
    eventually(|| server.observer().client_count() == 0);
}

#[test]
fn a_cut_loses_what_was_held() {
    let (server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    client.ask("PING").unwrap();
    proxy.stall_requests();
    client.send("SET k v");
    eventually(|| proxy.held_requests() > 0);
    proxy.cut();
    proxy.release();
    eventually(|| server.observer().client_count() == 0);
    assert_eq!((server.observer().calls("set"), proxy.held_requests()), (0, 0));
}

#[test]
fn a_stalled_write_reaches_the_server_after_its_client_has_gone() {
    for reset_by_proxy in [false, true] {
        let (server, proxy) = both();
        let observer = server.observer();
        let mut client = Client::new(proxy.addr());
        client.ask("PING").unwrap();

        proxy.stall_requests();
        client.send("SET k late");
        eventually(|| proxy.held_requests() == "SET k late\r\n".len());
        if reset_by_proxy {
            proxy.cut_clients();
            assert_eq!(client.line(), Err(ErrorKind::ConnectionReset));
        } else {
            socket2::SockRef::from(&client.0).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
        }
        eventually(|| proxy.open() == 0);
        assert_eq!((observer.calls("set"), observer.client_count()), (0, 1));

        proxy.release();
        eventually(|| observer.calls("set") == 1);
        assert_eq!(observer.get::<String>(&["GET", "k"]), "late");
        eventually(|| observer.client_count() == 0);
    }
}

#[test]
fn a_stalled_reply_comes_at_release() {
    let (server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    client.ask("PING").unwrap();
    proxy.stall_replies();
    client.send("INCR n");
    eventually(|| server.observer().calls("incr") == 1);
    client.expect_silence();
    client.send("INCR n");
    eventually(|| proxy.held_replies() == 8);
    proxy.release();
    assert_eq!((client.line().unwrap(), client.line().unwrap()), (":1".into(), ":2".into()));
}

#[test]
fn pass_ends_a_stall_too() {
    let (_server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    proxy.stall_requests();
    client.send("PING");
    client.expect_silence();
    proxy.pass();
    assert_eq!(client.line().unwrap(), "+PONG");
}

#[test]
fn a_blackhole_swallows_old_and_new_connections() {
    let (server, proxy) = both();
    let mut old = Client::new(proxy.addr());
    old.ask("PING").unwrap();
    proxy.blackhole(true);
    let mut new = Client::new(proxy.addr());
    let mut silent = Client::new(proxy.addr());
    old.send("SET k v");
    new.send("SET k v");
    old.expect_silence();
    new.expect_silence();
    assert_eq!((proxy.open(), server.observer().client_count()), (3, 1));

    proxy.blackhole(false);
    old.send("GET k");
    assert_eq!(old.line(), Err(ErrorKind::ConnectionReset), "no reply to another request than the lost one");
    assert_eq!(new.line(), Err(ErrorKind::ConnectionReset));
    assert_eq!(silent.ask("PING").unwrap(), "+PONG");
    assert_eq!(server.observer().calls("set"), 0);
}

#[test]
fn a_blackholed_connection_can_be_cut() {
    let (_server, proxy) = both();
    proxy.blackhole(true);
    let mut client = Client::new(proxy.addr());
    client.send("PING");
    proxy.cut();
    assert_eq!(client.line(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn connections_can_be_refused_or_reset_after_the_accept() {
    let (server, proxy) = both();
    let mut old = Client::new(proxy.addr());
    old.ask("PING").unwrap();

    proxy.refuse_after_accept(true);
    assert_eq!(Client::new(proxy.addr()).line(), Err(ErrorKind::UnexpectedEof));
    proxy.refuse_after_accept(false);

    proxy.reset_on_accept(true);
    assert_eq!(Client::new(proxy.addr()).line(), Err(ErrorKind::ConnectionReset));
    proxy.reset_on_accept(false);

    assert_eq!(server.observer().client_count(), 1);
    assert_eq!(old.ask("PING").unwrap(), "+PONG");
    assert_eq!(Client::new(proxy.addr()).ask("PING").unwrap(), "+PONG");
    assert_eq!(proxy.accepted(), 4);
}

#[test]
fn delays_keep_the_order_and_the_throughput() {
    let (_server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    let delay = Duration::from_millis(60);
    proxy.delay_requests(delay);
    proxy.delay_replies(delay);
    let start = Instant::now();
    assert_eq!(client.ask("INCR n").unwrap(), ":1");
    assert!(start.elapsed() >= 2 * delay);

    let start = Instant::now();
    for _ in 0..50 {
        client.send("INCR n");
        std::thread::yield_now();
    }
    for n in 2..=51 {
        assert_eq!(client.line().unwrap(), format!(":{n}"));
    }
    assert!(start.elapsed() < 25 * delay, "the delays added up: {:?}", start.elapsed());
}

#[test]
fn one_byte_at_a_time_changes_nothing_but_the_pieces() {
    let (_server, proxy) = both();
    proxy.one_byte_at_a_time(true);
    let mut client = Client::new(proxy.addr());
    // A reader that is given the processor rarely finds the bytes together again; then another round shows it.
    eventually(|| {
        for _ in 0..20 {
            client.send("ECHO 0123456789abcdef");
        }
        let mut pieces = 0;
        let mut received = Vec::new();
        while received.len() < 20 * "$16\r\n0123456789abcdef\r\n".len() {
            let mut buffer = [0; 4096];
            let count = client.0.read(&mut buffer).unwrap();
            received.extend_from_slice(&buffer[..count]);
            pieces += 1;
        }
        assert_eq!(received, b"$16\r\n0123456789abcdef\r\n".repeat(20));
        pieces > 20
    });
}

#[test]
fn a_truncated_reply_ends_where_it_was_told() {
    let (_server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    client.ask("PING").unwrap();
    proxy.truncate_reply_after(7 + 3);
    client.send("PING");
    client.send("PING");
    let mut received = Vec::new();
    client.0.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"+PONG\r\n+PO");
    drop(client);
    assert_eq!(Client::new(proxy.addr()).ask("PING").unwrap(), "+PONG");
    eventually(|| proxy.open() == 0);
}

#[test]
fn the_next_reply_is_cut_after_the_server_has_acted() {
    let (server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    client.ask("PING").unwrap();
    proxy.cut_next_reply();
    assert_eq!(client.ask("INCR n"), Err(ErrorKind::ConnectionReset));
    assert_eq!(server.observer().get::<i64>(&["GET", "n"]), 1);
    assert_eq!(Client::new(proxy.addr()).ask("INCR n").unwrap(), ":2");
}

#[test]
fn a_dead_upstream_resets_and_another_can_be_named() {
    let (server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    client.ask("PING").unwrap();
    server.kill();
    assert!(matches!(client.line(), Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)));
    assert_eq!(Client::new(proxy.addr()).line(), Err(ErrorKind::ConnectionReset));

    let other = Server::start();
    proxy.set_upstream(other.addr());
    assert_eq!(Client::new(proxy.addr()).ask("PING").unwrap(), "+PONG");
}

#[cfg(unix)]
#[test]
fn a_frozen_upstream_answers_through_the_proxy_when_thawed() {
    let (server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    client.ask("PING").unwrap();
    server.freeze();
    client.send("PING");
    client.expect_silence();
    server.thaw();
    assert_eq!(client.line().unwrap(), "+PONG");
}

#[test]
fn dropping_the_proxy_ends_its_connections() {
    let (server, proxy) = both();
    let mut client = Client::new(proxy.addr());
    client.ask("PING").unwrap();
    let addr = proxy.addr();
    drop(proxy);
    assert!(client.line().is_err());
    assert!(TcpStream::connect(addr).is_err());
    eventually(|| server.observer().client_count() == 0);
}
