//! The pages in `docs/bench`: figures between two markers, and prose around them that is left alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::Row;
use super::blocks::{GAUGES, blocks};
use super::chart::{self, Chart};
use super::setting::Setting;
use super::standing;
use super::steadiness;
use super::subject;
use super::summary::{LEGEND, summaries};

const BEGIN: &str = "<!-- figures begin -->";
const END: &str = "<!-- figures end -->";
/// What is fewer is a look, and not a measurement.
const ROUNDS_OF_A_FULL_RUN: usize = 15;

/// Writes `docs/bench/{name}.md` and its chart from the rows that belong to it: `pool`, `dedicated`, `lru`,
/// `cache`, `ratelimit` or `progress`.
///
/// # Errors
///
/// There are no such rows, the page has lost its markers, or the files cannot be written.
pub(crate) fn write_docs(name: &str, rows: &[Row]) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bench");
    let page = folder.join(format!("{name}.md"));
    let rows: Vec<_> = rows.iter().filter(|row| subject::is_of(name, row.bench)).cloned().collect();
    ensure!(!rows.is_empty(), "nothing of `{name}` was measured, so there is nothing to write to its page");

    let before = if page.exists() { fs::read_to_string(&page)? } else { skeleton(name)? };
    let setting = Setting::of(name)?;
    let chart = chart::of(name, &rows, &setting);
    let figures = figures(name, &rows, &setting, chart.as_ref());
    let text = with_figures(&before, &figures).with_context(|| format!("docs/bench/{name}.md"))?;

    fs::create_dir_all(&folder)?;
    if let Some(chart) = &chart {
        fs::write(folder.join(format!("{name}.svg")), &chart.svg)?;
    }
    fs::write(&page, text).with_context(|| page.display().to_string())?;
    eprintln!("wrote docs/bench/{name}.md{}", if chart.is_some() { " and its chart" } else { "" });
    Ok(())
}

/// A page before its first figures.
fn skeleton(name: &str) -> Result<String> {
    let (title, about) = match name {
        "pool" => (
            "Shared connections under load",
            "One client each, used as its documentation recommends, with its default settings, by 1 to 1024 tasks at \
             once. Clients and server share one machine, and the clients take turns in one process, round by round.",
        ),
        "dedicated" => (
            "Exclusive connections under load",
            "Each operation acquires one of 20 exclusive connections, sends a GET and gives the connection back. The \
             clients take turns in one process, round by round.",
        ),
        "lru" => (
            "The in-memory LRU",
            "The store behind `FallbackLru`, called directly, beside in-memory caches: 10,000 entries of 100 B. The \
             caches take turns in one process, round by round.",
        ),
        "cache" => (
            "The cache in two tiers",
            "`Cache` beside caches that live in the process, stores in Redis, and one that is both. They take turns in one \
             process, round by round; Redis shares the machine.",
        ),
        "ratelimit" => (
            "The rate limiter",
            "`RateLimiter` beside others that count in Redis, one that counts in the process, and the script that it runs, \
             sent by hand. They take turns in one process, round by round; Redis shares the machine.",
        ),
        "progress" => (
            "Progress of jobs",
            "`Progress` beside bare pub/sub by other clients: what a report costs, how soon a watcher has it, and what many \
             watchers cost the process and the server. They take turns in one process, round by round; Redis shares the \
             machine.",
        ),
        _ => {
            bail!("there is no page `{name}`; there are pool, dedicated, lru, cache, ratelimit and progress")
        }
    };
    Ok(format!(
        "# {title}\n\n{about}\n\nTo measure it on your machine, and write this page anew:\n\n```console\n\
         $ cargo xtask bench {name} --write-docs\n```\n\n{BEGIN}\n{END}\n"
    ))
}

/// The page with these figures in place of those it had.
fn with_figures(page: &str, figures: &str) -> Result<String> {
    let lost = || {
        format!(
            "the figures go between the lines `{BEGIN}` and `{END}`, each once and in this order: put them back"
        )
    };
    let (above, rest) = page.split_once(BEGIN).with_context(lost)?;
    let (old, below) = rest.split_once(END).with_context(lost)?;
    ensure!(![above, old, below].iter().any(|part| part.contains(BEGIN) || part.contains(END)), lost());
    Ok(format!("{above}{BEGIN}\n\n{}\n\n{END}{below}", figures.trim()))
}

