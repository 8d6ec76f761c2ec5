//! From a name to a connection: name resolution, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cenote_pool_core::{Place, Steps};
use tokio::time::timeout;

use super::report::{Check, Report, shown};
use super::talk::{Failed, Talk};
use super::tls::{self, To};
use crate::exit::Exit;

/// The step in which what answers is no Redis, or nobody.
const PROTOCOL: &str = "resp3";

/// Where it was found.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

/// Looks the host up and connects. `None` once it is told what is wrong.
pub(super) async fn reach(steps: &Steps, limit: Duration, report: &mut Report) -> Option<(Found, Talk)> {
    let (host, port) = match steps.place() {
        Place::Tcp(host, port) => (host, port),
        // They were asked before.
        Place::Sentinel(_) => return None,
        Place::Unix(path) => {
            report.checks.push(Check::ok("dns", "none: it is a Unix socket"));
            let path = path.to_path_buf();
            let began = Instant::now();
            return match timeout(limit, steps.connect_unix(&path)).await {
                Ok(Ok(stream)) => {
                    let seen = format!("connected to {} in {}", path.display(), shown(began.elapsed()));
                    report.checks.push(Check::ok("tcp", seen));
                    Some((Found::Unix(path), Talk::new(stream, limit)))
                }
                Ok(Err(error)) => {
                    report.checks.push(no_socket(&path, &error));
                    None
                }
                Err(_) => {
                    let error = io::Error::from(io::ErrorKind::TimedOut);
                    report.checks.push(no_socket(&path, &error));
                    None
                }
            };
        }
    };
    let addresses = look_up(host, port, limit, report).await?;
    let mut failures: Vec<String> = Vec::new();
    // One dead address must not use up what the others could have had.
    let share = limit / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    for address in &addresses {
        let began = Instant::now();
        match timeout(share, steps.connect(*address)).await {
            Ok(Ok(stream)) => {
                let took = shown(began.elapsed());
                let seen = format!("connected to {address} in {took}");
                // A refusal costs no time: where a name has two addresses, Redis often listens at one.
                report.checks.push(if !failures.iter().any(|it| it.contains("no answer")) {
                    Check::ok("tcp", seen)
                } else {
                    Check::warning(
                        "tcp",
                        format!("{seen}, but not to another address of {host}: {}", failures.join("; ")),
                        "every new connection tries that one first: take it out of the name, or let Redis listen there",
                    )
                });
                return match steps.secure(stream, limit).await {
                    Ok(stream) => {
                        if steps.is_tls() {
                            let seen = "spoken, and the server's certificate is one that is trusted here";
                            report.checks.push(Check::ok("tls", seen));
                        }
                        Some((Found::Tcp(*address), Talk::new(stream, limit)))
                    }
                    Err(error) => {
                        report.checks.push(no_tls(&error));
                        None
                    }
                };
            }
            Ok(Err(error)) => failures.push(format!("{address}: {}", reason(&error))),
            Err(_) => failures.push(format!("{address}: no answer within {}", shown(share))),
        }
    }
    report.checks.push(unreachable(&failures));
    None
}

/// One more connection to where the first one was.
pub(super) async fn again(steps: &Steps, found: &Found, limit: Duration) -> io::Result<Talk> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    Ok(match found {
        Found::Tcp(address) => {
            let stream = timeout(limit, steps.connect(*address)).await.map_err(|_| late())??;
            Talk::new(steps.secure(stream, limit).await?, limit)
        }
        Found::Unix(path) => {
            Talk::new(timeout(limit, steps.connect_unix(path)).await.map_err(|_| late())??, limit)
        }
    })
}

