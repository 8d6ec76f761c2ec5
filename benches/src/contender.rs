//! Who takes part in which bench.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::{Bench, Case};
use crate::clients::{Bb8, Cenote, CenoteDedicated, Client, Deadpool, Fred, Manager, Multiplexed, Rustis};
use crate::measure::{Keep, Load, load};
use crate::workload::{Get, Mix, Neighbour, Pipeline};

/// A future of whichever client. Whole rounds are boxed, never a call.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// A connected client, whichever it is, and how it is measured in a case.
pub(crate) trait Contender<C = Case> {
    fn name(&self) -> &'static str;
    fn load(&self, case: C, duration: Duration, keep: Keep) -> Boxed<'_, Load>;
}

impl<C: Client> Contender for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn load(&self, case: Case, duration: Duration, keep: Keep) -> Boxed<'_, Load> {
        Box::pin(async move {
            match case.bench {
                Bench::PoolGet | Bench::Dedicated => load::<C, Get>(self, case.tasks, duration, keep).await,
                Bench::PoolMix => load::<C, Mix>(self, case.tasks, duration, keep).await,
                Bench::PoolPipeline => load::<C, Pipeline>(self, case.tasks, duration, keep).await,
                Bench::PoolNeighbour => load::<C, Neighbour>(self, case.tasks, duration, keep).await,
            }
            .with_context(|| format!("{case}, {}", C::NAME))
        })
    }
}

/// A client that can take part.
#[derive(Clone, Copy)]
pub(crate) struct Entrant {
    pub(crate) name: &'static str,
    connect: fn(&str) -> Boxed<'_, Box<dyn Contender>>,
}

/// The clients that take part in a bench.
pub(crate) fn of(bench: Bench) -> &'static [Entrant] {
    if bench == Bench::Dedicated { DEDICATED } else { POOL }
}

/// The clients of `pool`.
const POOL: &[Entrant] = &[
    entrant::<Cenote>(),
    entrant::<Multiplexed>(),
    entrant::<Manager>(),
    entrant::<Deadpool>(),
    entrant::<Bb8>(),
    entrant::<Fred>(),
    entrant::<Rustis>(),
];

/// The clients of `dedicated`: those that have exclusive connections.
const DEDICATED: &[Entrant] = &[entrant::<CenoteDedicated>(), entrant::<Deadpool>(), entrant::<Bb8>()];

const fn entrant<C: Client>() -> Entrant {
    Entrant { name: C::NAME, connect: |url| Box::pin(connect::<C>(url)) }
}

async fn connect<C: Client>(url: &str) -> Result<Box<dyn Contender>> {
    let client = C::connect(url).await.with_context(|| format!("{} does not connect", C::NAME))?;
    Ok(Box::new(client))
}

impl Entrant {
    pub(crate) async fn connect(&self, url: &str) -> Result<Box<dyn Contender>> {
        (self.connect)(url).await
    }
}
