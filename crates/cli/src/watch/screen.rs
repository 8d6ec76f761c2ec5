//! Where events go: to a person, or to a program.

use std::io::{self, Write};

use cenote_pubsub_progress::{Event, Terminal, Watch};

#[derive(Debug)]
pub(super) enum Screen {
    Terminal(Terminal),
    Json,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Terminal(Terminal::stdout()) }
    }

    /// Until the job has ended.
    pub(super) async fn follow(&self, mut watch: Watch) -> io::Result<Option<Event>> {
        match self {
            Self::Terminal(terminal) => terminal.follow(watch).await,
            Self::Json => {
                let job = serde_json::Value::from(watch.job()).to_string();
                while let Some(event) = watch.next().await {
                    write(&job, &event)?;
                    if event.is_end() {
                        return Ok(Some(event));
                    }
                }
                Ok(None)
            }
        }
    }

    /// What is no event: above the bars, and otherwise on standard error.
    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) if terminal.has_bars() => terminal.say(text),
            _ => {
                eprintln!("{text}");
                Ok(())
            }
        }
    }
}

fn write(job: &str, event: &Event) -> io::Result<()> {
    let (name, position, data) = (event.name(), event.position(), event.to_json());
    let line = format!("{{\"job\":{job},\"event\":\"{name}\",\"position\":\"{position}\",\"data\":{data}}}\n");
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}
