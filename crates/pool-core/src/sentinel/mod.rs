//! Sentinel: who the master is, asked at each dial and listened for in between.
//!
//! Invariants:
//! * What a sentinel says is only where to look. A connection is used if the server itself says that it is a master.
//! * News of another master is noted before the connections are gone through, and a new connection is made known
//!   before it looks for news: none that is out of date slips between the two.
//! * At most one task of a pool listens: the one whose number the watch has.

mod ask;
mod listen;
mod moving;
mod search;
mod tell;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::brief::brief;
use crate::budget::{Berth, Held};
use crate::config::{Target, name_of};
use crate::dial::{self, Connection, Connector, Limit, Refusal};
use crate::error::{Error, Kind};
use crate::timer;
use crate::transport::Io;

pub(crate) use ask::ask;
pub(crate) use listen::{Watch, tend};
use search::{Boxed, Search};

/// The server that a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// `host:port`, as the sentinels name it.
    pub(crate) address: String,
    /// When it was looked for.
    since: Instant,
}

/// What was heard of the master, by which older connections are judged.
#[derive(Debug, Clone)]
struct News {
    at: Instant,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Master(String, u16),
    /// Whoever it is, not this one.
    Not(String),
}

pub(crate) struct Sentinel {
    target: Target,
    master: String,
    /// Each sentinel, as it is dialled, and its name.
    sentinels: Vec<Target>,
    names: Vec<String>,
    /// Who answered first, lately.
    likely: AtomicUsize,
    news: watch::Sender<Option<News>>,
    pub(crate) watch: Watch,
}

impl Sentinel {
    /// `None` for a target that is found without sentinels.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        let sentinels = target.sentinels()?;
        Some(Self {
            target: target.clone(),
            master: sentinels.master.clone(),
            sentinels: sentinels.targets(target.tls),
            names: sentinels.hosts.iter().map(|(host, port)| name_of(host, *port)).collect(),
            likely: AtomicUsize::new(0),
            news: watch::Sender::new(None),
            watch: Watch::default(),
        })
    }

    /// Finds the master, dials and greets it within `limit`.
    pub(crate) async fn dial(
        &self,
        connector: &dyn Connector,
        target: &Target,
        held: Held,
        limit: Limit,
        max_reply: usize,
    ) -> Result<Connection, Error> {
        let berth = Berth::new(held, limit.time);
        let began = Instant::now();
        let (io, mut greeting, address) = self
            .search(connector, limit, |host, port| {
                let (target, berth, address) = (target.at(host, port), berth.clone(), name_of(host, port));
                Box::pin(async move {
                    berth.empty();
                    let limit = limit.less(began.elapsed());
                    let reached = dial::greeted(connector, &target, &berth, limit, max_reply).await;
                    let (io, greeting) = reached.map_err(|failed| failed.error)?;
                    be_master(&target, greeting.role.as_deref())?;
                    Ok((io, greeting, address))
                })
            })
            .await?;
        greeting.node = Some(Arc::new(Node { address, since: began }));
        let held = berth.take().ok_or_else(|| dial::given_up(&self.target))?;
        Ok(Connection { io, held, greeting, renewal: None })
    }

    /// The same without a greeting: a login at most.
    pub(crate) async fn dial_raw(
        &self,
        connector: &dyn Connector,
        target: &Target,
        held: Held,
        limit: Limit,
    ) -> Result<(Box<dyn Io>, Held), Error> {
        let berth = Berth::new(held, limit.time);
        let began = Instant::now();
        let io = self
            .search(connector, limit, |host, port| {
                let (target, berth) = (target.at(host, port), berth.clone());
                Box::pin(async move {
                    berth.empty();
                    let limit = limit.less(began.elapsed());
                    let opened = dial::open(connector, &target, &berth, limit).await;
                    let mut io = opened.map_err(|failed| failed.error)?;
                    let role = dial::role(&mut *io, &target).await.map_err(|refusal| match refusal {
                        Refusal::Said(server) => dial::turned_away(&target, server),
                        Refusal::Failed(why) => dial::away(&target, &why),
                    })?;
                    be_master(&target, role.as_deref())?;
                    Ok(io)
                })
            })
            .await?;
        let held = berth.take().ok_or_else(|| dial::given_up(&self.target))?;
        Ok((io, held))
    }

    async fn search<'a, T>(
        &'a self,
        connector: &'a dyn Connector,
        limit: Limit,
        reach: impl FnMut(&str, u16) -> Boxed<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let questions = self
            .sentinels
            .iter()
            .map(|sentinel| -> Boxed<'a, _> { Box::pin(ask(connector, sentinel, &self.master, limit.time)) });
        let mut search = Search::new(questions.collect(), self.next_master(), reach);
        let found = timer::within(limit.time, poll_fn(|cx| search.poll(cx))).await;
        if let Some(first) = search.first {
            self.likely.store(first, Ordering::Relaxed);
        }
        if let Some(Some(found)) = found {
            return found;
        }
        let (why, cause) = search.tale(&self.names, &limit.to_string()).tell(&self.master);
        let error = dial::away(&self.target, &why);
        Err(match cause {
            Some(cause) => cause.retold(Kind::Away, error.message().to_owned()),
            None => error,
        })
    }

    /// The next server that is announced as the master.
    fn next_master(&self) -> Boxed<'_, (String, u16)> {
        let mut news = self.news.subscribe();
        news.mark_unchanged();
        Box::pin(async move {
            loop {
                // The sender lives as long as this.
                let _ = news.changed().await;
                if let Some(News { what: What::Master(host, port), .. }) = &*news.borrow_and_update() {
                    return (host.clone(), *port);
                }
            }
        })
    }

    /// Notes that this server is the master now. False if that is known.
    fn announce_master(&self, host: &str, port: u16) -> bool {
        let what = What::Master(host.to_owned(), port);
        let before = self.news.send_replace(Some(News { at: Instant::now(), what }));
        !matches!(before, Some(News { what: What::Master(known, at), .. }) if known == host && at == port)
    }

    /// Notes that a server says it is no master any more.
    pub(crate) fn disown(&self, node: &Node) {
        let what = What::Not(node.address.clone());
        self.news.send_replace(Some(News { at: Instant::now(), what }));
    }

    /// Whether a connection leads to a server that is no master any more, as far as is known.
    pub(crate) fn is_stale(&self, node: &Node) -> bool {
        self.news.borrow().as_ref().is_some_and(|news| news.speaks_against(node))
    }

    /// For so long it has been known who the master is.
    fn has_known_for(&self, age: Duration) -> bool {
        let news = self.news.borrow();
        news.as_ref().is_some_and(|news| matches!(news.what, What::Master(..)) && news.at.elapsed() >= age)
    }
}

impl News {
    fn speaks_against(&self, node: &Node) -> bool {
        node.since < self.at
            && match &self.what {
                What::Master(host, port) => name_of(host, *port) != node.address,
                What::Not(address) => *address == node.address,
            }
    }
}

/// A server that does not tell its role is taken at the sentinels' word.
fn be_master(node: &Target, role: Option<&str>) -> Result<(), Error> {
    match role {
        None | Some("master") => Ok(()),
        Some(role) => {
            let role = brief(&role.replace("slave", "replica"));
            Err(dial::away(node, &format!("it is no master, but a {role}")))
        }
    }
}
