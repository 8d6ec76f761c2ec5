//! Does the push connection still deliver? A server can answer every `PING` and deliver nothing: one that lost its
//! part in a cluster, or a node that was replaced and lives on. So a message is sent to ourselves, by another
//! connection: if Redis took it and it never arrives, the push connection is at the wrong end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::Value;

use super::topics::{Kind, Topic};
use crate::command::Payload;
use crate::conn::Conn;
use crate::lane::Answer;
use crate::pool::Shared;

/// How long after a probe that told nothing the next one is made, at most.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Probe {
    /// The channel of this connection alone.
    pub(super) topic: Topic,
    interval: Duration,
    limit: Duration,
    /// When the next one is due.
    due: Instant,
    stage: Stage,
    home: Weak<Shared>,
}

enum Stage {
    Resting,
    /// The message is on its way to Redis.
    Asking(Pin<Box<dyn Future<Output = Taken> + Send>>),
    /// Redis took it.
    Awaiting {
        until: Instant,
    },
}

pub(super) enum Verdict {
    /// Look again at this time, or when something comes.
    At(Instant),
    /// Redis took the message and it never came.
    Deaf,
}

impl Probe {
    pub(super) fn new(home: Weak<Shared>, interval: Duration, limit: Duration) -> Self {
        let topic = Topic { kind: Kind::Channel, name: own_channel().into_bytes().into() };
        Self { topic, interval, limit, due: Instant::now() + interval, stage: Stage::Resting, home }
    }

    /// A message came, this one's or another: the connection delivers.
    pub(super) fn heard(&mut self, now: Instant) {
        self.due = now + self.interval;
        self.stage = Stage::Resting;
    }

    /// There is reason for doubt.
    pub(super) fn hasten(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Resting) {
            self.due = now;
        }
    }

    /// True if a probe begins at this moment.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Resting) && now >= self.due
    }

    /// `subscribed` tells whether the server let us listen to our own channel: if not, there is nothing to ask.
    pub(super) fn begin(&mut self, subscribed: bool, now: Instant) {
        if subscribed {
            let (home, topic, limit) = (self.home.clone(), self.topic.clone(), self.limit.max(AGAIN));
            self.stage = Stage::Asking(Box::pin(publish(home, topic, limit)));
        } else {
            self.due = now + self.interval;
        }
    }

    pub(super) fn poll(&mut self, now: Instant, last_byte: Instant, cx: &mut TaskContext<'_>) -> Verdict {
        if let Stage::Asking(ask) = &mut self.stage
            && let Poll::Ready(taken) = ask.as_mut().poll(cx)
        {
            self.stage = match taken {
                Taken::Yes => Stage::Awaiting { until: now + self.limit },
                _ => Stage::Resting,
            };
            self.due = now + if taken == Taken::NotNow { self.interval.min(AGAIN) } else { self.interval };
        }
        match self.stage {
            Stage::Resting => Verdict::At(self.due),
            // The future has a limit of its own.
            Stage::Asking(_) => Verdict::At(now + self.interval),
            // While bytes come it may be among them, behind a large message.
            Stage::Awaiting { until } => match until.max(last_byte + self.limit) {
                until if until <= now => Verdict::Deaf,
                until => Verdict::At(until),
            },
        }
    }
}

/// What became of the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    NotNow,
    /// This user may not publish there.
    Never,
}

async fn publish(home: Weak<Shared>, topic: Topic, limit: Duration) -> Taken {
    let Some(shared) = home.upgrade() else { return Taken::NotNow };
    let mut cmd = redis::cmd("PUBLISH");
    cmd.arg(&*topic.name).arg("?");
    let mut conn = Conn::new(shared);
    let answered = conn.within(limit).call(Payload::One(&cmd)).await;
    match answered {
        Ok(Answer::One(Value::Int(_))) => Taken::Yes,
        Ok(Answer::One(Value::ServerError(error))) if error.code() == "NOPERM" => Taken::Never,
        _ => Taken::NotNow,
    }
}

/// Shared with no other process and no other connection: `cenote:probe:` and what tells them apart.
fn own_channel() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("cenote:probe:{}:{}:{count}", std::process::id(), since_epoch.as_nanos())
}
