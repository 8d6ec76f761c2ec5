//! How many, in which time, and how many at once.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// The script counts in doubles, which hold every whole number below this and not every one above.
const EXACT: u128 = 1 << 53;
/// So far from the count that was asked for is one looked for that fits.
const NEAR: u64 = 10_000;

/// How many may pass in which time. Tokens come back evenly: with `per_minute(60)` one a second.
///
/// At most [`burst`](Self::burst) are let through at once; without it, as many as the period has.
///
/// ```
/// use std::time::Duration;
///
/// use cenote_ratelimit::Quota;
///
/// let _ = Quota::per_second(10).burst(20); // 20 at once, and 10 more each second
/// let _ = Quota::new(1, Duration::from_secs(5)); // one each five seconds
/// assert!(Quota::per_day(1_000_000).validate().is_ok());
/// assert!(Quota::per_second(0).validate().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub struct Quota {
    count: u64,
    period: Duration,
    burst: Option<u64>,
}

impl Quota {
    /// `count` in each `period`.
    pub const fn new(count: u64, period: Duration) -> Self {
        Self { count, period, burst: None }
    }

    /// `count` in each second.
    pub const fn per_second(count: u64) -> Self {
        Self::new(count, Duration::from_secs(1))
    }

    /// `count` in each minute.
    pub const fn per_minute(count: u64) -> Self {
        Self::new(count, Duration::from_secs(60))
    }

    /// `count` in each hour.
    pub const fn per_hour(count: u64) -> Self {
        Self::new(count, Duration::from_secs(3_600))
    }

    /// `count` in each 24 hours.
    pub const fn per_day(count: u64) -> Self {
        Self::new(count, Duration::from_secs(86_400))
    }

    /// `count` in each 30 days.
    pub const fn per_month(count: u64) -> Self {
        Self::new(count, Duration::from_secs(30 * 86_400))
    }

    /// How many may pass at once after a time without any. Default: the count.
    pub const fn burst(mut self, burst: u64) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Checks what [`build`](crate::RateLimiterBuilder::build) would.
    ///
    /// # Errors
    ///
    /// A zero, or numbers so large that they could not be counted exactly; the error names what would do.
    pub fn validate(&self) -> Result<(), InvalidQuota> {
        self.rate().map(|_| ())
    }

    pub(crate) fn rate(&self) -> Result<Rate, InvalidQuota> {
        let wrong = |why: String| Err(InvalidQuota { place: String::new(), quota: *self, why });
        if self.count == 0 || self.burst == Some(0) {
            return wrong("count and burst must be at least 1".to_owned());
        }
        if self.period.is_zero() {
            return wrong("the period must be longer than zero".to_owned());
        }
        self.exact().map_or_else(|| wrong(self.what_would_fit()), Ok)
    }

    /// As [`rate`](Self::rate), with an error that says whose quota it is.
    pub(crate) fn rate_of(&self, limiter: &str, policy: &str) -> Result<Rate, InvalidQuota> {
        let place = || format!("limiter {limiter:?}, policy {policy:?}: ");
        self.rate().map_err(|error| InvalidQuota { place: place(), ..error })
    }

    fn exact(&self) -> Option<Rate> {
        let burst = u128::from(self.burst.unwrap_or(self.count));
        let (drain, token) = self.reduced();
        let rate = Rate {
            drain: u64::try_from(drain).ok()?,
            token: u64::try_from(token).ok()?,
            burst: u64::try_from(burst).ok()?,
        };
        (drain < EXACT && burst.checked_mul(token)? < EXACT).then_some(rate)
    }

    /// Tokens in a microsecond, as a fraction in lowest terms.
    fn reduced(&self) -> (u128, u128) {
        let (count, period) = (u128::from(self.count) * 1_000, self.period.as_nanos());
        let divisor = gcd(count, period);
        (count / divisor, period / divisor)
    }

    fn what_would_fit(&self) -> String {
        let other = |count: u64| Self { count, ..*self };
        let near = (1..=NEAR)
            .flat_map(|by| [self.count.checked_sub(by), self.count.checked_add(by)])
            .flatten()
            .find(|&count| count > 0 && other(count).exact().is_some());
        if let Some(count) = near {
            return format!(
                "its numbers are too large to be counted exactly; the nearest that fits is {}",
                other(count)
            );
        }
        let burst = (EXACT - 1) / self.reduced().1.max(1);
        match u64::try_from(burst) {
            Ok(burst) if burst > 0 && self.burst(burst).exact().is_some() => {
                format!(
                    "its numbers are too large to be counted exactly; the nearest that fits is {}",
                    self.burst(burst)
                )
            }
            _ => "its numbers are too large to be counted exactly; take a shorter period".to_owned(),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {:?}", self.count, self.period)?;
        self.burst.map_or(Ok(()), |burst| write!(f, " with burst {burst}"))
    }
}

/// A quota that cannot be kept exactly.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}{quota} is no quota: {why}")]
pub struct InvalidQuota {
    /// Whose it is, if that is known.
    place: String,
    quota: Quota,
    why: String,
}

/// A quota in lowest terms: a debt of `token` for each token taken, of which `drain` is gone in each microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) drain: u64,
    pub(crate) token: u64,
    pub(crate) burst: u64,
}

impl Rate {
    /// The most tokens that can be counted exactly.
    pub(crate) fn most(&self) -> u64 {
        u64::try_from((EXACT - 1) / u128::from(self.token)).unwrap_or(u64::MAX)
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_counted_in_lowest_terms() {
        let rate = |quota: Quota| {
            let rate = quota.rate().unwrap();
            (rate.drain, rate.token, rate.burst)
        };
        assert_eq!(rate(Quota::per_second(10)), (1, 100_000, 10));
        assert_eq!(rate(Quota::per_second(30).burst(5)), (3, 100_000, 5));
        assert_eq!(rate(Quota::new(2, Duration::from_nanos(1_500))), (4, 3, 2));
    }

    #[test]
    fn the_three_large_quotas_are_accepted() {
        for quota in [Quota::per_day(1_000_000), Quota::per_hour(5_000_000), Quota::per_month(100_000)] {
            assert_eq!(quota.validate(), Ok(()), "{quota}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_nearest_that_fits_is_named() {
        let error = Quota::per_day(999_983).validate().unwrap_err().to_string();
        assert!(error.contains("the nearest that fits is 999984 per 86400s"), "{error}");
        assert_eq!(Quota::per_day(999_984).validate(), Ok(()));
        let error =
            Quota::new(1, Duration::from_secs(86_400)).burst(1 << 30).validate().unwrap_err().to_string();
        assert!(error.contains("with burst 104249"), "{error}");
        assert_eq!(Quota::new(1, Duration::from_secs(86_400)).burst(104_249).validate(), Ok(()));
        for quota in [Quota::new(u64::MAX, Duration::MAX), Quota::new(1, Duration::MAX)] {
            assert!(quota.validate().unwrap_err().to_string().contains("shorter period"), "{quota}");
        }
    }

    #[test]
    fn a_zero_is_refused() {
        for quota in [Quota::per_second(0), Quota::per_second(1).burst(0), Quota::new(1, Duration::ZERO)] {
            assert!(quota.validate().is_err(), "{quota}");
        }
    }
}