fn figures(name: &str, rows: &[Row], setting: &Setting, chart: Option<&Chart>) -> String {
    let mut text = format!("{}\n\n", rounds(rows, setting));
    if let Some(warning) = steadiness::warning(rows) {
        text += &format!("**{warning}**\n\n");
    }
    text += &format!("- Machine: {}\n- Versions: {}\n\n", setting.machine, setting.versions.join(", "));
    if let Some(chart) = chart {
        text += &format!("![{}]({name}.svg)\n\n", chart.about);
    }
    for summary in summaries(rows) {
        text += &format!("## Beside the peers\n\n{LEGEND}\n\n{}\n", summary.grid.markdown());
    }
    for block in blocks(rows) {
        let colon = if block.about.is_empty() { "" } else { ": " };
        text += &format!("## `{}`{colon}{}\n\n{}\n", block.bench, block.about, block.grid.markdown());
        if !standing::gauges(block.bench, rows).is_empty() {
            text += &format!("{GAUGES}\n\n");
        }
    }
    text
}

fn rounds(rows: &[Row], setting: &Setting) -> String {
    let rounds = super::rounds(rows);
    let quick = if rounds < ROUNDS_OF_A_FULL_RUN { " A quick look: a full run has more rounds." } else { "" };
    format!(
        "Measured on {}; medians of {rounds} rounds, ± half of the interquartile range.{quick}",
        setting.date
    )
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn setting() -> Setting {
        Setting {
            machine: "2 cores".to_owned(),
            versions: vec!["cenote 0.1.0".to_owned(), "Redis 7.0.15".to_owned()],
            date: "2026-01-31".to_owned(),
        }
    }

    #[test]
    fn the_prose_around_the_figures_is_kept() {
        let page = format!("# Mine\n\nabove\n\n{BEGIN}\nold\n{END}\n\nbelow\n");
        let new = with_figures(&page, "\nnew\n\n").unwrap();
        assert_eq!(new, format!("# Mine\n\nabove\n\n{BEGIN}\n\nnew\n\n{END}\n\nbelow\n"));
        assert_eq!(with_figures(&new, "new").unwrap(), new);
    }

    #[test]
    fn a_page_that_lost_a_marker_is_not_overwritten() {
        let bad =
            [String::new(), BEGIN.to_owned(), format!("{END}{BEGIN}"), format!("{BEGIN}{END}{BEGIN}{END}")];
        for page in bad {
            let error = with_figures(&page, "new").unwrap_err().to_string();
            assert!(error.contains(BEGIN) && error.contains(END), "{error}");
        }
    }

    #[test]
    fn a_new_page_says_how_to_repeat_it() {
        for name in ["pool", "dedicated", "lru", "cache", "ratelimit", "progress"] {
            let page = with_figures(&skeleton(name).unwrap(), "new").unwrap();
            assert!(page.contains(&format!("$ cargo xtask bench {name} --write-docs")), "{page}");
        }
        assert!(
            skeleton("pond")
                .unwrap_err()
                .to_string()
                .contains("pool, dedicated, lru, cache, ratelimit and progress")
        );
    }

    #[test]
    fn the_figures_have_their_setting_beside_them() {
        let rows = samples::pool();
        let chart = chart::of("pool", &rows, &setting());
        let text = figures("pool", &rows, &setting(), chart.as_ref());
        for part in
            ["2026-01-31; medians of 15 rounds", "2 cores", "cenote 0.1.0, Redis 7.0.15", "](pool.svg)"]
        {
            assert!(text.contains(part), "{part} is missing from {text}");
        }
        assert!(text.contains("## `pool-get`: GET of 100 B\n\n| tasks | client | ops k/s |"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("quick look"));
    }

    #[test]
    fn a_restless_machine_is_told_of_on_the_page() {
        let rows = [Row { spread: 0.5, ..samples::row("pool-get", "cenote", 16, 1.0) }];
        assert!(figures("pool", &rows, &setting(), None).contains("**Not a quiet machine"));
    }

    #[test]
    fn a_quick_run_is_called_one() {
        let rows = [Row { rounds: 7, ..samples::row("pool-get", "cenote", 1, 1.0) }];
        assert!(figures("pool", &rows, &setting(), None).contains("A quick look"));
    }

    #[test]
    fn rows_of_another_bench_are_no_reason_to_touch_a_page() {
        let error = write_docs("lru", &samples::pool()).unwrap_err().to_string();
        assert!(error.contains("nothing of `lru` was measured"), "{error}");
    }
}
