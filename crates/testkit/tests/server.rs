//! A real server does what the kit says it does.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use cenote_testkit::Server;
use redis::Value;

#[test]
fn it_answers_where_its_url_says() {
    let server = Server::start();
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}/0", server.port()));
    assert_eq!(server.url(), server.url_without_password());

    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    assert_eq!(redis::cmd("PING").query::<String>(&mut connection).unwrap(), "PONG");
    assert_eq!(server.observer().info("process_id"), server.pid().to_string());
}

#[test]
fn a_password_is_asked_for_and_is_in_the_url() {
    let server = Server::builder().password(r#"p@ss "w\ord/%"#).start();
    assert_eq!(server.observer().get::<String>(&["PING"]), "PONG");

    let stranger = redis::Client::open(server.url_without_password()).unwrap();
    let refused = stranger.get_connection().and_then(|mut conn| redis::cmd("PING").query::<()>(&mut conn));
    assert_eq!(refused.unwrap_err().code(), Some("NOAUTH"));
}

#[cfg(unix)]
#[test]
fn a_unix_socket_serves_with_and_without_a_password() {
    for server in
        [Server::builder().unix_socket().start(), Server::builder().unix_socket().password("a&b c").start()]
    {
        assert!(server.url().starts_with("unix:///"));
        assert_eq!(server.observer().info("tcp_port"), "0");
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        redis::cmd("SET").arg("k").arg("v").exec(&mut connection).unwrap();
        server.restart();
        assert_eq!(server.observer().command(&["GET", "k"]).unwrap(), Value::Nil);
    }
}

#[test]
fn any_setting_can_be_given() {
    let server = Server::builder()
        .arg("maxclients", "12")
        .arg("notify-keyspace-events", "")
        .arg("user", "bob on >secret ~* +@all")
        .start();
    let observer = server.observer();
    assert_eq!(observer.get::<Vec<String>>(&["CONFIG", "GET", "maxclients"]), ["maxclients", "12"]);
    assert!(observer.get::<Vec<String>>(&["ACL", "USERS"]).contains(&"bob".to_owned()));
}

#[test]
#[should_panic(expected = "the server did not start")]
fn a_setting_that_the_server_refuses_is_reported() {
    Server::builder().arg("no-such-setting", "1").start();
}

#[test]
fn what_a_persistent_server_acknowledged_survives_kill() {
    let server = Server::builder().persistent().start();
    let (observer, port, pid) = (server.observer(), server.port(), server.pid());
    observer.get::<()>(&["SET", "k", "before"]);

    server.kill();
    assert!(!server.is_running());
    assert!(TcpStream::connect(server.addr()).is_err());
    assert!(observer.command(&["GET", "k"]).is_err());

    let before = Instant::now();
    let accepted = server.restart();
    assert!(accepted > before && accepted <= Instant::now());
    assert_eq!((server.port(), server.is_running()), (port, true));
    assert_ne!(server.pid(), pid);
    assert_eq!(observer.get::<String>(&["GET", "k"]), "before");
}

#[test]
fn a_server_without_persistence_comes_back_empty() {
    let server = Server::start();
    let observer = server.observer();
    observer.get::<()>(&["SET", "k", "v"]);
    server.restart();
    assert_eq!(observer.command(&["GET", "k"]).unwrap(), Value::Nil);
}

#[cfg(unix)]
#[test]
fn a_frozen_server_answers_nothing_until_it_is_thawed() {
    use std::io::{ErrorKind, Read, Write};

    let server = Server::start();
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    for _ in 0..3 {
        server.freeze();
        assert!(server.is_running());
        stream.write_all(b"PING\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let silence = stream.read(&mut [0; 16]).unwrap_err();
        assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));

        server.thaw();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+PONG\r\n");
    }
    server.freeze();
    server.kill();
    assert!(!server.is_running());
}

#[test]
fn an_observer_does_not_count_itself() {
    let server = Server::start();
    let (observer, other) = (server.observer(), server.observer());
    other.get::<()>(&["PING"]);
    assert_eq!((observer.client_count(), observer.client_ids().len()), (0, 0));

    let mut client = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let id: u64 = redis::cmd("CLIENT").arg("ID").query(&mut client).unwrap();
    assert_eq!(observer.client_ids(), [id]);

    observer.reset_stats();
    assert_eq!(observer.total_calls(), 0);
    redis::cmd("SET").arg("k").arg("v").exec(&mut client).unwrap();
    redis::cmd("GET").arg("k").exec(&mut client).unwrap();
    assert_eq!((observer.calls("SET"), observer.calls("get"), observer.total_calls()), (1, 1, 2));
}

#[test]
fn many_servers_start_at_once() {
    let starts: Vec<_> = (0..8).map(|_| std::thread::spawn(Server::start)).collect();
    let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    for server in &servers {
        assert_eq!(server.observer().info("process_id"), server.pid().to_string());
    }
}
