//! Where events go: to a person, or to a program.

use std::fmt::Write as _;
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
    let line = format!("{{\"job\":{job},\"event\":\"{name}\",\"position\":\"{position}\",\"data\":{data}}}");
    let mut out = io::stdout().lock();
    out.write_all(escaped(line).as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// JSON lets some control characters stand as they are, and terminals heed them. They are only ever in its strings.
fn escaped(json: String) -> String {
    if !json.contains(char::is_control) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if char.is_control() {
            let _ = write!(escaped, "\\u{:04x}", u32::from(char));
        } else {
            escaped.push(char);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_left_and_the_json_says_the_same() {
        let wild = serde_json::json!({ "text": "a\u{1b}[2J\u{9b}31m\u{7f}ä" });
        let escaped = escaped(wild.to_string());
        assert!(!escaped.contains(char::is_control), "{escaped:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), wild);
    }
}
