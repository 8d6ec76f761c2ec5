//! What telemetry costs a command: two builds of one program, with telemetry and without, their instructions counted by
//! callgrind; and what a listener costs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::Command;
use crate::workspace::{self, text};
use crate::{install, usage};

const PAGE: &str = "docs/bench/telemetry.md";
const BEGIN: &str = "<!-- figures begin -->";
const END: &str = "<!-- figures end -->";
const EXAMPLE: &str = "cargo build --profile bench -p cenote-pool-core --example telemetry_cost";
/// Without the feature, and with every span and event compiled out.
const WITHOUT: &[&str] = &["--no-default-features", "--features", "tracing/max_level_off"];
const WITH: &[&str] = &["--features", "metrics"];
/// What is promised.
const MOST_PERCENT: f64 = 2.0;
const TASKS: &[usize] = &[1, 64];
const LISTENERS: &[(&str, &str)] = &[
    ("nobody", "nobody"),
    ("metrics", "a recorder of metrics, for Prometheus"),
    ("spans", "a subscriber that formats each span"),
];

/// How much is run.
struct Size {
    counted: usize,
    counts: usize,
    timed: usize,
    rounds: usize,
}

/// One row of the page.
struct Row {
    tasks: usize,
    without: f64,
    /// With telemetry, for each of the listeners: instructions, and nanoseconds.
    with: Vec<(f64, f64)>,
}

impl Row {
    fn percent(&self) -> f64 {
        (self.with[0].0 / self.without - 1.0) * 100.0
    }
}

pub(crate) fn run(flags: &[String]) -> Result<()> {
    let (mut quick, mut write) = (false, false);
    for flag in flags {
        match flag.as_str() {
            "--quick" => quick = true,
            "--write-docs" => write = true,
            other => {
                return Err(usage(format!(
                    "{other} does not go with `bench telemetry`, which takes --quick and --write-docs"
                )));
            }
        }
    }
    install::ensure_server()?;
    install::VALGRIND.ensure()?;
    let size = if quick {
        Size { counted: 1_280, counts: 2, timed: 64_000, rounds: 2 }
    } else {
        Size { counted: 6_400, counts: 3, timed: 320_000, rounds: 5 }
    };
    let [without, with] =
        [("without", WITHOUT), ("with", WITH)].map(|(name, features)| build(name, features));
    let (without, with) = (without?, with?);
    let rows =
        TASKS.iter().map(|&tasks| measure(&without, &with, tasks, &size)).collect::<Result<Vec<_>>>()?;
    let figures = figures(&rows);
    println!("\n{figures}");
    if write {
        let page = workspace::root().join(PAGE);
        let before = fs::read_to_string(&page).with_context(|| PAGE.to_owned())?;
        fs::write(&page, with_figures(&before, &figures)?)?;
        println!("wrote {PAGE}");
    }
    match rows.iter().map(Row::percent).find(|percent| *percent >= MOST_PERCENT) {
        Some(percent) => {
            bail!("telemetry that nobody listens to costs {percent:.1} %: {MOST_PERCENT} % are promised")
        }
        None => Ok(()),
    }
}

/// The program of this variant, where the next build does not overwrite it.
fn build(name: &str, features: &[&str]) -> Result<PathBuf> {
    let command = Command::line(EXAMPLE).args(features.iter().copied());
    let command = command.arg("--message-format=json-render-diagnostics");
    println!("$ {command}");
    let output = command.output()?;
    let messages = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = messages.map(|message| text(&message["executable"])).rfind(|file| !file.is_empty());
    let built = PathBuf::from(built.context("cargo names no program that it built")?);
    let kept = built.with_file_name(format!("telemetry_cost-{name}"));
    fs::copy(&built, &kept).with_context(|| kept.display().to_string())?;
    Ok(kept)
}

fn measure(without: &Path, with: &Path, tasks: usize, size: &Size) -> Result<Row> {
    let nothing = (f64::INFINITY, f64::INFINITY);
    let mut row = Row { tasks, without: f64::INFINITY, with: vec![nothing; LISTENERS.len()] };
    // How often a task is woken in vain is the machine's business: the least of each is of its own.
    for _ in 0..size.counts {
        row.without = row.without.min(instructions(without, "nobody", tasks, size.counted)?);
        for ((listener, _), (least, _)) in LISTENERS.iter().zip(&mut row.with) {
            *least = least.min(instructions(with, listener, tasks, size.counted)?);
        }
    }
    // A task alone waits for each reply.
    let timed = if tasks == 1 { size.timed / 10 } else { size.timed };
    // In turn, so that what slows the machine slows all; the fastest of each was disturbed least.
    for _ in 0..size.rounds {
        for ((listener, _), (_, fastest)) in LISTENERS.iter().zip(&mut row.with) {
            let took = program(with, listener, tasks, timed).output()?;
            *fastest = fastest.min(took.trim().parse().context("nanoseconds")?);
        }
    }
    Ok(row)
}

