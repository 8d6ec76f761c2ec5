//! Ways to tell one thing to many watchers, a task for each of them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use cenote_pubsub_progress::{Event, JobHandle};
use fred::prelude::{Builder, ClientLike, Config, EventInterface, PubsubInterface};
use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{PushInfo, PushKind};
use tokio::sync::{Notify, broadcast};

use super::{PAYLOAD, progress};
use crate::clients::redis_rs::open;

/// How often something has arrived, and whether that is often enough.
#[derive(Debug, Default)]
pub(super) struct Counter {
    seen: AtomicUsize,
    goal: AtomicUsize,
    reached: Notify,
}

impl Counter {
    pub(super) fn expect(&self, more: usize) {
        self.goal.store(self.seen.load(Ordering::SeqCst) + more, Ordering::SeqCst);
    }

    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(super) fn arrived(&self, many: usize) {
        if self.seen.fetch_add(many, Ordering::SeqCst) + many == self.goal.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }
}

/// A publisher, and watchers that count.
pub(super) trait Fan: Sized {
    const NAME: &'static str;

    fn open(url: &str, watchers: usize, counter: &Arc<Counter>) -> impl Future<Output = Result<Self>>;

    fn publish(&mut self) -> impl Future<Output = Result<()>>;
}

pub(super) struct Cenote(JobHandle);

impl Fan for Cenote {
    const NAME: &'static str = "cenote";

    async fn open(url: &str, watchers: usize, counter: &Arc<Counter>) -> Result<Self> {
        let name = format!("fanout-{watchers}");
        let job = progress(url)?.start(&name).await?;
        let progress = progress(url)?;
        for _ in 0..watchers {
            let (mut watch, counter) = (progress.watch(&name).await?, counter.clone());
            tokio::spawn(async move {
                while let Some(event) = watch.next().await {
                    if matches!(event, Event::Update { .. }) {
                        counter.arrived(1);
                    }
                }
            });
        }
        Ok(Self(job))
    }

    async fn publish(&mut self) -> Result<()> {
        self.0.inc(1);
        Ok(())
    }
}

pub(super) async fn bare(conn: &mut MultiplexedConnection, channel: &str) -> Result<()> {
    Ok(redis::cmd("PUBLISH").arg(channel).arg([b'x'; PAYLOAD].as_slice()).exec_async(conn).await?)
}

/// A connection for each watcher.
pub(super) struct PubSub(MultiplexedConnection, String);

impl Fan for PubSub {
    const NAME: &'static str = "redis-rs pub/sub";

    async fn open(url: &str, watchers: usize, counter: &Arc<Counter>) -> Result<Self> {
        let (client, channel) = (open(url)?, format!("pubsub-{watchers}"));
        for _ in 0..watchers {
            let mut messages = client.get_async_pubsub().await?;
            messages.subscribe(&channel).await?;
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut messages = messages.into_on_message();
                while messages.next().await.is_some() {
                    counter.arrived(1);
                }
            });
        }
        Ok(Self(client.get_multiplexed_async_connection().await?, channel))
    }

    async fn publish(&mut self) -> Result<()> {
        bare(&mut self.0, &self.1).await
    }
}

/// One connection, and a broadcast channel as its push sender.
pub(super) struct Push(
    MultiplexedConnection,
    String,
    #[expect(dead_code, reason = "kept alive")] ConnectionManager,
);

impl Fan for Push {
    const NAME: &'static str = "redis-rs push";

    async fn open(url: &str, watchers: usize, counter: &Arc<Counter>) -> Result<Self> {
        let (client, channel) = (open(&format!("{url}?protocol=resp3"))?, format!("push-{watchers}"));
        let (sender, _) = broadcast::channel::<PushInfo>(1_024);
        for _ in 0..watchers {
            let (mut pushes, counter) = (sender.subscribe(), counter.clone());
            tokio::spawn(async move {
                while let Ok(push) = pushes.recv().await {
                    if push.kind == PushKind::Message {
                        counter.arrived(1);
                    }
                }
            });
        }
        let config = ConnectionManagerConfig::new().set_push_sender(sender).set_automatic_resubscription();
        let mut manager = client.get_connection_manager_with_config(config).await?;
        manager.subscribe(&channel).await?;
        Ok(Self(client.get_multiplexed_async_connection().await?, channel, manager))
    }

    async fn publish(&mut self) -> Result<()> {
        bare(&mut self.0, &self.1).await
    }
}

/// Its subscriber, and a receiver for each watcher.
pub(super) struct Fred(
    fred::clients::Client,
    String,
    #[expect(dead_code, reason = "kept alive")] fred::clients::SubscriberClient,
);

impl Fan for Fred {
    const NAME: &'static str = "fred";

    async fn open(url: &str, watchers: usize, counter: &Arc<Counter>) -> Result<Self> {
        let (config, channel) = (Config::from_url(url)?, format!("fred-{watchers}"));
        let client = Builder::from_config(config.clone()).build()?;
        client.init().await?;
        let subscriber = Builder::from_config(config).build_subscriber_client()?;
        subscriber.init().await?;
        for _ in 0..watchers {
            let (mut messages, counter) = (subscriber.message_rx(), counter.clone());
            tokio::spawn(async move {
                while messages.recv().await.is_ok() {
                    counter.arrived(1);
                }
            });
        }
        subscriber.subscribe(channel.as_str()).await?;
        Ok(Self(client, channel, subscriber))
    }

    async fn publish(&mut self) -> Result<()> {
        let _: i64 = self.0.publish(self.1.as_str(), [b'x'; PAYLOAD].as_slice()).await?;
        Ok(())
    }
}
