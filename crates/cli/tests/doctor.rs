//! `cenote doctor`: its first line tells the cause, and its exit code the kind of it.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use cenote_testkit::{Answer, Canned, Server, StandInSentinel, blackhole_addr, dead_port, eventually};
use serde_json::Value;

use common::{Ended, Running, SOON, assert_plain, cenote, ended};

fn doctor(url: &str, arguments: &[&str]) -> Ended {
    let ended = ended(&mut cenote(&[["doctor", "--url", url].as_slice(), arguments].concat()));
    assert_plain(&ended.out);
    assert_eq!(ended.err, "");
    ended
}

/// Looks, and holds the first line, the exit code, and which step is wrong in JSON to what is expected.
#[track_caller]
fn told(url: &str, code: i32, step: &str, first: &[&str]) -> Ended {
    let ended = doctor(url, &[]);
    assert_eq!(ended.code, Some(code), "{}", ended.out);
    let line = ended.out.lines().next().unwrap();
    for part in first {
        assert!(line.contains(part), "{part:?} is not in the first line: {}", ended.out);
    }
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
    let report = json(url);
    assert_eq!(report["exit"], code);
    let wrong = checks(&report).into_iter().find(|(_, verdict)| verdict == "wrong");
    assert_eq!(wrong.map(|(step, _)| step).as_deref(), Some(step), "{report:#}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
    ended
}

fn json(url: &str) -> Value {
    serde_json::from_str(&doctor(url, &["--json"]).out).unwrap()
}

fn checks(report: &Value) -> Vec<(String, String)> {
    let text = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    checks.map(|check| (text(check, "step"), text(check, "verdict"))).collect()
}

fn cache() -> cenote_testkit::ServerBuilder {
    Server::builder().arg("maxmemory", "100mb").arg("maxmemory-policy", "allkeys-lru")
}

const STEPS: [&str; 12] = [
    "dns", "tcp", "tls", "auth", "resp3", "database", "role", "latency", "clock", "memory", "disk", "pub/sub",
];

#[test]
fn a_good_server_is_well_in_every_step() {
    let server = cache().password("hunter2").start();
    let Ended { code, out, .. } = doctor(&server.url(), &[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(!out.contains("hunter2"), "{out}");
    let report = json(&server.url());
    let all: BTreeMap<_, _> = checks(&report).into_iter().collect();
    assert_eq!(all.len(), STEPS.len());
    for step in STEPS {
        // A machine that stops for a moment is slow.
        let is_fine = all[step] == "ok" || (step == "latency" || step == "clock") && all[step] == "warning";
        assert!(is_fine, "{step}: {report:#}");
    }
    let is_quick = all["latency"] == "ok" && all["clock"] == "ok";
    assert!(!is_quick || report["summary"].as_str().unwrap().ends_with("/0 is well"), "{report:#}");
    assert_eq!(server.observer().get::<i64>(&["DBSIZE"]), 0, "nothing was written");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_as_good_and_one_that_is_not_there_is_told() {
    let server = cache().unix_socket().start();
    assert_eq!(doctor(&server.url(), &[]).code, Some(0));
    let url = server.url();
    drop(server);
    told(&url, 6, "tcp", &["there is no socket", "redis.sock"]);
}

#[test]
fn an_address_where_nobody_listens_is_told_as_refused() {
    let port = dead_port().to_string();
    let ended = told(&format!("redis://:hunter2@{port}/0"), 6, "tcp", &[&port, "refused"]);
    assert!(ended.out.contains("start Redis"), "{}", ended.out);
    // What depends on it is not looked at.
    assert_eq!(ended.out.matches("not looked at").count(), 10, "{}", ended.out);
}

#[test]
fn a_name_that_is_nobodys_is_told_with_the_name() {
    told("redis://nobody.invalid:6379/0", 6, "dns", &["the host name nobody.invalid"]);
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_does_not_answer_is_given_up_in_time() {
    let hole = blackhole_addr();
    let Ended { code, out, .. } = doctor(&hole.url(), &["--timeout", "0.3"]);
    assert_eq!(code, Some(6), "{out}");
    assert!(out.lines().next().unwrap().contains("no answer within 300 ms"), "{out}");
}

#[test]
fn a_wrong_password_a_missing_one_and_one_too_many_are_told_apart() {
    let server = cache().password("right").start();
    let wrong = server.url().replace("right", "hunter2");
    let ended = told(&wrong, 7, "auth", &["refuses the password for the user default"]);
    assert!(ended.out.contains("percent-encoded"), "{}", ended.out);
    told(&server.url_without_password(), 7, "auth", &["asks for a password, and the URL has none"]);
    let named = wrong.replace(":hunter2@", "ada:hunter2@");
    told(&named, 7, "auth", &["refuses the password for the user ada"]);
}

#[test]
fn a_database_that_is_not_there_is_told_with_how_many_there_are() {
    let server = cache().arg("databases", "4").start();
    let url = server.url().replace("/0", "/4");
    told(&url, 7, "database", &["no database 4", "it has 4, from 0 to 3"]);
    let last = server.url().replace("/0", "/3");
    assert_eq!(doctor(&last, &[]).code, Some(0));
}

#[test]
fn a_replica_is_told_with_its_master() {
    let master = cache().start();
    let address = format!("127.0.0.1 {}", master.port());
    let replica = cache().arg("replicaof", address).start();
    eventually(SOON, "the link to the master", || {
        let info = replica.observer().get::<String>(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    });
    eventually(SOON, "the master's word for it", || {
        master.observer().get::<String>(&["INFO", "replication"]).contains("state=online")
    });
    let of = format!("a replica of 127.0.0.1:{}: writes to it fail", master.port());
    let ended = told(&replica.url(), 9, "role", &[&of]);
    assert!(ended.out.contains("address of the master"), "{}", ended.out);
    let report = json(&master.url());
    let role = report["checks"].as_array().unwrap().iter().find(|check| check["step"] == "role").unwrap();
    assert_eq!(role["seen"], "master, with 1 replica");

    let alone = cache().arg("replicaof", format!("127.0.0.1 {}", dead_port().port())).start();
    told(&alone.url(), 9, "role", &["a replica of", "has no connection to it", "writes to it fail"]);
    alone.observer().get::<String>(&["CONFIG", "SET", "replica-read-only", "no"]);
    let ended = told(&alone.url(), 9, "role", &["it takes writes (replica-read-only no), and loses them"]);
    assert!(!ended.out.contains("writes to it fail"), "{}", ended.out);
}

#[test]
fn a_server_that_keeps_everything_is_a_warning_and_a_full_one_is_wrong() {
    // The server itself has more than that.
    let full = Server::builder().arg("maxmemory-policy", "noeviction").arg("maxmemory", "100kb").start();
    told(&full.url(), 9, "memory", &["the memory is full", "noeviction", "OOM"]);

    let limited = Server::builder().arg("maxmemory-policy", "noeviction").arg("maxmemory", "1gb").start();
    let unlimited = Server::builder().arg("maxmemory-policy", "noeviction").start();
    for (server, cause) in [
        (limited, "maxmemory-policy is noeviction: once 1.0 GiB are full"),
        (unlimited, "maxmemory is not set (noeviction;"),
    ] {
        let Ended { code, out, .. } = doctor(&server.url(), &[]);
        assert_eq!(code, Some(0), "{out}");
        let memory = out.lines().find(|line| line.trim_start().starts_with("memory")).unwrap();
        assert!(memory.contains("warning") && memory.contains(cause), "{out}");
        let first = out.lines().next().unwrap();
        // A machine that stops for a moment has another warning before that.
        assert!(first.contains("serves, with a warning: "), "{out}");
        assert!(first.contains(cause) || first.contains("more warning"), "{out}");
        assert!(out.contains("allkeys-lru"), "{out}");
    }
}

#[test]
fn a_server_that_cannot_save_to_disk_is_told_as_one_that_refuses_writes() {
    let server = cache().password("hunter2").arg("save", "3600 1").start();
    let observer = server.observer();
    let folder = observer.get::<Vec<String>>(&["CONFIG", "GET", "dir"])[1].clone();
    std::fs::remove_dir_all(folder).unwrap();
    observer.get::<String>(&["SET", "key", "value"]);
    // One that cannot even begin says so itself.
    let _ = observer.command(&["BGSAVE"]);
    eventually(SOON, "the end of the save", || {
        observer.get::<String>(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err")
    });
    let ended =
        told(&server.url(), 9, "disk", &["the server cannot save a snapshot to disk, and refuses writes"]);
    assert!(ended.out.contains("stop-writes-on-bgsave-error"), "{}", ended.out);
    let all: BTreeMap<_, _> = checks(&json(&server.url())).into_iter().collect();
    assert!(all["auth"] == "ok" && all["latency"] != "skipped" && all["pub/sub"] == "ok", "{all:?}");

    observer.get::<String>(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    let all: BTreeMap<_, _> = checks(&json(&server.url())).into_iter().collect();
    assert_eq!(all["disk"], "warning");
}

#[test]
fn a_master_that_wants_more_replicas_than_it_has_is_told_as_one_that_refuses_writes() {
    let lonely = cache().arg("min-replicas-to-write", "2").start();
    told(&lonely.url(), 9, "role", &["NOREPLICAS", "0 replicas keep up with it, and it wants 2"]);
    lonely.observer().get::<String>(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert_eq!(doctor(&lonely.url(), &[]).code, Some(0));
}

#[test]
fn what_nobody_tells_is_not_called_well() {
    let server = cache().arg("user", "ada on >hunter2 ~* &* -@all +hello").start();
    let report = json(&server.url().replace("redis://", "redis://ada:hunter2@"));
    let all: BTreeMap<_, _> = checks(&report).into_iter().collect();
    for step in ["latency", "clock", "memory", "disk"] {
        assert_eq!(all[step], "skipped", "{report:#}");
    }
    assert!(!report["checks"].to_string().contains("not looked at"), "{report:#}");
    let mute = Canned::answering(|_, asked| {
        let asked = String::from_utf8_lossy(asked).to_ascii_uppercase();
        let says = if asked.contains("PING") { "+PONG\r\n" } else { "-ERR unknown command\r\n" };
        Answer::Send(says.as_bytes().to_vec())
    });
    let all: BTreeMap<_, _> = checks(&json(&mute.url())).into_iter().collect();
    assert_eq!(all["role"], "skipped", "{all:?}");
}

#[test]
fn what_is_no_redis_is_told_by_what_it_is() {
    let web = Canned::http();
    told(&web.url(), 8, "resp3", &["a web server, not Redis"]);
    for page in ["<html><body>400</body></html>", "\r\n<!DOCTYPE HTML PUBLIC>", "<?xml version=\"1.0\"?>"] {
        told(&Canned::replying(page).url(), 8, "resp3", &["a web server, not Redis"]);
    }
    // The alert of a TLS server that was greeted by something else.
    let tls = Canned::replying([0x15, 3, 1, 0, 2, 2, 70]);
    told(&tls.url(), 8, "tls", &["speaks TLS", "the URL does not"]);
    let other = Canned::replying("SSH-2.0-OpenSSH_9.6\r\n");
    told(&other.url(), 8, "resp3", &["an SSH server"]);
    let wild = Canned::replying("\u{1b}[31mwhat?\u{7}\n");
    told(&wild.url(), 8, "resp3", &["not Redis", "what?"]);
    let shut = Canned::answering(|_, _| Answer::Close);
    told(&shut.url(), 8, "resp3", &["closes the connection at the first word"]);
}

#[test]
fn a_server_that_says_nothing_and_one_that_stops_halfway_are_given_up_in_time() {
    let silent = Canned::answering(|_, _| Answer::Silence);
    let Ended { code, out, .. } = doctor(&silent.url(), &["--timeout", "0.3"]);
    assert_eq!(code, Some(6), "{out}");
    assert!(out.lines().next().unwrap().contains("says nothing within 300 ms"), "{out}");

    let frozen = cache().start();
    frozen.freeze();
    let Ended { code, out, .. } = doctor(&frozen.url(), &["--timeout", "0.3"]);
    frozen.thaw();
    assert!(code == Some(6) && out.lines().next().unwrap().contains("says nothing"), "{out}");

    // It answers the greeting, and nothing more.
    let halfway = Canned::answering(|turn, _| match turn {
        0 => Answer::Send(b"%1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n".to_vec()),
        1 | 2 => Answer::Send(b"+PONG\r\n".to_vec()),
        _ => Answer::Silence,
    });
    let Ended { code, out, .. } = doctor(&halfway.url(), &["--timeout", "0.3"]);
    assert!(code == Some(9) && out.lines().next().unwrap().contains("stopped answering"), "{out}");
}

/// A server of which one word's answer is given; all others are as they should be.
fn saying(word: &'static str, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Canned {
    Canned::answering(move |_, asked| {
        let asked = String::from_utf8_lossy(asked).to_ascii_uppercase();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let says = match () {
            () if asked.contains(word) => return answer(),
            () if asked.contains("HELLO") => "%1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n".to_owned(),
            () if asked.contains("PING") => "+PONG\r\n".to_owned(),
            () if asked.contains("ROLE") => "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_owned(),
            () if asked.contains("TIME") => format!("*2\r\n$10\r\n{now}\r\n$1\r\n0\r\n"),
            () => "-ERR unknown command\r\n".to_owned(),
        };
        Answer::Send(says.into_bytes())
    })
}

#[test]
fn no_number_that_a_server_tells_is_too_much_for_the_report() {
    for time in ["inf", "nan", "1e300", "-1", "18446744073709551615"] {
        let says = format!("*2\r\n${}\r\n{time}\r\n$1\r\n0\r\n", time.len());
        let server = saying("TIME", move || Answer::Send(says.clone().into_bytes()));
        let all: BTreeMap<_, _> = checks(&json(&server.url())).into_iter().collect();
        assert!(["ok", "warning", "skipped"].contains(&all["clock"].as_str()), "{time}: {all:?}");
    }
    let out_of_range = Canned::answering(|turn, _| {
        Answer::Send(match turn {
            0 => b"%1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n".to_vec(),
            1 => b"+PONG\r\n".to_vec(),
            2 => b"$7\r\ndefault\r\n".to_vec(),
            3 => b"-ERR DB index is out of range\r\n".to_vec(),
            _ => b"*2\r\n$9\r\ndatabases\r\n$20\r\n-9223372036854775808\r\n".to_vec(),
        })
    });
    told(&out_of_range.url().replace("/0", "/3"), 7, "database", &["the server has no database 3"]);
}

#[test]
fn a_server_that_stops_at_any_step_is_told_there_and_nothing_is_guessed_behind_it() {
    for (word, step) in [
        ("ROLE", "role"),
        ("REPLICATION", "role"),
        ("TIME", "clock"),
        ("MEMORY", "memory"),
        ("PERSISTENCE", "disk"),
        ("DBSIZE", "role"),
    ] {
        for answer in [Answer::Silence, Answer::Close] {
            let told =
                if matches!(answer, Answer::Close) { "closed the connection" } else { "stopped answering" };
            let server = saying(word, move || answer.clone());
            let Ended { code, out, .. } = doctor(&server.url(), &["--timeout", "0.5"]);
            let first = out.lines().next().unwrap();
            // What comes before it has told so itself.
            let is_told = first.contains(told) || step == "role" && first.contains("stopped answering");
            assert!(code == Some(9) && is_told, "{word}: {out}");
            let behind = STEPS.iter().skip_while(|it| **it != step).skip(1);
            for step in behind {
                let line = out.lines().find(|line| line.trim_start().starts_with(step)).unwrap();
                assert!(line.contains("not looked at"), "{word}: {out}");
            }
        }
    }
}

#[test]
fn what_sends_back_what_it_is_sent_is_no_redis() {
    let echo = Canned::answering(|_, asked| Answer::Send(asked.to_vec()));
    told(&echo.url(), 8, "resp3", &["what answers is not Redis"]);
}

#[test]
fn a_full_server_and_one_whose_user_may_not_subscribe_are_told() {
    let full = cache().arg("maxclients", "1").start();
    let observer = full.observer();
    observer.get::<String>(&["PING"]);
    told(&full.url(), 7, "auth", &["the server is full"]);

    let server = cache().arg("user", "ada on >hunter2 ~* resetchannels +@all").start();
    let url = server.url().replace("redis://", "redis://ada:hunter2@");
    let Ended { code, out, .. } = doctor(&url, &[]);
    assert_eq!(code, Some(0), "{out}");
    let pubsub = out.lines().find(|line| line.trim_start().starts_with("pub/sub")).unwrap();
    assert!(pubsub.contains("warning") && pubsub.contains("SUBSCRIBE is refused"), "{out}");
}

#[test]
fn a_server_of_old_speaks_resp2_and_that_is_a_warning() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/0", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let asked = String::from_utf8_lossy(&buffer[..read]).to_ascii_uppercase();
                    let answer = match () {
                        () if asked.contains("PING") => "+PONG\r\n",
                        () if asked.contains("ROLE") => "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n",
                        () => "-ERR unknown command\r\n",
                    };
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    let report = json(&url);
    let all: BTreeMap<_, _> = checks(&report).into_iter().collect();
    assert_eq!(all["resp3"], "warning", "{report:#}");
    assert!(report["checks"].to_string().contains("RESP2 only"), "{report:#}");
}

#[test]
fn sentinels_are_asked_first_and_the_master_they_name_is_looked_at() {
    let (server, other) = (cache().password("hunter2").start(), dead_port());
    let sentinel = StandInSentinel::naming(server.addr());
    let url = |hosts: &str, name: &str| format!("redis+sentinel://:hunter2@{hosts}/{name}/0");
    let well = doctor(&url(&sentinel.addr().to_string(), "main"), &[]);
    assert_eq!(well.code, Some(0), "{}", well.out);
    assert!(well.out.contains(&format!("1 of 1 name {} the master main", server.addr())), "{}", well.out);
    let two = url(&format!("{},{other}", sentinel.addr()), "main");
    assert_eq!(checks(&json(&two))[0], ("sentinel".to_owned(), "warning".to_owned()));
    let stale = StandInSentinel::naming(other);
    let disagree = doctor(&url(&format!("{},{}", sentinel.addr(), stale.addr()), "main"), &[]);
    assert!(disagree.out.contains("the sentinels do not agree"), "{}", disagree.out);

    sentinel.name(None);
    told(
        &url(&sentinel.addr().to_string(), "main"),
        6,
        "sentinel",
        &["no sentinel of 1 knows the master main"],
    );
    told(&url(&other.to_string(), "main"), 6, "sentinel", &["cannot be reached"]);
    let open = cache().start();
    told(&url(&open.addr().to_string(), "main"), 8, "sentinel", &["is no sentinel"]);
    let locked = Canned::replying("-NOAUTH Authentication required.\r\n");
    told(&url(&locked.addr().to_string(), "main"), 7, "sentinel", &["NOAUTH"]);
}

#[test]
fn where_the_address_came_from_is_told_and_what_cannot_be_is_refused() {
    let url = format!("redis://:hunter2@{}/0", dead_port());
    let by_variable = ended(cenote(&["doctor"]).env("REDIS_URL", &url));
    assert!(by_variable.code == Some(6) && by_variable.out.contains("that of REDIS_URL"), "{by_variable:?}");
    let by_itself = ended(&mut cenote(&["doctor", &url]));
    assert!(by_itself.code == Some(6) && by_itself.out.contains("that of the argument URL"), "{by_itself:?}");
    for (arguments, expected) in [
        (["doctor", "--url", "redis://:hunter2@localhost:port"].as_slice(), "--url is "),
        (&["doctor", "--url", "rediss://:hunter2@localhost:port"], "--url is "),
        (&["doctor", "--url", "redis+sentinel://:hunter2@a,b"], "no master name"),
        (&["doctor", "redis://:hunter2@localhost:port"], "the argument URL is "),
        (&["doctor", "localhost"], "it has no scheme"),
        (&["doctor", "redis://localhost", "--url", "redis://localhost"], "cannot be used with"),
        (&["doctor", "--timeout", "0"], "a number of seconds above 0"),
    ] {
        let Ended { code, out, err } = ended(&mut cenote(arguments));
        assert!(code == Some(2) && out.is_empty() && err.contains(expected), "{arguments:?}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
    let refused = ended(&mut cenote(&["doctor", "--json", "redis://:hunter2@localhost:port"]));
    let report: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((refused.code, &report["exit"]), (Some(2), &Value::from(2)));
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.contains("the argument URL is ") && !summary.contains("hunter2"), "{summary}");
    assert_eq!(refused.err, format!("error: {summary}\n"));
    let help = ended(&mut cenote(&["doctor", "--help"])).out;
    for told in ["    0  ", "    2  ", "    6  ", "    7  ", "    8  ", "    9  ", "--timeout", "REDIS_URL"] {
        assert!(help.contains(told), "{told} is not in {help}");
    }
    // Nobody reads it.
    let running = Running::start(&mut cenote(&["doctor", "--url", &url]));
    assert_eq!(running.ended().code, Some(6));
}
