//! Captures what is logged, from all threads.

use std::fmt::{self, Debug, Write as _};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Everything logged through `tracing`, at every level and by every thread of the process, since it was made:
/// events, spans, and their fields. Several may be there at once; each has all.
///
/// It installs the process's global subscriber, and panics when there is another already.
#[derive(Debug)]
pub struct Log {
    text: Arc<Mutex<String>>,
}

impl Log {
    /// Starts to capture.
    pub fn capture() -> Self {
        static INSTALLED: OnceLock<()> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            tracing::subscriber::set_global_default(Capturing)
                .expect("a test binary that captures its log has no other subscriber");
        });
        let text = Arc::default();
        LOGS.lock().push(Arc::downgrade(&text));
        Self { text }
    }

    /// What was logged so far, a line for each event and span.
    pub fn text(&self) -> String {
        self.text.lock().clone()
    }
}

static LOGS: Mutex<Vec<Weak<Mutex<String>>>> = Mutex::new(Vec::new());

struct Capturing;

impl Capturing {
    fn write(kind: &str, metadata: Option<&Metadata<'_>>, fields: impl FnOnce(&mut Line)) {
        let mut line = Line(kind.to_owned());
        if let Some(metadata) = metadata {
            let _ = write!(line.0, " {} {} {}", metadata.level(), metadata.target(), metadata.name());
        }
        fields(&mut line);
        line.0.push('\n');
        LOGS.lock().retain(|log| {
            let Some(text) = log.upgrade() else { return false };
            text.lock().push_str(&line.0);
            true
        });
    }
}

impl Subscriber for Capturing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        LOGS.lock().iter().any(|log| log.strong_count() > 0)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        Self::write("span", Some(attributes.metadata()), |line| attributes.record(line));
        // Nothing asks which span it was: the fields are in the text already.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        Self::write("record", None, |line| values.record(line));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        Self::write("event", Some(event.metadata()), |line| event.record(line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        // As it is: an escaped secret would not be found by who looks for it.
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let _ = write!(self.0, " {field}={value} {value:?}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = self.0.write_fmt(format_args!(" {field}={value:?}"));
    }
}

impl fmt::Debug for Capturing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capturing")
    }
}