fn program(file: &Path, listener: &str, tasks: usize, calls: usize) -> Command {
    Command::new(&file.to_string_lossy()).args([listener.to_owned(), tasks.to_string(), calls.to_string()])
}

/// Of each call, by all that it needs in this process.
fn instructions(file: &Path, listener: &str, tasks: usize, calls: usize) -> Result<f64> {
    let counts = file.with_extension("callgrind");
    let valgrind = Command::line(
        "valgrind --quiet --tool=callgrind --collect-atstart=no --toggle-collect=*counted_calls*",
    );
    let valgrind = valgrind.arg(format!("--callgrind-out-file={}", counts.display()));
    let program =
        [file.to_string_lossy().into_owned(), listener.to_owned(), tasks.to_string(), calls.to_string()];
    valgrind.args(program).output()?;
    let counts = fs::read_to_string(&counts).with_context(|| counts.display().to_string())?;
    Ok(total(&counts)? as f64 / calls as f64)
}

fn total(counts: &str) -> Result<u64> {
    let total =
        counts.lines().find_map(|line| line.strip_prefix("summary: ")).context("callgrind's summary")?;
    let total = total.trim().parse().context("callgrind's summary")?;
    if total == 0 {
        bail!("callgrind counted nothing: the program has no function `counted_calls`");
    }
    Ok(total)
}

fn figures(rows: &[Row]) -> String {
    let mut text = String::from(
        "| tasks | instructions a call, without telemetry | with it, nobody listening | more |\n| ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let with = row.with[0].0;
        text += &format!(
            "| {} | {} | {} | **{:.1} %** |\n",
            row.tasks,
            whole(row.without),
            whole(with),
            row.percent()
        );
    }
    text += "\n| tasks | listener | instructions a call | more | ns a call | more |\n| ---: | --- | ---: | ---: | ---: | ---: |\n";
    for row in rows {
        let (base, base_ns) = row.with[0];
        for ((_, name), (instructions, ns)) in LISTENERS.iter().zip(&row.with) {
            let (more, more_ns) = (instructions - base, ns - base_ns);
            text += &format!(
                "| {} | {name} | {} | {} | {} | {} |\n",
                row.tasks,
                whole(*instructions),
                whole(more),
                whole(*ns),
                whole(more_ns)
            );
        }
    }
    text
}

fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = if number <= -0.5 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn with_figures(page: &str, figures: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("the page has no beginning of the figures")?;
    let (_, after) = rest.split_once(END).context("the page has no end of the figures")?;
    Ok(format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;

    #[test]
    fn only_its_own_flags_are_taken() {
        for flag in ["--json", "--only"] {
            assert!(run(&[flag.to_owned()]).unwrap_err().is::<Usage>());
        }
    }

    #[test]
    fn what_callgrind_counted_is_read_and_nothing_is_no_figure() {
        assert_eq!(total("events: Ir\nsummary: 45211086\n").unwrap(), 45_211_086);
        assert!(total("summary: 0\n").unwrap_err().to_string().contains("counted_calls"));
        assert!(total("").is_err());
    }

    #[test]
    fn the_figures_stand_between_their_marks_and_say_what_is_more() {
        let row = Row {
            tasks: 64,
            without: 3_600.0,
            with: vec![(3_636.0, 1_000.0), (4_000.0, 1_100.4), (9_000.0, 950.0)],
        };
        let figures = figures(&[row]);
        assert!(figures.contains("| 64 | 3,600 | 3,636 | **1.0 %** |"), "{figures}");
        assert!(
            figures.contains("| 64 | a recorder of metrics, for Prometheus | 4,000 | 364 | 1,100 | 100 |"),
            "{figures}"
        );
        assert!(figures.contains("| 9,000 | 5,364 | 950 | -50 |"), "{figures}");
        let page = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        assert_eq!(with_figures(&page, "new\n").unwrap(), format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"));
        assert!(with_figures("nothing", "new").is_err());
        let page = fs::read_to_string(workspace::root().join(PAGE)).unwrap();
        assert!(with_figures(&page, "new").is_ok());
    }
}
