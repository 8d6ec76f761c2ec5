//! `progress-publish`: a state that got on, until the server has it.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use cenote_pubsub_progress::JobHandle;
use fred::prelude::{Builder, ClientLike, Config, PubsubInterface};
use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};

use super::{Contenders, PAYLOAD, progress, report};
use crate::clients::redis_rs::open;
use crate::contender::{Boxed, Contender};
use crate::measure::{Call, Keep, Load, calls};

/// A client that tells. Each task has a clone, and a channel of its own.
trait Publish: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    fn publish(&mut self, task: usize) -> impl Future<Output = Result<()>> + Send;
}

pub(super) async fn contenders(url: &str, tasks: usize) -> Result<Contenders> {
    let manager = open(url)?.get_connection_manager().await?;
    let mux = open(url)?.get_multiplexed_async_connection().await?;
    let fred = Builder::from_config(Config::from_url(url)?).build()?;
    fred.init().await?;
    Ok(vec![
        over(All(Cenote::start(url, tasks).await?)),
        over(All(Mux(mux))),
        over(All(Manager(manager))),
        over(All(Fred(fred))),
    ])
}

fn over<P: Publish>(all: All<P>) -> Box<dyn Contender<usize>> {
    Box::new(all)
}

fn channel(task: usize) -> String {
    format!("bench:{task}")
}

#[derive(Clone)]
struct Cenote(Vec<JobHandle>);

impl Cenote {
    async fn start(url: &str, tasks: usize) -> Result<Self> {
        let progress = progress(url)?;
        let mut jobs = Vec::new();
        for task in 0..tasks {
            let job = progress.start(format!("publish-{tasks}-{task}")).await?;
            job.message("row by row");
            job.total(1_000_000);
            jobs.push(job);
        }
        Ok(Self(jobs))
    }
}

impl Publish for Cenote {
    const NAME: &'static str = "cenote";

    async fn publish(&mut self, task: usize) -> Result<()> {
        report(&self.0[task]).await
    }
}

async fn bare(conn: &mut impl ConnectionLike, task: usize) -> Result<()> {
    let mut cmd = redis::cmd("PUBLISH");
    cmd.arg(channel(task)).arg([b'x'; PAYLOAD].as_slice());
    conn.req_packed_command(&cmd).await?;
    Ok(())
}

#[derive(Clone)]
struct Mux(MultiplexedConnection);

impl Publish for Mux {
    const NAME: &'static str = "redis-rs mux";

    async fn publish(&mut self, task: usize) -> Result<()> {
        bare(&mut self.0, task).await
    }
}

#[derive(Clone)]
struct Manager(ConnectionManager);

impl Publish for Manager {
    const NAME: &'static str = "redis-rs manager";

    async fn publish(&mut self, task: usize) -> Result<()> {
        bare(&mut self.0, task).await
    }
}

#[derive(Clone)]
struct Fred(fred::clients::Client);

impl Publish for Fred {
    const NAME: &'static str = "fred";

    async fn publish(&mut self, task: usize) -> Result<()> {
        let _: i64 = self.0.publish(channel(task), [b'x'; PAYLOAD].as_slice()).await?;
        Ok(())
    }
}

/// All tasks that publish by one client.
struct All<P>(P);

struct One<P>(P, usize);

impl<P: Publish> Contender<usize> for All<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn load(&self, tasks: usize, duration: Duration, keep: Keep) -> Boxed<'_, Load> {
        let of_task = |task| One(self.0.clone(), task);
        Box::pin(
            async move { calls(of_task, tasks, duration, keep).await.with_context(|| P::NAME.to_owned()) },
        )
    }
}

impl<P: Publish> Call for One<P> {
    const OPS: usize = 1;

    async fn call(&mut self) -> Result<()> {
        self.0.publish(self.1).await
    }
}
