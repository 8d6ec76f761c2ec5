//! How fast a job gets on.
//!
//! The estimator of indicatif's bars (its `state.rs`): an exponentially weighted mean of the rate, smoothed twice so that
//! single steps do not show, weighted by time so that it does not matter how often it is asked, and freed of the bias
//! towards the zero that it began with. What was 15 s ago weighs a tenth of what is now.

use std::time::Instant;

const TENTH: f64 = 15.0;

#[derive(Debug)]
pub(crate) struct Estimator {
    began: Instant,
    last: Instant,
    done: f64,
    smoothed: f64,
    twice: f64,
}

impl Estimator {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, last: now, done: 0.0, smoothed: 0.0, twice: 0.0 }
    }

    /// So much is done now. What goes back begins anew.
    pub(crate) fn record(&mut self, done: f64, now: Instant) {
        if done < self.done {
            *self = Self { done, ..Self::new(now) };
            return;
        }
        let passed = (now - self.last).as_secs_f64();
        // Too short to tell a rate: it is part of the next.
        if passed < 0.001 {
            return;
        }
        let weight = weight(passed);
        let rate = (done - self.done) / passed;
        self.smoothed = self.smoothed * weight + rate * (1.0 - weight);
        let known = 1.0 - self::weight((now - self.began).as_secs_f64());
        self.twice = self.twice * weight + self.smoothed / known * (1.0 - weight);
        (self.done, self.last) = (done, now);
    }

    /// A second; `None` before anything was done.
    pub(crate) fn rate(&self, now: Instant) -> Option<f64> {
        let known = 1.0 - weight((now - self.began).as_secs_f64());
        // It falls while nothing comes.
        let rate = self.twice * weight((now - self.last).as_secs_f64()) / known;
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }
}

fn weight(seconds: f64) -> f64 {
    0.1_f64.powf(seconds / TENTH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(began: Instant, seconds: f64) -> Instant {
        began + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn an_even_rate_is_told_from_the_beginning_however_often_it_is_asked() {
        for step in [0.01, 0.1, 1.0] {
            let began = Instant::now();
            let mut estimator = Estimator::new(began);
            for n in 1..=20 {
                estimator.record(f64::from(n) * step * 50.0, at(began, f64::from(n) * step));
                let rate = estimator.rate(at(began, f64::from(n) * step)).unwrap();
                assert!((rate - 50.0).abs() < 0.5, "{rate} after {n} steps of {step}");
            }
        }
    }

    #[test]
    fn it_is_steady_when_steps_are_not_and_falls_when_nothing_comes() {
        let began = Instant::now();
        let mut estimator = Estimator::new(began);
        for n in 1..=100 {
            // 100 units each second, and nothing in between.
            estimator.record(f64::from(n / 10) * 100.0, at(began, f64::from(n) * 0.1));
        }
        let rate = estimator.rate(at(began, 10.0)).unwrap();
        assert!((70.0..130.0).contains(&rate), "{rate}");
        let later = estimator.rate(at(began, 40.0)).unwrap();
        assert!(later < rate / 10.0, "{later}");
        estimator.record(5.0, at(began, 41.0));
        assert_eq!(estimator.rate(at(began, 41.0)), None, "it went back");
    }
}
