//! Figures as people read them.

/// A unit for rates, chosen so that the largest of them has few digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RateUnit {
    pub(super) name: &'static str,
    divisor: f64,
    decimals: usize,
}

impl RateUnit {
    pub(super) fn for_largest(rate: f64) -> Self {
        if rate >= 10e6 {
            Self { name: "M/s", divisor: 1e6, decimals: 2 }
        } else {
            Self { name: "k/s", divisor: 1e3, decimals: 1 }
        }
    }

    /// The number alone: the unit stands above it.
    pub(super) fn show(self, rate: f64) -> String {
        thousands(rate / self.divisor, self.decimals)
    }
}

/// `0.85x`, `12.3x`, `483x`.
pub(super) fn ratio(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}x")
}

/// A share of one as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// `968,210` or `1,127.3`.
pub(super) fn thousands(value: f64, decimals: usize) -> String {
    let digits = format!("{value:.decimals$}");
    let whole = digits.split('.').next().map_or(0, str::len);
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) && !shown.ends_with('-') {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown =
            [(0.0, 0), (999.4, 0), (1000.0, 0), (968_210.0, 0), (1_234_567.89, 1), (-1234.0, 0), (-123.0, 0)];
        assert_eq!(
            shown.map(|(value, decimals)| thousands(value, decimals)),
            ["0", "999", "1,000", "968,210", "1,234,567.9", "-1,234", "-123"]
        );
    }

    #[test]
    fn a_ratio_has_three_digits_at_most() {
        assert_eq!(
            [0.851, 1.999, 9.996, 12.34, 99.96].map(ratio),
            ["0.85x", "2.00x", "10.0x", "12.3x", "100x"]
        );
    }

    #[test]
    fn the_unit_suits_the_largest_rate() {
        assert_eq!(RateUnit::for_largest(1_269_400.0).show(1_269_400.0), "1,269.4");
        assert_eq!(RateUnit::for_largest(40.5e6).show(2_050_000.0), "2.05");
    }
}
