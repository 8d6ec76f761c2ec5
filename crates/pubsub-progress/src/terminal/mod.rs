//! What watchers see in a terminal: bars that follow jobs and their children, and plain lines where there is no terminal.
//!
//! `words` is what is said of a job, `rows` a job as bars, `bars` all of them, `lines` what is told line by line.

mod bars;
mod lines;
mod rows;
#[cfg(test)]
mod tests;
mod words;

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::ProgressDrawTarget;
use parking_lot::Mutex;

use crate::event::Event;
use crate::hub::Watch;

use bars::Bars;
use lines::Lines;

/// How often what moves by itself is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Shows jobs to a person: as bars on a terminal, with the lines of their logs above them; and elsewhere, or where `TERM`
/// is `dumb`, as plain lines without a single escape sequence.
///
/// A bar shows how far the job is, how fast, what is left, its phase and its message; below it stand the bars of its
/// children that are not done. That a worker is stalled, that nobody knows, or that what is shown comes from the worker's
/// own process while Redis is away, is said. Plain lines tell the same: of the state at most one a second for each job,
/// and only if it says something new; all lines of the log, and the end.
///
/// What workers wrote is shown without control characters, whoever wrote it. Colours are left out where `NO_COLOR` is set.
///
/// ```no_run
/// # async fn doc(progress: cenote_pubsub_progress::Progress) -> Result<(), Box<dyn std::error::Error>> {
/// use cenote_pubsub_progress::Terminal;
///
/// let terminal = Terminal::stderr();
/// let (import, export) = (progress.watch("import-42").await?, progress.watch("export-7").await?);
/// let (import, export) = tokio::join!(terminal.follow(import), terminal.follow(export));
/// println!("{:?}, {:?}", import?, export?);
/// # Ok(()) }
/// ```
pub struct Terminal {
    screen: Mutex<Screen>,
}

enum Screen {
    Bars(Bars),
    Lines(Lines, Box<dyn Write + Send>),
}

impl Terminal {
    /// On standard output.
    pub fn stdout() -> Self {
        if is_live(&io::stdout()) {
            return Self::bars(ProgressDrawTarget::stdout(), console::colors_enabled());
        }
        Self::lines(io::stdout())
    }

    /// On standard error.
    pub fn stderr() -> Self {
        if is_live(&io::stderr()) {
            return Self::bars(ProgressDrawTarget::stderr(), console::colors_enabled_stderr());
        }
        Self::lines(io::stderr())
    }

    /// Plain lines, into whatever this is. Each is written at once, with its end.
    pub fn lines(out: impl Write + Send + 'static) -> Self {
        Self { screen: Mutex::new(Screen::Lines(Lines::default(), Box::new(out))) }
    }

    fn bars(target: ProgressDrawTarget, colours: bool) -> Self {
        Self { screen: Mutex::new(Screen::Bars(Bars::new(target, colours))) }
    }

    /// Whether it has bars.
    pub fn has_bars(&self) -> bool {
        matches!(*self.screen.lock(), Screen::Bars(_))
    }

    /// Shows a job until it has ended, and returns the end; `None` if the pool was closed before. Several may be followed at
    /// once.
    ///
    /// # Errors
    ///
    /// Nothing can be written there any more.
    ///
    /// **Cancel safety.** Dropped, it takes the job's bars away.
    pub async fn follow(&self, mut watch: Watch) -> io::Result<Option<Event>> {
        let following = Following(self, watch.job().to_owned());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                event = watch.next() => {
                    let Some(event) = event else { return Ok(None) };
                    self.show(&following.1, &event)?;
                    if event.is_end() {
                        return Ok(Some(event));
                    }
                }
                _ = tick.tick() => self.screen.lock().tick(&following.1)?,
            }
        }
    }

    /// Shows one event of a job, for who follows a watch by other means.
    ///
    /// # Errors
    ///
    /// Nothing can be written there any more.
    pub fn show(&self, job: &str, event: &Event) -> io::Result<()> {
        self.screen.lock().show(job, event)
    }

    /// Says something of your own: above the bars, or as a line.
    ///
    /// # Errors
    ///
    /// Nothing can be written there any more.
    pub fn say(&self, text: &str) -> io::Result<()> {
        self.screen.lock().say(&words::safe(text))
    }
}

impl Screen {
    fn show(&mut self, job: &str, event: &Event) -> io::Result<()> {
        match self {
            Self::Bars(bars) => bars.show(job, event),
            Self::Lines(lines, out) => write_all(out, lines.show(job, event, Instant::now())),
        }
    }

    fn tick(&mut self, job: &str) -> io::Result<()> {
        match self {
            Self::Bars(bars) => {
                bars.tick(job);
                Ok(())
            }
            Self::Lines(lines, out) => write_all(out, lines.due(job, Instant::now())),
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Bars(bars) => bars.say(text),
            Self::Lines(_, out) => write_all(out, Some(text.to_owned())),
        }
    }

    fn forget(&mut self, job: &str) {
        match self {
            Self::Bars(bars) => bars.forget(job),
            Self::Lines(lines, _) => lines.forget(job),
        }
    }
}

fn write_all(out: &mut impl Write, lines: impl IntoIterator<Item = String>) -> io::Result<()> {
    let mut any = false;
    for mut line in lines {
        line.push('\n');
        out.write_all(line.as_bytes())?;
        any = true;
    }
    if any { out.flush() } else { Ok(()) }
}

/// A terminal whose cursor can be moved.
fn is_live(out: &impl IsTerminal) -> bool {
    let term = env::var_os("TERM");
    let is_dumb = term.is_none_or(|term| term.is_empty() || term == "dumb");
    out.is_terminal() && (cfg!(windows) || !is_dumb)
}

/// A job that is followed, until nobody follows it any more.
struct Following<'a>(&'a Terminal, String);

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.0.screen.lock().forget(&self.1);
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("has_bars", &self.has_bars()).finish_non_exhaustive()
    }
}
