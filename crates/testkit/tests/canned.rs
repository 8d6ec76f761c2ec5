//! Peers that are not Redis behave as badly as they should.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cenote_testkit::{Answer, Canned, blackhole_addr, dead_port};

fn connect(peer: &Canned) -> TcpStream {
    let stream = TcpStream::connect(peer.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn a_canned_reply_answers_the_first_bytes_of_every_connection() {
    let peer = Canned::replying(*b"$2147483648\r\n");
    for _ in 0..2 {
        let mut stream = connect(&peer);
        stream.write_all(b"PING\r\n").unwrap();
        let mut reply = [0; 13];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"$2147483648\r\n");
        stream.write_all(b"PING\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(stream.read(&mut reply).is_err());
    }
    assert_eq!(peer.accepted(), 2);
}

#[test]
fn a_web_server_says_bad_request_and_closes() {
    let peer = Canned::http();
    let mut stream = connect(&peer);
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n") && text.ends_with("</html>"), "{text}");
}

#[test]
fn a_script_sees_each_turn() {
    let peer = Canned::answering(|turn, bytes| match turn {
        0 if bytes == b"HELLO" => Answer::Send(b"+OK\r\n".to_vec()),
        1 => Answer::SendAndClose(b"rubbish".to_vec()),
        _ => Answer::Close,
    });
    let mut stream = connect(&peer);
    stream.write_all(b"HELLO").unwrap();
    let mut ok = [0; 5];
    stream.read_exact(&mut ok).unwrap();
    stream.write_all(b"GET k").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"rubbish");
}

#[test]
fn a_dead_port_refuses() {
    let (one, other) = (dead_port(), dead_port());
    assert_ne!(one, other);
    for _ in 0..100 {
        assert_eq!(TcpStream::connect(one).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_blackhole_lets_connects_hang() {
    let hole = blackhole_addr();
    for _ in 0..3 {
        let error = TcpStream::connect_timeout(&hole.addr(), Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    let addr = hole.addr();
    drop(hole);
    assert!(TcpStream::connect_timeout(&addr, Duration::from_secs(5)).is_err());
}
