//! All jobs as bars, with what is told line by line above them.

use std::collections::HashMap;
use std::io;

use console::Style;
use indicatif::{MultiProgress, ProgressDrawTarget};

use super::rows::Rows;
use super::words;
use crate::event::{Event, Level};

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
        let (multi, width) = (&self.multi, self.width);
        if !self.jobs.contains_key(job) {
            self.jobs.insert(job.to_owned(), Rows::new(&words::safe(job), multi, width));
        }
        let Some(rows) = self.jobs.get_mut(job) else { return Ok(()) };
        match event {
            Event::Snapshot { snapshot, .. } | Event::Update { snapshot, .. } => {
                rows.state(snapshot, multi, width);
            }
            Event::Liveness { liveness, heartbeat_age, .. } => rows.liveness(*liveness, *heartbeat_age),
            Event::Pending { .. } => rows.pending(),
            Event::Log { line, .. } => {
                let style = match line.level {
                    Level::Warning => Style::new().yellow(),
                    Level::Phase => Style::new().bold(),
                    Level::Info => Style::new(),
                };
                self.line(job, Some(words::log(line)), style)?;
            }
            other => self.line(job, words::other(other), Style::new().yellow())?,
        }
        self.widen(job);
        Ok(())
    }

    fn widen(&mut self, job: &str) {
        let width = self.jobs.get(job).map_or(0, Rows::width).min(WIDEST);
        if width > self.width {
            self.width = width;
            self.jobs.values().for_each(|rows| rows.restyle(width));
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
