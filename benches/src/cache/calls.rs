//! What the tasks of the timed benches do.

use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;

use super::clients::{Cenote, Filling, Stored, StoredMany};
use super::values::KEYS;
use crate::contender::{Boxed, Contender};
use crate::measure::{Call, Keep, Load, calls};

/// Keys of one call for many.
const MANY: usize = 100;

/// Who makes a kind of calls.
struct Caller<F> {
    name: &'static str,
    of_task: F,
}

impl<C: Call, F: Fn(usize) -> C> Contender<usize> for Caller<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn load(&self, tasks: usize, duration: Duration, keep: Keep) -> Boxed<'_, Load> {
        Box::pin(async move {
            calls(&self.of_task, tasks, duration, keep).await.with_context(|| self.name.to_owned())
        })
    }
}

fn caller<C: Call>(name: &'static str, of_task: impl Fn(usize) -> C + 'static) -> Box<dyn Contender<usize>> {
    Box::new(Caller { name, of_task })
}

/// Keys at random, others for each task.
fn random(task: usize) -> Rng {
    Rng::with_seed(task as u64)
}

/// A value that is stored.
pub(super) struct Get<S> {
    store: S,
    random: Rng,
}

impl<S: Stored> Get<S> {
    pub(super) fn contender(store: S) -> Box<dyn Contender<usize>> {
        caller(S::NAME, move |task| Self { store: store.clone(), random: random(task) })
    }
}

impl<S: Stored> Call for Get<S> {
    const OPS: usize = 1;

    async fn call(&mut self) -> Result<()> {
        self.store.get(self.random.usize(..KEYS)).await
    }
}

/// Values that are stored, all in one call.
pub(super) struct Many<S> {
    store: S,
    random: Rng,
}

impl<S: StoredMany> Many<S> {
    pub(super) fn contender(store: S) -> Box<dyn Contender<usize>> {
        caller(S::NAME, move |task| Self { store: store.clone(), random: random(task) })
    }
}

impl<S: StoredMany> Call for Many<S> {
    const OPS: usize = MANY;

    async fn call(&mut self) -> Result<()> {
        let first = self.random.usize(..KEYS - MANY);
        self.store.get_many(first..first + MANY).await
    }
}

/// The same values, one call after the other.
pub(super) struct OneByOne {
    cache: Cenote,
    random: Rng,
}

impl OneByOne {
    pub(super) fn contender(cache: Cenote) -> Box<dyn Contender<usize>> {
        caller("cenote one by one", move |task| Self { cache: cache.clone(), random: random(task) })
    }
}

impl Call for OneByOne {
    const OPS: usize = MANY;

    async fn call(&mut self) -> Result<()> {
        let first = self.random.usize(..KEYS - MANY);
        for index in first..first + MANY {
            self.cache.get(index).await?;
        }
        Ok(())
    }
}

/// A value that nobody has, and that is stored once it is loaded.
pub(super) struct Fill<S> {
    store: S,
}

impl<S: Filling> Fill<S> {
    pub(super) fn contender(store: S) -> Box<dyn Contender<usize>> {
        caller(S::NAME, move |_| Self { store: store.clone() })
    }
}

impl<S: Filling> Call for Fill<S> {
    const OPS: usize = 1;

    async fn call(&mut self) -> Result<()> {
        // Of so many no two are alike.
        self.store.load(&format!("new:{:016x}", fastrand::u64(..))).await
    }
}