async fn look_up(host: &str, port: u16, limit: Duration, report: &mut Report) -> Option<Vec<SocketAddr>> {
    let began = Instant::now();
    let looked_up = match timeout(limit, tokio::net::lookup_host((host, port))).await {
        Ok(looked_up) => looked_up.map(|all| {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in all {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            addresses
        }),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let (wrong, remedy) = match looked_up {
        Ok(addresses) if !addresses.is_empty() => {
            let list: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
            let is_address = list.iter().any(|it| it == host);
            report.checks.push(if is_address {
                Check::ok("dns", format!("none: {host} is an address"))
            } else {
                Check::ok("dns", format!("{host} is {} ({})", list.join(", "), shown(began.elapsed())))
            });
            return Some(addresses);
        }
        Ok(_) => {
            (format!("the host name {host} has no address"), "give it one, or correct the name in the URL")
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => (
            format!("the host name {host} was not resolved within {}", shown(limit)),
            "the machine's name server does not answer: see its resolver's settings, or try an IP address in the URL",
        ),
        Err(error) => (
            format!("the host name {host} cannot be resolved: {}", error_text(&error)),
            "correct the name in the URL, or add it to the name server: in a container, is it the service's name, and the same network?",
        ),
    };
    report.checks.push(Check::wrong("dns", Exit::Unreachable, wrong, remedy));
    None
}

fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection is refused",
        io::ErrorKind::TimedOut => "no answer",
        io::ErrorKind::HostUnreachable => "there is no way to the host",
        io::ErrorKind::NetworkUnreachable => "there is no way to the network",
        io::ErrorKind::PermissionDenied => "the system does not let us",
        io::ErrorKind::ConnectionReset => "the connection is reset",
        _ => "the connection fails",
    }
}

fn unreachable(failures: &[String]) -> Check {
    let all = failures.join("; ");
    let remedy = if all.contains("refused") {
        "nothing listens there: start Redis, or correct host and port; if Redis runs on another machine or in a container, its `bind` or its published ports may leave this one out"
    } else if all.contains("no answer") {
        "a firewall or a security group drops what is sent there, or the address is wrong: open the port for this machine"
    } else {
        "correct the host in the URL, or the route to it"
    };
    Check::wrong("tcp", Exit::Unreachable, format!("cannot connect: {all}"), remedy)
}

fn no_socket(path: &std::path::Path, error: &io::Error) -> Check {
    let path = path.display();
    let (wrong, remedy) = match error.kind() {
        io::ErrorKind::NotFound => (
            format!("there is no socket {path}"),
            "start Redis, or give the path that `unixsocket` has in its configuration",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("the socket {path} may not be opened by this user"),
            "add the user to the socket's group, or set `unixsocketperm`",
        ),
        io::ErrorKind::ConnectionRefused => (
            format!("nothing listens at the socket {path}"),
            "start Redis: the file is left over from an earlier one",
        ),
        io::ErrorKind::TimedOut => {
            (format!("the socket {path} takes no connection"), "Redis is stopped or overloaded: restart it")
        }
        _ => (format!("the socket {path} cannot be opened: {error}"), "see to its permissions"),
    };
    Check::wrong("tcp", Exit::Unreachable, wrong, remedy)
}

/// The handshake failed, or what was asked after it: a server may look at our certificate only then.
fn no_tls(error: &io::Error) -> Check {
    let why = error.to_string();
    let remedy = tls::remedy(&why, To::Redis).unwrap_or(
        "compare the URL with the server's `port` and `tls-port`, and its certificate with REDIS_TLS_CA_FILE and REDIS_TLS_SERVER_NAME",
    );
    Check::wrong("tls", Exit::NotRedis, why, remedy)
}

/// What is there in place of a Redis.
pub(super) fn strange(bytes: &[u8]) -> Check {
    let (seen, remedy) = match bytes {
        [0x15, 0x03, ..] => (
            "the server speaks TLS at this port, and the URL does not".to_owned(),
            "write rediss:// in place of redis://",
        ),
        _ if bytes.starts_with(b"HTTP/") || is_page(bytes) => {
            ("what answers is a web server, not Redis".to_owned(), "correct host and port in the URL")
        }
        _ if bytes.starts_with(b"SSH-") => {
            ("what answers is an SSH server, not Redis".to_owned(), "correct host and port in the URL")
        }
        _ => {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]);
            (
                format!("what answers is not Redis: it says {:?}", start.trim_end()),
                "correct host and port in the URL",
            )
        }
    };
    let step = if bytes.first() == Some(&0x15) { "tls" } else { PROTOCOL };
    Check::wrong(step, Exit::NotRedis, seen, remedy)
}

/// Some web servers answer what is no request with the page alone.
fn is_page(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    [b"<!doctype html".as_slice(), b"<html", b"<head", b"<body", b"<title", b"<?xml"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
}

/// It speaks as Redis does, and says something else.
pub(super) fn answers_otherwise() -> Check {
    Check::wrong(
        PROTOCOL,
        Exit::NotRedis,
        "what answers is not Redis: its answer to PING is not PONG",
        "correct host and port in the URL",
    )
}

/// Where the first question got no answer.
pub(super) fn unanswered(failed: &Failed, is_tls: bool, limit: Duration) -> Check {
    match failed {
        Failed::Strange(bytes) => strange(bytes),
        Failed::Broken(error) if tls::remedy(&error.to_string(), To::Redis).is_some() => no_tls(error),
        Failed::Closed if is_tls => Check::wrong(
            PROTOCOL,
            Exit::NotRedis,
            "the server closes the connection at the first word after the handshake",
            "it may ask for a certificate of ours (REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE), be a proxy with no Redis behind it, or be no Redis: its log may tell",
        ),
        Failed::Closed => Check::wrong(
            PROTOCOL,
            Exit::NotRedis,
            "the server closes the connection at the first word",
            "it may want TLS (a rediss:// URL), be a proxy with no Redis behind it, or be no Redis: correct host and port in the URL",
        ),
        Failed::Broken(error) => Check::wrong(
            PROTOCOL,
            Exit::Unreachable,
            format!("the connection breaks at the first word: {error}"),
            "see what is between here and Redis",
        ),
        Failed::Silent | Failed::Said(_) => {
            let or_tls = if is_tls { "" } else { ", or it waits for TLS (a rediss:// URL)" };
            Check::wrong(
                PROTOCOL,
                Exit::Unreachable,
                format!("the server accepts connections and says nothing within {}", shown(limit)),
                format!(
                    "it is no Redis, or a Redis that is stopped or busy with one long command (look with `redis-cli --latency` and SLOWLOG on its machine){or_tls}; --timeout waits longer"
                ),
            )
        }
    }
}
