//! What was looked at, and how it is told.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::exit::Exit;

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// There was no point in it after what went before, or nobody tells.
    Skipped,
    Ok,
    /// It serves, and it may do harm one day.
    Warning,
    Wrong,
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    pub(super) step: &'static str,
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    #[serde(skip)]
    pub(super) exit: Exit,
}

impl Check {
    pub(super) fn ok(step: &'static str, seen: impl Into<String>) -> Self {
        Self { step, verdict: Verdict::Ok, seen: seen.into(), remedy: None, exit: Exit::Finished }
    }

    /// Nothing is known of it.
    pub(super) fn not_told(step: &'static str, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, ..Self::ok(step, why) }
    }

    pub(super) fn warning(step: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, remedy: Some(remedy.into()), ..Self::ok(step, seen) }
    }

    pub(super) fn wrong(
        step: &'static str,
        exit: Exit,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Wrong, exit, remedy: Some(remedy.into()), ..Self::ok(step, seen) }
    }
}

/// All steps, in their order.
pub(super) const STEPS: [&str; 12] = [
    "dns", "tcp", "tls", "auth", "resp3", "database", "role", "latency", "clock", "memory", "disk", "pub/sub",
];

#[derive(Debug)]
pub(super) struct Report {
    /// The URL, without its password.
    pub(super) url: String,
    /// Who said so.
    pub(super) source: String,
    pub(super) checks: Vec<Check>,
}

impl Report {
    /// In place of what was told of the same step before more was known.
    pub(super) fn put(&mut self, check: Check) {
        self.checks.retain(|told| told.step != check.step);
        self.checks.push(check);
    }

    pub(super) fn exit(&self) -> Exit {
        self.worst(Verdict::Wrong).map_or(Exit::Finished, |check| check.exit)
    }

    fn worst(&self, verdict: Verdict) -> Option<&Check> {
        self.checks.iter().find(|check| check.verdict == verdict)
    }

    /// The cause, in one line.
    pub(super) fn summary(&self) -> String {
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let more = |count: usize, what: &str| match count {
            0 => String::new(),
            1 => format!(" (and 1 more {what})"),
            count => format!(" (and {count} more {what}s)"),
        };
        let url = &self.url;
        if let Some(check) = self.worst(Verdict::Wrong) {
            let others = count(Verdict::Wrong) + count(Verdict::Warning) - 1;
            return format!("{url}: {}{}", check.seen, more(others, "finding"));
        }
        match self.worst(Verdict::Warning) {
            Some(check) => {
                format!(
                    "{url} serves, with a warning: {}{}",
                    check.seen,
                    more(count(Verdict::Warning) - 1, "warning")
                )
            }
            None => format!("{url} is well"),
        }
    }

    pub(super) fn write_json(&self) -> io::Result<()> {
        let skipped = self.skipped();
        let report = serde_json::json!({
            "version": 1,
            "url": self.url,
            "from": self.source,
            "summary": self.summary(),
            "exit": self.exit().code(),
            "checks": self.checks.iter().chain(&skipped).collect::<Vec<_>>(),
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{report:#}")?;
        out.flush()
    }

    /// The same where the URL or a setting cannot be, so that there is nothing to look at.
    pub(super) fn write_json_of_refusal(source: &str, why: &str, exit: Exit) -> io::Result<()> {
        let report = serde_json::json!({
            "version": 1,
            "url": null,
            "from": source,
            "summary": why,
            "exit": exit.code(),
            "checks": [],
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{report:#}")?;
        out.flush()
    }

    /// Escape sequences go where somebody sees them.
    pub(super) fn write(&self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        let worst = self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
        let style = style(worst).bold();
        writeln!(out, "{style}{}{style:#}\n", self.summary())?;
        for check in self.checks.iter().chain(&self.skipped()) {
            let style = self::style(check.verdict);
            let word = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Wrong => "WRONG",
                Verdict::Skipped => "-",
            };
            writeln!(out, "  {:<10}{style}{word:<9}{style:#}{}", check.step, check.seen)?;
            if let Some(remedy) = &check.remedy {
                writeln!(out, "  {:<19}-> {remedy}", "")?;
            }
        }
        writeln!(out, "\nThe address is {}.", self.source)?;
        out.flush()
    }

    fn skipped(&self) -> Vec<Check> {
        let is_missing = |step: &&&str| !self.checks.iter().any(|check| check.step == **step);
        let skipped = |step: &&'static str| Check::not_told(step, "not looked at");
        STEPS.iter().filter(is_missing).map(skipped).collect()
    }
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Ok => AnsiColor::Green.on_default(),
        Verdict::Warning => AnsiColor::Yellow.on_default(),
        Verdict::Wrong => AnsiColor::Red.on_default(),
        Verdict::Skipped => Style::new().dimmed(),
    }
}

/// As a person reads it.
pub(super) fn shown(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        ..10.0 => format!("{millis:.2} ms"),
        ..1000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1e3),
    }
}

/// What came from elsewhere, without what moves a cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect::<String>().trim().to_owned()
}
