//! What many calls took, in a few figures.

/// Exact percentiles, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Percentiles {
    /// Of durations in nanoseconds, at least one.
    pub(crate) fn of(mut nanos: Vec<u32>) -> Self {
        nanos.sort_unstable();
        let at = |share: f64| {
            let rank = (share * nanos.len() as f64).ceil() as usize;
            f64::from(nanos[rank.clamp(1, nanos.len()) - 1]) / 1e3
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

/// The middle of the values; between the two middle ones where their number is even. At least one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// The interquartile range over the median: half of all values lie within this share of it.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> f64 {
    let sorted = sorted(values);
    (quantile(&sorted, 0.75) - quantile(&sorted, 0.25)) / quantile(&sorted, 0.5)
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Interpolated between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = sorted[at as usize];
    let above = sorted[at.ceil() as usize];
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_value_that_covers_its_share() {
        let nanos = (1..=1000).rev().map(|us| us * 1000).collect();
        assert_eq!(Percentiles::of(nanos), Percentiles { p50: 500.0, p99: 990.0, p999: 999.0 });
        let ten = (1..=10).map(|us| us * 1000).collect();
        assert_eq!(Percentiles::of(ten), Percentiles { p50: 5.0, p99: 10.0, p999: 10.0 });
        assert_eq!(Percentiles::of(vec![7_500]), Percentiles { p50: 7.5, p99: 7.5, p999: 7.5 });
    }

    #[test]
    fn one_slow_call_of_a_hundred_is_beyond_p99_and_two_are_not() {
        let slow = |count: usize| [vec![1_000; 100 - count], vec![9_000; count]].concat();
        assert_eq!(Percentiles::of(slow(1)).p99, 1.0);
        assert_eq!(Percentiles::of(slow(2)).p99, 9.0);
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_spread() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([4.0, 1.0, 2.0, 3000.0]), 3.0);
        assert_eq!(spread([1.0, 2.0, 4.0, 5.0, 3.0]), spread([1.0, 2.0, 4.0, 5000.0, 3.0]));
        assert_eq!(spread([1.0, 2.0, 3.0, 4.0, 5.0]), 2.0 / 3.0);
        assert_eq!(spread([5.0]), 0.0);
    }
}
