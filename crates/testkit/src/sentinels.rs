//! A master, its replica, and three sentinels that watch them: all real, all on loopback.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::background::Background;
use crate::certificates::Authority;
use crate::run::eventually;
use crate::server::{Observer, Server, ServerBuilder};

const NAME: &str = "main";
const COUNT: usize = 3;
/// How long servers may take to find one another on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Settings for [`Sentinels`].
#[derive(Debug, Default)]
pub struct SentinelsBuilder<'a> {
    authority: Option<&'a Authority>,
    password: Option<String>,
    sentinel_password: Option<String>,
    persistent: bool,
}

/// The set. Dropping it ends all of its processes.
pub struct Sentinels {
    nodes: [Server; 2],
    sentinels: Vec<Server>,
    password: Option<String>,
    tls: bool,
    switches: Arc<Mutex<Vec<Switch>>>,
    _listener: Background,
}

/// That another server became the master, as somebody heard it who listens to a sentinel and has no pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// When it was heard.
    pub at: Instant,
    /// The new master.
    pub master: SocketAddr,
}

impl<'a> SentinelsBuilder<'a> {
    /// Master and replica ask everybody for this password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The sentinels ask everybody for this one.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// All five speak TLS, with one another too, and what they name are the ports where they do.
    pub fn tls(mut self, authority: &'a Authority) -> Self {
        self.authority = Some(authority);
        self
    }

    /// What a node acknowledged survives its end, as with [`ServerBuilder::persistent`].
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Starts all five, and returns when each knows what it must know for a failover.
    pub fn start(self) -> Sentinels {
        let master = self.node(None);
        let replica = self.node(Some(self.port(&master)));
        eventually(LIMIT, "the replica follows its master", || {
            told(&replica, "master_link_status").as_deref() == Some("up") && sends_to_its_replica(&master)
        });
        let sentinels: Vec<Server> = (0..COUNT).map(|_| self.sentinel(self.port(&master))).collect();
        let observers: Vec<Observer> = sentinels.iter().map(Server::observer).collect();
        for observer in &observers {
            // They look round every ten seconds otherwise. One that does not know this command does so still.
            let _ = observer.command(&["SENTINEL", "DEBUG", "INFO-PERIOD", "200", "PUBLISH-PERIOD", "200"]);
        }
        eventually(LIMIT, "the sentinels know one another and the replica", || {
            observers.iter().all(|observer| {
                let fields: Vec<String> = observer.get(&["SENTINEL", "MASTER", NAME]);
                let field = |name: &str| {
                    fields
                        .chunks(2)
                        .find(|pair| pair[0] == name)
                        .map(|pair| pair[1].clone())
                        .unwrap_or_default()
                };
                field("num-slaves") == "1"
                    && field("num-other-sentinels") == "2"
                    && field("flags") == "master"
            })
        });
        let switches = Arc::new(Mutex::new(Vec::new()));
        let listener = listen(&sentinels, Arc::clone(&switches));
        Sentinels {
            nodes: [master, replica],
            sentinels,
            password: self.password,
            tls: self.authority.is_some(),
            switches,
            _listener: listener,
        }
    }

    fn port(&self, server: &Server) -> SocketAddr {
        if self.authority.is_some() { server.tls_addr() } else { server.addr() }
    }

    fn secured(&self, server: ServerBuilder) -> ServerBuilder {
        match self.authority {
            Some(authority) => {
                server.tls(authority, &authority.issue("127.0.0.1"), false).arg("tls-replication", "yes")
            }
            None => server,
        }
    }

    fn node(&self, master: Option<SocketAddr>) -> Server {
        let mut node: ServerBuilder = self
            .secured(Server::builder())
            .arg("repl-diskless-sync", "yes")
            .arg("repl-diskless-sync-delay", "0")
            .arg("repl-ping-replica-period", "1");
        if let Some(password) = &self.password {
            node = node.password(password).arg("masterauth", password);
        }
        if self.persistent {
            node = node.persistent();
        }
        if let Some(master) = master {
            node = node.arg("replicaof", format!("{} {}", master.ip(), master.port()));
        }
        node.start()
    }

    fn sentinel(&self, master: SocketAddr) -> Server {
        let mut sentinel = self.secured(Server::builder().sentinel());
        if let Some(password) = &self.sentinel_password {
            sentinel = sentinel.password(password).arg("sentinel", format!("sentinel-pass {password}"));
        }
        let (ip, port) = (master.ip(), master.port());
        sentinel = sentinel.arg("sentinel", format!("monitor {NAME} {ip} {port} 2"));
        if let Some(password) = &self.password {
            sentinel = sentinel.arg("sentinel", format!("auth-pass {NAME} {password}"));
        }
        sentinel
            .arg("sentinel", format!("down-after-milliseconds {NAME} 600000"))
            .arg("sentinel", format!("failover-timeout {NAME} 2000"))
            .start()
    }
}

impl Sentinels {
    /// Starts a set that asks nobody for a password.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Starts from other settings.
    pub fn builder<'a>() -> SentinelsBuilder<'a> {
        SentinelsBuilder::default()
    }

