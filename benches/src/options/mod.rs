//! The command line.

mod selection;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

pub(crate) use self::selection::Selection;
use self::selection::plain;
use crate::bench::{Case, Family, Length};

pub(crate) const HELP: &str = "\
Measures Cenote beside its peers, on a server of its own.

usage: cenote-benches [pool|dedicated|lru|cache|ratelimit|progress|all] [--quick] [--json FILE] [--write-docs] [narrowing]

  pool           commands over shared connections
  dedicated      20 exclusive connections
  lru            the in-memory store
  cache          the cache in two tiers
  ratelimit      the rate limiter
  progress       progress of jobs, and who watches it
  all            the six of them (when nothing is said)

  --quick        fewer cases and shorter rounds: under a minute for `pool`
  --json FILE    writes the rows there, too
  --write-docs   writes the tables and charts into docs/bench

To see less, and sooner, of `pool` or `dedicated`:

  --only BENCH,...      pool-get, pool-mix, pool-pipeline, pool-neighbour; dedicated
  --clients NAME,...    cenote, redis-rs-mux, redis-rs-manager, deadpool, bb8, fred, rustis
  --tasks N,...         of 1, 16, 64, 255 (pool-neighbour), 256, 1024
  --rounds N            instead of 15 (7 with --quick)
";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) families: Vec<Family>,
    pub(crate) quick: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) write_docs: bool,
    pub(crate) selection: Selection,
}

impl Options {
    /// # Errors
    ///
    /// What is wrong with the arguments, and what would be right.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut options = Self::default();
        let mut seen = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some(word) = argument.to_str() else { bail!("{} is not known", argument.display()) };
            let mut value = |what: &str| match arguments.next() {
                Some(value) if !value.is_empty() && !value.as_encoded_bytes().starts_with(b"-") => Ok(value),
                _ => bail!("{word} is followed by {what}"),
            };
            let selection = &mut options.selection;
            match word {
                "--quick" => options.quick = true,
                "--write-docs" => options.write_docs = true,
                "--json" => options.json = Some(value("a file to write")?.into()),
                "--only" => selection.only = list(&value("names of benches, as in pool-get,pool-mix")?)?,
                "--clients" => selection.clients = list(&value("names of clients, as in cenote,rustis")?)?,
                "--tasks" => selection.tasks = numbers(word, &value("numbers of tasks, as in 1,64")?)?,
                "--rounds" => {
                    let numbers = numbers(word, &value("a number")?)?;
                    ensure!(numbers.len() == 1, "--rounds is one number");
                    selection.rounds = Some(numbers[0]);
                }
                _ if word.starts_with('-') => {
                    bail!(
                        "{word} is not known: there are --quick, --json, --write-docs, --only, --clients, --tasks and --rounds"
                    )
                }
                _ => {
                    ensure!(
                        options.families.is_empty(),
                        "{word} is one too many: name one of pool, dedicated, lru, cache, ratelimit, progress and all"
                    );
                    options.families = families(word)?;
                }
            }
            ensure!(!seen.contains(&argument), "{} is given twice", argument.display());
            seen.push(argument);
        }
        if options.families.is_empty() {
            options.families = Family::ALL.to_vec();
        }
        options.check()?;
        Ok(options)
    }

    /// How long it takes.
    pub(crate) fn length(&self) -> Length {
        let length = if self.quick { Length::QUICK } else { Length::FULL };
        Length { rounds: self.selection.rounds.unwrap_or(length.rounds), ..length }
    }

    /// The cases of a family that are to be run.
    pub(crate) fn cases(&self, family: Family) -> Vec<Case> {
        self.selection.cases(family, self.quick)
    }

    fn check(&self) -> Result<()> {
        if self.selection.is_everything() {
            return Ok(());
        }
        ensure!(
            !self.write_docs,
            "--write-docs shows a whole run: leave out --only, --clients, --tasks and --rounds"
        );
        match self.families[..] {
            [family @ (Family::Lru | Family::Cache)] => {
                let family = family.name();
                bail!("{family} is run whole: leave out --only, --clients, --tasks and --rounds")
            }
            [family] => self.selection.check(family),
            _ => bail!(
                "--only, --clients, --tasks and --rounds go with pool or with dedicated: name one of them"
            ),
        }
    }
}

fn families(word: &str) -> Result<Vec<Family>> {
    if word == "all" {
        return Ok(Family::ALL.to_vec());
    }
    match Family::ALL.into_iter().find(|family| family.name() == word) {
        Some(family) => Ok(vec![family]),
        None => {
            bail!("{word} is not known: there are pool, dedicated, lru, cache, ratelimit, progress and all")
        }
    }
}

fn list(words: &OsString) -> Result<Vec<String>> {
    let Some(words) = words.to_str() else { bail!("{} is not known", words.display()) };
    Ok(words.split(',').map(|word| plain(word.trim())).collect())
}

fn numbers(flag: &str, words: &OsString) -> Result<Vec<usize>> {
    let number = |word: String| match word.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => bail!("{flag}: {word:?} is not a number above 0"),
    };
    list(words)?.into_iter().map(number).collect()
}
