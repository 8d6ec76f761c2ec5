//! Which part of a run is wanted. What is not said means everything.

use anyhow::{Result, bail, ensure};

use crate::bench::{Bench, Case, Family};
use crate::contender::{self, Entrant};

/// Names as they are written on a command line; numbers above 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(super) only: Vec<String>,
    pub(super) clients: Vec<String>,
    pub(super) tasks: Vec<usize>,
    pub(super) rounds: Option<usize>,
}

impl Selection {
    pub(crate) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// The clients that are to take part.
    pub(crate) fn entrants(&self, family: Family) -> Vec<Entrant> {
        let is_wanted = |entrant: &Entrant| is_among(&self.clients, &plain(entrant.name));
        entrants(family).filter(is_wanted).collect()
    }

    /// The cases that are to be run. Numbers of tasks that were asked for are run in a quick run, too.
    pub(super) fn cases(&self, family: Family, quick: bool) -> Vec<Case> {
        let cases = |&bench: &Bench| {
            let tasks = if quick && self.tasks.is_empty() { bench.quick_tasks() } else { bench.tasks() };
            tasks.iter().map(move |&tasks| Case { bench, tasks })
        };
        let benches = family.benches().iter().filter(|bench| is_among(&self.only, bench.name()));
        benches.flat_map(cases).filter(|case| is_among(&self.tasks, &case.tasks)).collect()
    }

    /// # Errors
    ///
    /// Something in it is no part of this family.
    pub(super) fn check(&self, family: Family) -> Result<()> {
        let benches = family.benches().iter().map(|bench| bench.name().to_owned());
        check_names("--only", family, &self.only, benches)?;
        check_names("--clients", family, &self.clients, entrants(family).map(|entrant| plain(entrant.name)))?;
        ensure!(!self.cases(family, false).is_empty(), "{}", self.no_cases(family));
        Ok(())
    }

    fn no_cases(&self, family: Family) -> String {
        let any_tasks = Self { only: self.only.clone(), ..Self::default() };
        let mut known: Vec<_> = any_tasks.cases(family, false).iter().map(|case| case.tasks).collect();
        known.sort_unstable();
        known.dedup();
        let [asked, known] = [&self.tasks, &known]
            .map(|numbers| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
        format!("nothing is run with {asked} tasks; there are {known}")
    }
}

/// `redis-rs mux` as it is written on a command line.
pub(super) fn plain(name: &str) -> String {
    name.replace(' ', "-")
}

fn entrants(family: Family) -> impl Iterator<Item = Entrant> {
    family.benches().first().into_iter().flat_map(|&bench| contender::of(bench)).copied()
}

fn is_among<T: PartialEq<U>, U: ?Sized>(wanted: &[T], one: &U) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == one)
}

fn check_names(
    flag: &str,
    family: Family,
    asked: &[String],
    known: impl Iterator<Item = String>,
) -> Result<()> {
    let known: Vec<_> = known.collect();
    match asked.iter().find(|name| !known.contains(name)) {
        Some(name) => {
            bail!("{flag}: {name} is not part of {}: there are {}", family.name(), known.join(", "))
        }
        None => Ok(()),
    }
}
