//! One job as bars: one of its own, and one below for each of its children that is not done.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words;
use crate::snapshot::{ChildSnapshot, Liveness, Snapshot};

/// Into how many parts a bar is divided.
const PARTS: u64 = 10_000;
/// Where its children begin.
const INDENT: &str = "  ";
const PENDING: &str = "not known yet: waiting for it";

#[derive(Debug)]
pub(super) struct Rows {
    bar: ProgressBar,
    children: Vec<(String, ProgressBar)>,
    snapshot: Option<Snapshot>,
    liveness: Liveness,
    age: Option<Duration>,
    /// When `age` was told.
    told: Instant,
}

impl Rows {
    /// Below all that are there.
    pub(super) fn new(name: &str, multi: &MultiProgress, width: usize) -> Self {
        let told = Instant::now();
        let bar = multi.add(bar(name, width, false, PENDING.to_owned()));
        Self { bar, children: Vec::new(), snapshot: None, liveness: Liveness::Live, age: None, told }
    }

    /// The width of the names has changed. It shows with what is drawn next.
    pub(super) fn restyle(&self, width: usize) {
        let known = self.snapshot.as_ref().is_some_and(|it| it.fraction.is_some());
        self.bar.set_style(style(width, known));
        for (name, bar) in &self.children {
            let child = self.snapshot.iter().flat_map(|it| &it.children).find(|child| *child.name == **name);
            bar.set_style(style(width, child.is_some_and(|child| child.fraction.is_some())));
        }
    }

    /// Styles come before figures, as each of these may be drawn.
    pub(super) fn state(&mut self, snapshot: &Snapshot, multi: &MultiProgress, width: usize) {
        self.snapshot = Some(snapshot.clone());
        let open: Vec<_> = snapshot.children.iter().filter(|child| !words::is_done(child)).collect();
        self.children.retain(|(name, bar)| {
            let stays = open.iter().any(|child| *child.name == **name);
            if !stays {
                bar.finish_and_clear();
                multi.remove(bar);
            }
            stays
        });
        self.restyle(width);
        set(&self.bar, snapshot.fraction);
        self.say();
        for child in open {
            let bar = self.child(child, multi, width);
            set(&bar, child.fraction);
            bar.set_message(about(child));
        }
    }

    fn child(&mut self, child: &ChildSnapshot, multi: &MultiProgress, width: usize) -> ProgressBar {
        if let Some((_, bar)) = self.children.iter().find(|(known, _)| **known == *child.name) {
            return bar.clone();
        }
        let last = self.children.last().map_or(&self.bar, |(_, bar)| bar);
        let new = bar(&name_of(child), width, child.fraction.is_some(), about(child));
        let bar = multi.insert_after(last, new);
        self.children.push((child.name.to_string(), bar.clone()));
        bar
    }

    pub(super) fn liveness(&mut self, liveness: Liveness, age: Option<Duration>) {
        (self.liveness, self.age, self.told) = (liveness, age, Instant::now());
        self.say();
    }

    /// What moves by itself: a spinner, and how long a worker has been silent.
    pub(super) fn tick(&self) {
        if self.liveness != Liveness::Live {
            self.say();
        }
        if self.snapshot.as_ref().is_none_or(|it| it.fraction.is_none()) {
            self.bar.tick();
        }
    }

    fn say(&self) {
        let Some(snapshot) = &self.snapshot else { return };
        let age = self.age.map(|age| age + self.told.elapsed());
        let liveness = words::liveness(self.liveness, age);
        let count = words::count(snapshot.done, snapshot.total, snapshot.unit.as_deref());
        let mut parts = words::marks(snapshot, liveness.as_deref());
        parts.extend(words::percent(snapshot.fraction).map(|percent| format!("{percent:>5}")));
        parts.extend((!count.is_empty()).then_some(count));
        parts.extend(words::rate(snapshot));
        parts.extend(words::left(snapshot));
        parts.extend(words::doing(snapshot));
        self.bar.set_message(parts.join("  "));
    }

    /// Takes all its bars away.
    pub(super) fn clear(&self, multi: &MultiProgress) {
        for bar in self.children.iter().map(|(_, bar)| bar).chain([&self.bar]) {
            bar.finish_and_clear();
            multi.remove(bar);
        }
    }
}

/// A bar that is nowhere yet.
fn bar(name: &str, width: usize, known: bool, message: String) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(PARTS), ProgressDrawTarget::hidden());
    bar.with_style(style(width, known)).with_prefix(name.to_owned()).with_message(message)
}

pub(super) fn name_of(child: &ChildSnapshot) -> String {
    format!("{INDENT}{}", words::safe(&child.name))
}

fn about(child: &ChildSnapshot) -> String {
    let count = words::count(child.done, child.total, child.unit.as_deref());
    let mut parts: Vec<_> =
        words::percent(child.fraction).map(|percent| format!("{percent:>5}")).into_iter().collect();
    parts.extend((!count.is_empty()).then_some(count));
    parts.extend(child.message.as_deref().map(words::safe));
    parts.join("  ")
}

fn set(bar: &ProgressBar, fraction: Option<f64>) {
    if let Some(fraction) = fraction {
        bar.set_position((fraction.clamp(0.0, 1.0) * PARTS as f64) as u64);
    }
}

/// With a bar, or with a spinner in its place if no total is known.
fn style(width: usize, known: bool) -> ProgressStyle {
    let middle = if known { "{bar:24.cyan/dim}" } else { "{spinner:24.cyan}" };
    let style = ProgressStyle::with_template(&format!("{{prefix:{width}!.bold}} {middle} {{wide_msg}}"));
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸─").tick_chars("⠁⠂⠄⡀⢀⠠⠐⠈ ")
}
