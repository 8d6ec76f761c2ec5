//! GCRA in exact fractions: tokens used, which come back at the quota's rate.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::{Add, Mul, Sub};

use cenote_ratelimit::OnQuotaChange;

/// An exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exact(i128, i128);

impl Exact {
    pub(crate) fn of(over: i128, under: i128) -> Self {
        let divisor = gcd(over.unsigned_abs(), under.unsigned_abs()).max(1) as i128;
        Self(over / divisor, under / divisor)
    }

    pub(crate) fn whole(number: u64) -> Self {
        Self(number.into(), 1)
    }

    pub(crate) fn ceil(self) -> i128 {
        self.0.div_euclid(self.1) + i128::from(self.0.rem_euclid(self.1) != 0)
    }

    pub(crate) fn floor(self) -> i128 {
        self.0.div_euclid(self.1)
    }

    fn at_least_zero(self) -> Self {
        if self.0 < 0 { Self(0, 1) } else { self }
    }
}

impl Add for Exact {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::of(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }
}

impl Sub for Exact {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::of(self.0 * other.1 - other.0 * self.1, self.1 * other.1)
    }
}

impl Mul for Exact {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::of(self.0 * other.0, self.1 * other.1)
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.0 * other.1).partial_cmp(&(other.0 * self.1))
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `count` in `period_us`, `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) count: u64,
    pub(crate) period_us: u64,
    pub(crate) burst: u64,
}

impl Rule {
    /// Microseconds in which so many tokens come back.
    fn time(self, tokens: Exact) -> i128 {
        (tokens * Exact::of(self.period_us.into(), self.count.into())).ceil()
    }

    fn back_in(self, us: i128) -> Exact {
        Exact::of(us, 1) * Exact::of(self.count.into(), self.period_us.into())
    }

    /// In how many parts a token is counted.
    fn unit(self) -> u64 {
        self.period_us / gcd(self.count.into(), self.period_us.into()) as u64
    }

    /// Is it the same but for its burst?
    fn pace(self) -> Exact {
        Exact::of(self.count.into(), self.period_us.into())
    }

    /// What was used by this rule, as another one has it.
    fn inherited(self, tokens: Exact, by: Rule, change: OnQuotaChange) -> Exact {
        if self.pace() == by.pace() && self.burst == by.burst {
            return tokens;
        }
        match change {
            OnQuotaChange::Reset => Exact::whole(0),
            OnQuotaChange::Proportional => {
                let part = tokens * Exact::of(by.burst.into(), self.burst.into());
                let unit = Exact::whole(by.unit());
                Exact::of((part * unit).ceil(), 1) * Exact::of(1, by.unit().into())
            }
            _ if self.unit() == by.unit() => tokens,
            _ => Exact::of(tokens.ceil(), 1),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    tokens: Exact,
    at: i128,
    of: Rule,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    pub(crate) fits: bool,
    pub(crate) remaining: i128,
    pub(crate) retry: i128,
    pub(crate) reset: i128,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) used: HashMap<String, Used>,
    pub(crate) change: OnQuotaChange,
    /// Calls that found what was used by another quota.
    pub(crate) inherited: usize,
}

impl Model {
    /// What was used of `key`, and the time from which it counts.
    fn used(&mut self, key: &str, rule: Rule, now: i128) -> (Exact, i128) {
        let Some(used) = self.used.get(key).copied() else { return (Exact::whole(0), now) };
        let tokens = used.of.inherited(used.tokens, rule, self.change);
        self.inherited += usize::from(used.of != rule);
        if tokens == Exact::whole(0) {
            return (tokens, now);
        }
        let full = rule.time(Exact::whole(rule.burst));
        if used.at - now > full {
            // The clock was far ahead: it counts from now on.
            self.keep(key, rule, tokens, now);
            return (tokens, now);
        }
        let at = used.at.max(now);
        ((tokens - rule.back_in(at - used.at)).at_least_zero(), at)
    }

    fn keep(&mut self, key: &str, rule: Rule, tokens: Exact, at: i128) {
        if tokens == Exact::whole(0) {
            self.used.remove(key);
        } else {
            self.used.insert(key.to_owned(), Used { tokens, at, of: rule });
        }
    }

    /// All of them or none; with `charge` false it only looks.
    pub(crate) fn check(&mut self, asked: &[(String, Rule, u64)], now: i128, charge: bool) -> Vec<Said> {
        let found: Vec<_> = asked.iter().map(|(key, rule, _)| self.used(key, *rule, now)).collect();
        let fits = |(tokens, _): &(Exact, i128), (_, rule, cost): &(String, Rule, u64)| {
            *tokens + Exact::whole(*cost) <= Exact::whole(rule.burst)
        };
        let all = found.iter().zip(asked).all(|(found, asked)| fits(found, asked));
        let one = |(found, asked): (&(Exact, i128), &(String, Rule, u64))| {
            let ((tokens, at), (key, rule, cost)) = (*found, asked);
            let (cost, burst) = (Exact::whole(*cost), Exact::whole(rule.burst));
            let fits = fits(found, asked);
            let left = if all && charge { tokens + cost } else { tokens };
            if all && charge && cost != Exact::whole(0) {
                self.keep(key, *rule, left, at);
            }
            Said {
                fits,
                remaining: (burst - left).floor().max(0),
                retry: if fits { 0 } else { rule.time(tokens + cost - burst) + at - now },
                reset: if left == Exact::whole(0) { 0 } else { rule.time(left) + at - now },
            }
        };
        found.iter().zip(asked).map(one).collect()
    }

    /// The rule of what was used, if it is another and what was used by this one is forgotten.
    fn other(&self, key: &str, rule: Rule) -> Option<Rule> {
        let of = self.used.get(key)?.of;
        let same = of.pace() == rule.pace() && of.burst == rule.burst;
        (self.change == OnQuotaChange::Reset && !same).then_some(of)
    }

    /// Of what was charged at `charged` only what has not come back since.
    pub(crate) fn refund(&mut self, key: &str, rule: Rule, cost: u64, charged: i128, now: i128) {
        if let Some(other) = self.other(key, rule) {
            self.used(key, other, now);
            return;
        }
        let (tokens, at) = self.used(key, rule, now);
        let given = (Exact::whole(cost) - rule.back_in((at - charged).max(0))).at_least_zero();
        if given != Exact::whole(0) {
            self.keep(key, rule, (tokens - given).at_least_zero(), at);
        }
    }

    pub(crate) fn force(&mut self, key: &str, rule: Rule, cost: u64, now: i128) {
        let rule = self.other(key, rule).unwrap_or(rule);
        let (tokens, at) = self.used(key, rule, now);
        if cost > 0 {
            self.keep(key, rule, tokens + Exact::whole(cost), at);
        }
    }
}
