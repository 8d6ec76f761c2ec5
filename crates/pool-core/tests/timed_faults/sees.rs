//! What a column is to see of a fault, and the words for it.

use crate::{Call, Class, Kind};

/// One thing that callers see.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Always, and first in this order.
    Always(Class),
    /// Now and then: it depends on the moment.
    Perhaps(Class),
}

/// What callers see from the moment the fault strikes until it is over. That calls are answered before and after
/// goes without saying.
#[derive(Debug, Clone)]
pub(crate) struct Sees {
    writes: Vec<Step>,
    /// `None`: the same as writes.
    reads: Option<Vec<Step>>,
    /// What both are called.
    names: (&'static str, &'static str),
}

impl Sees {
    /// Every call is answered, as if nothing were wrong.
    pub(crate) fn nothing() -> Self {
        Self { writes: Vec::new(), reads: None, names: ("writes", "reads") }
    }

    pub(crate) fn first(class: Class) -> Self {
        Self::nothing().then(class)
    }

    pub(crate) fn then(mut self, class: Class) -> Self {
        self.writes.push(Step::Always(class));
        self
    }

    pub(crate) fn perhaps(mut self, class: Class) -> Self {
        self.writes.push(Step::Perhaps(class));
        self
    }

    pub(crate) fn reads(mut self, reads: Self) -> Self {
        self.reads = Some(reads.writes);
        self
    }

    /// Of a subscriber: what comes while it listens, and what a new subscription sees.
    pub(crate) fn subscribing(mut self, subscribing: Self) -> Self {
        self.names = ("listening", "subscribing");
        self.reads(subscribing)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn instead_of(mut self, class: Class, other: Class) -> Self {
        for step in self.writes.iter_mut().chain(self.reads.iter_mut().flatten()) {
            let (Step::Always(seen) | Step::Perhaps(seen)) = step;
            if *seen == class {
                *seen = other;
            }
        }
        self
    }

    pub(crate) fn words(&self) -> String {
        match &self.reads {
            None => told(&self.writes),
            Some(reads) => {
                let (writing, reading) = self.names;
                format!("{writing}: {}; {reading}: {}", told(&self.writes), told(reads))
            }
        }
    }

    /// Everything that always happens has happened.
    pub(crate) fn is_seen(&self, calls: &[Call]) -> bool {
        self.missing(calls).is_none()
    }

    /// The first thing that is not as it should be.
    pub(crate) fn check(&self, calls: &[Call]) -> Result<(), String> {
        if let Some(missing) = self.missing(calls) {
            return Err(missing);
        }
        let served_elsewhere = self.allows(Kind::Write, Class::Fallback);
        for call in calls {
            let refused = call.kind == Kind::Increment && call.class == Class::NotDegradable;
            if !(self.allows(call.kind, call.class) || (served_elsewhere && refused)) {
                return Err(format!("nobody expects {call:?}"));
            }
        }
        Ok(())
    }

    fn steps(&self, kind: Kind) -> &[Step] {
        match (kind, &self.reads) {
            (Kind::Read, Some(reads)) => reads,
            _ => &self.writes,
        }
    }

    fn allows(&self, kind: Kind, class: Class) -> bool {
        class == Class::Answered
            || self.steps(kind).iter().any(|step| {
                let (Step::Always(told) | Step::Perhaps(told)) = *step;
                told == class || (kind == Kind::Read && told.as_read() == class.as_read())
            })
    }

    fn missing(&self, calls: &[Call]) -> Option<String> {
        let seen = |kind: Kind, class: Class| {
            let like = |call: &&Call| match kind {
                Kind::Read => call.kind == kind && call.class == class.as_read(),
                _ => matches!(call.kind, Kind::Write | Kind::Checkout) && call.class == class,
            };
            calls.iter().filter(like).map(Call::ended).min()
        };
        for kind in [Kind::Write, Kind::Read] {
            if kind == Kind::Read && self.reads.is_none() {
                continue;
            }
            let mut last = None;
            for step in self.steps(kind) {
                let Step::Always(class) = *step else { continue };
                let at = seen(kind, class);
                if at.is_none() || at < last {
                    return Some(format!("{kind:?}: `{class}` was not seen in its turn"));
                }
                last = at;
            }
        }
        None
    }
}

fn told(steps: &[Step]) -> String {
    let always = steps.iter().any(|step| matches!(step, Step::Always(_)));
    let mut told = if always { String::new() } else { Class::Answered.to_string() };
    for step in steps {
        let (link, class) = match step {
            Step::Always(class) => (", then ", class),
            Step::Perhaps(class) => (", perhaps ", class),
        };
        let link =
            if !told.is_empty() { link } else { link.trim_start_matches(", ").trim_start_matches("then ") };
        told += &format!("{link}{class}");
    }
    told
}
