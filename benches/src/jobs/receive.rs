//! `progress-receive`: from who tells to who watches.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cenote_pubsub_progress::{Event, JobHandle, Watch};
use fred::prelude::{Builder, ClientLike, Config, EventInterface, PubsubInterface};
use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSubStream};
use redis::{PushInfo, PushKind};
use tokio::sync::{Mutex, broadcast, mpsc};

use super::fans::bare;
use super::{Contenders, PAYLOAD, progress};
use crate::clients::redis_rs::open;
use crate::contender::{Boxed, Contender};
use crate::measure::{Call, Keep, Load, calls};

const ENDED: &str = "the watch has ended";

/// Who tells, and who watches.
trait Pair: Send + 'static {
    const NAME: &'static str;

    /// Tells, and waits until it has arrived.
    fn pass(&mut self) -> impl Future<Output = Result<()>> + Send;
}

pub(super) async fn contenders(url: &str) -> Result<Contenders> {
    Ok(vec![
        over(Cenote::open(url).await?),
        over(PubSub::open(url).await?),
        over(Push::open(url).await?),
        over(Fred::open(url).await?),
    ])
}

fn over<P: Pair>(pair: P) -> Box<dyn Contender<usize>> {
    Box::new(Shared(Arc::new(Mutex::new(pair))))
}

struct Cenote(JobHandle, Watch);

impl Cenote {
    async fn open(url: &str) -> Result<Self> {
        let job = progress(url)?.start("receive").await?;
        Ok(Self(job, progress(url)?.watch("receive").await?))
    }
}

impl Pair for Cenote {
    const NAME: &'static str = "cenote";

    async fn pass(&mut self) -> Result<()> {
        // A line, as no state that comes later takes its place.
        self.0.log("row by row");
        while !matches!(self.1.next().await.context(ENDED)?, Event::Log { .. }) {}
        Ok(())
    }
}

struct PubSub(MultiplexedConnection, PubSubStream);

impl PubSub {
    async fn open(url: &str) -> Result<Self> {
        let client = open(url)?;
        let mut messages = client.get_async_pubsub().await?;
        messages.subscribe("receive:pubsub").await?;
        Ok(Self(client.get_multiplexed_async_connection().await?, messages.into_on_message()))
    }
}

impl Pair for PubSub {
    const NAME: &'static str = "redis-rs pub/sub";

    async fn pass(&mut self) -> Result<()> {
        bare(&mut self.0, "receive:pubsub").await?;
        self.1.next().await.context(ENDED)?;
        Ok(())
    }
}

struct Push(
    MultiplexedConnection,
    mpsc::UnboundedReceiver<PushInfo>,
    #[expect(dead_code, reason = "kept alive")] ConnectionManager,
);

impl Push {
    async fn open(url: &str) -> Result<Self> {
        let client = open(&format!("{url}?protocol=resp3"))?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let config = ConnectionManagerConfig::new().set_push_sender(sender).set_automatic_resubscription();
        let mut manager = client.get_connection_manager_with_config(config).await?;
        manager.subscribe("receive:push").await?;
        Ok(Self(client.get_multiplexed_async_connection().await?, receiver, manager))
    }
}

impl Pair for Push {
    const NAME: &'static str = "redis-rs push";

    async fn pass(&mut self) -> Result<()> {
        bare(&mut self.0, "receive:push").await?;
        while self.1.recv().await.context(ENDED)?.kind != PushKind::Message {}
        Ok(())
    }
}

struct Fred(
    fred::clients::Client,
    broadcast::Receiver<fred::types::Message>,
    #[expect(dead_code, reason = "kept alive")] fred::clients::SubscriberClient,
);

impl Fred {
    async fn open(url: &str) -> Result<Self> {
        let config = Config::from_url(url)?;
        let client = Builder::from_config(config.clone()).build()?;
        client.init().await?;
        let subscriber = Builder::from_config(config).build_subscriber_client()?;
        subscriber.init().await?;
        let messages = subscriber.message_rx();
        subscriber.subscribe("receive:fred").await?;
        Ok(Self(client, messages, subscriber))
    }
}

impl Pair for Fred {
    const NAME: &'static str = "fred";

    async fn pass(&mut self) -> Result<()> {
        let _: i64 = self.0.publish("receive:fred", [b'x'; PAYLOAD].as_slice()).await?;
        self.1.recv().await?;
        Ok(())
    }
}

/// One task at a time passes a message.
struct Shared<P>(Arc<Mutex<P>>);

impl<P: Pair> Contender<usize> for Shared<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn load(&self, tasks: usize, duration: Duration, keep: Keep) -> Boxed<'_, Load> {
        let of_task = |_| Self(self.0.clone());
        Box::pin(
            async move { calls(of_task, tasks, duration, keep).await.with_context(|| P::NAME.to_owned()) },
        )
    }
}

impl<P: Pair> Call for Shared<P> {
    const OPS: usize = 1;

    async fn call(&mut self) -> Result<()> {
        self.0.lock().await.pass().await
    }
}