    /// Where a pool finds the master, the master's password included.
    pub fn url(&self) -> String {
        let credentials = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let port = |server: &Server| if self.tls { server.tls_addr() } else { server.addr() };
        let hosts: Vec<String> = self.sentinels.iter().map(|sentinel| port(sentinel).to_string()).collect();
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}+sentinel://{credentials}{}/{NAME}/0", hosts.join(","))
    }

    /// The name by which the sentinels know the master.
    pub fn master_name(&self) -> &str {
        NAME
    }

    /// The three.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// Master and replica, whichever is which.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The server at this address.
    #[track_caller]
    pub fn node(&self, addr: SocketAddr) -> &Server {
        self.nodes.iter().find(|node| node.addr() == addr).expect("a server of this set")
    }

    /// The one that says that it is the master.
    #[track_caller]
    pub fn master(&self) -> &Server {
        let is_master = |node: &&Server| node.is_running() && told(node, "role").as_deref() == Some("master");
        self.nodes.iter().find(is_master).expect("one of them is the master")
    }

    /// How long the master must be silent for there to be a failover: ten minutes at first, as on a busy machine a master
    /// that is well may be silent for a second.
    pub fn be_patient_for(&self, silence: Duration) {
        let millis = silence.as_millis().to_string();
        for sentinel in &self.sentinels {
            sentinel.observer().get::<()>(&["SENTINEL", "SET", NAME, "down-after-milliseconds", &millis]);
        }
    }

    /// How often another server became the master.
    pub fn switches(&self) -> Vec<Switch> {
        self.switches.lock().clone()
    }

    /// Starts what was killed, and returns when the one follows the other and the sentinels know it: then there can be a
    /// failover again.
    pub fn heal(&self) {
        let named = |sentinel: &Server| -> (String, String) {
            sentinel.observer().get(&["SENTINEL", "get-master-addr-by-name", NAME])
        };
        let agreed = || {
            let first = named(&self.sentinels[0]);
            let all_say_so = self.sentinels.iter().all(|sentinel| named(sentinel) == first);
            let is_one = |node: &Server| {
                node.port().to_string() == first.1
                    && node.is_running()
                    && told(node, "role").as_deref() == Some("master")
            };
            (all_say_so && self.nodes.iter().any(is_one)).then_some(first)
        };
        let mut master = None;
        eventually(LIMIT, "the sentinels agree on a master", || {
            master = agreed();
            master.is_some()
        });
        let (ip, port) = master.expect("they have agreed");
        for node in self.nodes.iter().filter(|node| node.port().to_string() != port) {
            if !node.is_running() {
                node.restart();
            }
            // The sentinels would say so too, ten seconds later.
            let _ = node.observer().command(&["REPLICAOF", &ip, &port]);
        }
        eventually(LIMIT, "there is a master with a replica that follows it", || {
            let any =
                |field, value| self.nodes.iter().any(|node| told(node, field).as_deref() == Some(value));
            let is_sent_to = || self.nodes.iter().any(sends_to_its_replica);
            any("role", "master") && any("master_link_status", "up") && is_sent_to()
        });
        eventually(LIMIT, "no sentinel takes either for dead", || {
            self.sentinels.iter().all(|sentinel| {
                let replicas: Vec<Vec<String>> = sentinel.observer().get(&["SENTINEL", "REPLICAS", NAME]);
                let flags = |fields: &Vec<String>| {
                    fields.chunks(2).find(|pair| pair[0] == "flags").map(|pair| pair[1].clone())
                };
                let link = |fields: &Vec<String>| {
                    fields.chunks(2).find(|pair| pair[0] == "master-link-status").map(|pair| pair[1].clone())
                };
                replicas.len() == 1
                    && flags(&replicas[0]).as_deref() == Some("slave")
                    && link(&replicas[0]).as_deref() == Some("ok")
            })
        });
    }
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinels").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// Until then what is written waits at the master.
fn sends_to_its_replica(master: &Server) -> bool {
    told(master, "slave0").is_some_and(|replica| replica.contains("state=online"))
}

/// One line of `INFO replication`; `None` from a server that is not there, or cuts its clients as it changes its role.
fn told(node: &Server, field: &str) -> Option<String> {
    let reply = node.observer().command(&["INFO", "replication"]).ok()?;
    let text: String = redis::from_redis_value(reply).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}

/// Hears of each switch from whichever sentinel tells it first.
fn listen(sentinels: &[Server], switches: Arc<Mutex<Vec<Switch>>>) -> Background {
    let clients: Vec<redis::Client> = sentinels
        .iter()
        .map(|sentinel| redis::Client::open(sentinel.url()).expect("the sentinel's own URL"))
        .collect();
    let (ready, listening) = std::sync::mpsc::channel();
    let background = Background::spawn("sentinels-listener", async move {
        let mut tasks = tokio::task::JoinSet::new();
        for client in clients {
            let (switches, ready) = (Arc::clone(&switches), ready.clone());
            tasks.spawn(async move {
                let mut pubsub = client.get_async_pubsub().await.expect("a sentinel that takes subscribers");
                pubsub.subscribe("+switch-master").await.expect("a sentinel that takes subscribers");
                let _ = ready.send(());
                let mut messages = pubsub.into_on_message();
                while let Some(message) = std::future::poll_fn(|cx| {
                    futures_core::Stream::poll_next(std::pin::Pin::new(&mut messages), cx)
                })
                .await
                {
                    let at = Instant::now();
                    let text: String = message.get_payload().unwrap_or_default();
                    let words: Vec<&str> = text.split(' ').collect();
                    let [_, _, _, host, port] = words[..] else { continue };
                    let Ok(master) = format!("{host}:{port}").parse() else { continue };
                    let mut switches = switches.lock();
                    if switches.last().is_none_or(|last: &Switch| last.master != master) {
                        switches.push(Switch { at, master });
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    });
    for _ in 0..COUNT {
        listening.recv_timeout(LIMIT).expect("the sentinels take subscribers");
    }
    background
}
