//! All jobs as bars, with what is told line by line above them.

use std::collections::HashMap;
use std::io;

use console::{Style, measure_text_width};
use indicatif::{MultiProgress, ProgressDrawTarget};

use super::rows::{self, Rows};
use super::words;
use crate::event::{Event, Level};
use crate::snapshot::ChildSnapshot;

/// A longer name is cut, in columns.
const WIDEST: usize = 32;

#[derive(Debug)]
pub(super) struct Bars {
    multi: MultiProgress,
    jobs: HashMap<String, Rows>,
    /// Of the names: it grows, so that bars do not jump.
    width: usize,
    colours: bool,
}

impl Bars {
    pub(super) fn new(target: ProgressDrawTarget, colours: bool) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        Self { multi, jobs: HashMap::new(), width: 8, colours }
    }

    pub(super) fn show(&mut self, job: &str, event: &Event) -> io::Result<()> {
        if event.is_end() {
            self.forget(job);
            return self.line(job, words::other(event), style_of_end(event));
        }
        let name = words::safe(job);
        self.widen(&name, event.snapshot().map(|it| &*it.children).unwrap_or_default());
        let (multi, width) = (&self.multi, self.width);
        let rows = self.jobs.entry(job.to_owned()).or_insert_with(|| Rows::new(&name, multi, width));
        match event {
            Event::Pending { .. } => {
                rows.tick();
                Ok(())
            }
            Event::Snapshot { snapshot, .. } | Event::Update { snapshot, .. } => {
                rows.state(snapshot, multi, width);
                Ok(())
            }
            Event::Liveness { liveness, heartbeat_age, .. } => {
                rows.liveness(*liveness, *heartbeat_age);
                Ok(())
            }
            Event::Log { line, .. } => {
                let style = match line.level {
                    Level::Warning => Style::new().yellow(),
                    Level::Phase => Style::new().bold(),
                    Level::Info => Style::new(),
                };
                self.line(job, Some(words::log(line)), style)
            }
            other => self.line(job, words::other(other), Style::new().yellow()),
        }
    }

    /// All names have the width of the longest.
    fn widen(&mut self, name: &str, children: &[ChildSnapshot]) {
        let children = children.iter().map(|child| measure_text_width(&rows::name_of(child)));
        let longest = children.chain([measure_text_width(name)]).max().unwrap_or(0).min(WIDEST);
        if longest > self.width {
            self.width = longest;
            self.jobs.values().for_each(|rows| rows.restyle(longest));
        }
    }

    pub(super) fn tick(&self, job: &str) {
        if let Some(rows) = self.jobs.get(job) {
            rows.tick();
        }
    }

    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        self.multi.println(text)
    }

    fn line(&self, job: &str, text: Option<String>, style: Style) -> io::Result<()> {
        let Some(text) = text else { return Ok(()) };
        let name = Style::new().bold().force_styling(self.colours).apply_to(words::safe(job));
        self.multi.println(format!("{name}: {}", style.force_styling(self.colours).apply_to(text)))
    }

    pub(super) fn forget(&mut self, job: &str) {
        if let Some(rows) = self.jobs.remove(job) {
            rows.clear(&self.multi);
        }
    }
}

fn style_of_end(event: &Event) -> Style {
    match event {
        Event::Finished { .. } => Style::new().green(),
        Event::Cancelled { .. } => Style::new().yellow(),
        _ => Style::new().red(),
    }
}
