//! `RateLimit-Policy`, `RateLimit` and `Retry-After`.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::decision::{Decision, Source, Told, Verdict};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Whole numbers in such headers have 15 digits at most.
const MOST: u128 = 999_999_999_999_999;
const SECOND_US: u128 = 1_000_000;

/// Adds what a decision says to what may be there already of another layer's.
pub(super) fn tell(decision: &Decision, headers: &mut HeaderMap) {
    let told = decision.told();
    let told = once_each(&told);
    add(headers, POLICY, told.iter().map(|told| policy(told)));
    // While nobody counts, nobody knows what is left.
    if decision.source != Source::Open {
        add(headers, LIMIT, told.iter().filter_map(|told| limit(told, decision.source)));
    }
}

/// Whole seconds, and never too early.
pub(super) fn retry_after(decision: &Decision) -> u64 {
    seconds(decision.retry_after).max(1)
}

/// A policy that is charged for several subjects is told of once, where it is tightest.
fn once_each(all: &[Told]) -> Vec<&Told> {
    let mut once: Vec<&Told> = Vec::with_capacity(all.len());
    // What is not known of one subject is told of another, if that is.
    let room =
        |told: &Told| told.verdict.map_or((true, u64::MAX), |verdict| (verdict.fits, verdict.remaining));
    for told in all {
        match once.iter_mut().find(|other| other.policy == told.policy) {
            None => once.push(told),
            Some(other) if room(told) < room(other) => *other = told,
            Some(_) => {}
        }
    }
    once
}

fn policy(told: &Told) -> String {
    let (drain, token, burst) = numbers(told);
    let whole_us = (burst * token).div_ceil(drain);
    let window = whole_us.div_ceil(SECOND_US).max(1);
    let quota = window * SECOND_US * drain / token;
    format!("\"{}\";q={};w={}", told.policy, quota.min(MOST), window.min(MOST))
}

/// `None`: what is left of it is not known.
fn limit(told: &Told, source: Source) -> Option<String> {
    let verdict = told.verdict?;
    let mut text = format!("\"{}\";r={}", told.policy, u128::from(verdict.remaining).min(MOST));
    if let Some(more) = more_us(told, &verdict, source) {
        let _ = write!(text, ";t={}", more.div_ceil(SECOND_US).min(MOST));
    }
    Some(text)
}

/// Until there is a token more than now. `None`: nothing is missing.
///
/// When all is back is known, and each token but the last came one token's time before the next. At its share of the quota
/// a process takes longer for each, and then this is later than need be; yet never later than the same call fits.
fn more_us(told: &Told, verdict: &Verdict, source: Source) -> Option<u128> {
    let (drain, token, _) = numbers(told);
    let missing = verdict.limit.checked_sub(verdict.remaining).filter(|missing| *missing > 0)?;
    if source == Source::Closed {
        return Some(verdict.retry.into());
    }
    let later = u128::from(missing - 1) * token / drain;
    let more = u128::from(verdict.reset).saturating_sub(later);
    Some(if verdict.fits { more } else { more.min(verdict.retry.into()) })
}

fn numbers(told: &Told) -> (u128, u128, u128) {
    (told.rate.drain.into(), told.rate.token.into(), told.rate.burst.into())
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn add(headers: &mut HeaderMap, name: HeaderName, items: impl Iterator<Item = String>) {
    let text = items.collect::<Vec<_>>().join(", ");
    // Names of policies are plain, so this is a header's value.
    if let Some(value) = HeaderValue::try_from(text).ok().filter(|value| !value.is_empty()) {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Rate;

    #[test]
    fn no_number_has_more_digits_than_a_header_may_have() {
        let burst = (1 << 53) - 1;
        let verdict = Verdict { fits: true, limit: burst, remaining: burst - 1, retry: 0, reset: u64::MAX };
        let slow = Rate { drain: 1, token: 1, burst };
        let told = Told { policy: "p".into(), rate: slow, verdict: Some(verdict) };
        assert_eq!(policy(&told), "\"p\";q=999999999999999;w=9007199255");
        assert_eq!(limit(&told, Source::Redis).unwrap(), "\"p\";r=999999999999999;t=18446744073710");
    }

    #[test]
    fn nothing_is_waited_for_where_nothing_is_missing() {
        let verdict = Verdict { fits: true, limit: 5, remaining: 5, retry: 0, reset: 0 };
        let rate = Rate { drain: 1, token: 1_000_000, burst: 5 };
        let told = Told { policy: "p".into(), rate, verdict: Some(verdict) };
        assert_eq!(
            (policy(&told), limit(&told, Source::Redis)),
            ("\"p\";q=5;w=5".into(), Some("\"p\";r=5".into()))
        );
    }
}
