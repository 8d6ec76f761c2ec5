//! What is asserted in every cell of the matrix.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::pulse::Pulse;
use crate::sees::Sees;
use crate::{Call, Class, NOISE};

/// What a cell of the table says in figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) longest: Duration,
    /// `None`: no write failed.
    pub(crate) recovered: Option<Duration>,
}

/// Writes that Redis took and that began after `since`.
pub(crate) fn answered_since(calls: &[Call], since: Instant) -> usize {
    calls
        .iter()
        .filter(|call| call.is_write() && call.class == Class::Answered && call.began >= since)
        .count()
}

/// When the fault struck and when it was over, and how soon all is to be well after it.
pub(crate) struct Times<'a> {
    pub(crate) struck: Instant,
    pub(crate) over: Instant,
    pub(crate) recovery: Duration,
    pub(crate) pulse: &'a Pulse,
}

pub(crate) fn judge(name: &str, calls: &[Call], sees: &Sees, times: &Times<'_>) -> Figures {
    let during: Vec<Call> = calls.iter().filter(|call| call.ended() >= times.struck).copied().collect();
    println!("{name}: {}", summary(&during, times.struck));
    for call in calls {
        let lost = times.pulse.lost(call.began, call.ended());
        assert!(
            call.took <= call.limit + NOISE + lost,
            "{name}: {call:?} outlived its limit; {lost:?} were lost"
        );
        assert!(call.class != Class::Wrong, "{name}: {call:?}");
    }
    for call in during.iter().filter(|call| is_told_again(call, &during)) {
        let lost = times.pulse.lost(call.began, call.ended());
        assert!(call.took <= NOISE + lost, "{name}: {call:?} waited for what was known already");
    }

    let back = first_success(&during, times.over);
    let back = back.unwrap_or_else(|| panic!("{name}: no write succeeded after the fault"));
    let (before, after): (Vec<Call>, Vec<Call>) = during.iter().partition(|call| call.began <= back);
    sees.check(&before).unwrap_or_else(|why| panic!("{name}: {why}"));
    let relapse = after.iter().find(|call| call.class != Class::Answered);
    assert!(relapse.is_none(), "{name}: after the first success, {relapse:?}");

    // How long a listener waits is its own choice.
    let waits = |call: &&Call| matches!(call.class, Class::Silence | Class::Gap | Class::Lagged);
    let longest = during.iter().filter(|call| !waits(call)).map(|call| call.took).max().unwrap_or_default();
    let failed = during.iter().any(|call| call.class != Class::Answered);
    let recovered = failed.then(|| back - times.over);
    let lost = times.pulse.lost(times.over, back);
    assert!(
        recovered.is_none_or(|took| took <= times.recovery + lost),
        "{name}: the first success came {recovered:?} after the fault, with {lost:?} lost to other work"
    );
    Figures { longest, recovered }
}

fn first_success(calls: &[Call], since: Instant) -> Option<Instant> {
    let answered = calls.iter().filter(|call| call.is_write() && call.class == Class::Answered);
    answered.map(Call::ended).filter(|at| *at > since).min()
}

/// An earlier call has found out what this one was told: that need not be found out again. Of the fallback only a
/// write makes others ask it at once.
fn is_told_again(call: &Call, calls: &[Call]) -> bool {
    let lasting = matches!(
        call.class,
        Class::Unavailable | Class::TurnedAway(_) | Class::Fallback | Class::Closed | Class::RuntimeEnded
    );
    let told = |other: &Call| other.class == call.class && other.ended() <= call.began;
    let counts = |other: &Call| call.class != Class::Fallback || other.is_write();
    lasting && calls.iter().any(|other| told(other) && counts(other))
}

/// What was heard, how often, and when first.
fn summary(calls: &[Call], struck: Instant) -> String {
    let mut seen: BTreeMap<String, (usize, Duration, Duration)> = BTreeMap::new();
    for call in calls {
        let at = call.ended().saturating_duration_since(struck);
        let entry = seen.entry(format!("{:?} {}", call.kind, call.class)).or_insert((0, at, Duration::ZERO));
        *entry = (entry.0 + 1, entry.1.min(at), entry.2.max(call.took));
    }
    let told = seen.iter().map(|(what, (count, at, longest))| {
        format!(
            "\n    {what}: {count}, first at {:.3} s, longest {:.3} s",
            at.as_secs_f64(),
            longest.as_secs_f64()
        )
    });
    told.collect()
}
