//! Four `GET`s to one `SET`, values of 10 bytes to 10 KB.

use std::sync::LazyLock;

use anyhow::Result;
use fastrand::Rng;

use super::Workload;
use super::data::{self, Entry, SEED, Walk};
use crate::clients::Handle;

/// Long enough that tasks which begin at different places do not march in step.
const STEPS: usize = 10_007;
const SET_SHARE: f64 = 0.2;

pub(crate) struct Mix {
    steps: Walk<Step>,
}

struct Step {
    entry: &'static Entry,
    is_set: bool,
}

impl Workload for Mix {
    fn of_task(index: usize, _tasks: usize) -> Self {
        Self { steps: Walk::from(steps(), index) }
    }

    async fn call(&mut self, handle: &mut impl Handle) -> Result<()> {
        let Step { entry, is_set } = self.steps.next();
        // A key's values always have the same size, so that every reply can be checked.
        if *is_set {
            handle.set(&entry.key, entry.value()).await
        } else {
            entry.check(&handle.get(&entry.key).await?)
        }
    }
}

/// The same for every client in every run.
fn steps() -> &'static [Step] {
    static STEPS_TAKEN: LazyLock<Vec<Step>> = LazyLock::new(|| {
        let mut rng = Rng::with_seed(SEED);
        let entries = data::mixed();
        (0..STEPS)
            .map(|_| Step { entry: &entries[rng.usize(..entries.len())], is_set: rng.f64() < SET_SHARE })
            .collect()
    });
    &STEPS_TAKEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_five_is_a_set() {
        let sets = steps().iter().filter(|step| step.is_set).count();
        let share = sets as f64 / steps().len() as f64;
        assert!((share - 0.2).abs() < 0.01, "{share}");
    }

    #[test]
    fn sets_are_of_all_sizes() {
        let mut sizes: Vec<_> =
            steps().iter().filter(|step| step.is_set).map(|step| step.entry.size).collect();
        sizes.sort_unstable();
        let middle = sizes[sizes.len() / 2];
        assert!(
            (200..500).contains(&middle),
            "log-uniform between 10 and 10,000 has its middle near 316: {middle}"
        );
        assert!(sizes[0] < 20 && sizes[sizes.len() - 1] > 9_000);
    }
}
