//! Sequences of keys, made before anything is timed, and the same for every client in every run.

use fastrand::Rng;

/// How many entries every cache has room for.
pub(crate) const CAPACITY: usize = 10_000;

/// The exponent that YCSB uses: the most popular key is asked for about twice as often as the second.
const ZIPF_EXPONENT: f64 = 0.99;
const SEED: u64 = 42;

/// Which key is asked for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// As many keys as there is room for, all alike.
    Hot,
    /// Ten times as many keys as there is room for; few are popular.
    Zipf,
    /// Every other look-up as in `Zipf`; the others go round twice as many further keys as there is room for.
    Scan,
    /// Round and round a fifth more keys than there is room for.
    Loop,
    /// Ten times as many keys as there is room for, all alike.
    Uniform,
}

/// `user:012345`: as services have them, and all of one length.
pub(crate) type Key = [u8; 11];

impl Pattern {
    /// The keys to ask for, one after the other; each `stream` is another sequence of the kind.
    pub(crate) fn trace(self, len: usize, stream: usize) -> Vec<Key> {
        let mut random = Rng::with_seed(SEED + stream as u64);
        let ids: Vec<usize> = match self {
            Self::Hot => (0..len).map(|_| random.usize(..CAPACITY)).collect(),
            Self::Uniform => (0..len).map(|_| random.usize(..10 * CAPACITY)).collect(),
            Self::Zipf => zipf(len, &mut random),
            Self::Loop => round(CAPACITY + CAPACITY / 5, stream).take(len).collect(),
            Self::Scan => {
                let mut ids = zipf(len, &mut random);
                let scanned = ids.iter_mut().skip(1).step_by(2);
                scanned
                    .zip(round(2 * CAPACITY, 0))
                    .for_each(|(id, scan)| *id = (10 + 2 * stream) * CAPACITY + scan);
                ids
            }
        };
        ids.into_iter().map(key).collect()
    }
}

/// Every key of `Pattern::Hot`.
pub(crate) fn hot_keys() -> impl Iterator<Item = Key> {
    (0..CAPACITY).map(key)
}

fn key(id: usize) -> Key {
    let mut key = *b"user:000000";
    let mut rest = id;
    for digit in key[5..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Numbers below ten times the capacity, of which `n` is drawn in proportion to `1 / (n + 1)^exponent`.
fn zipf(len: usize, random: &mut Rng) -> Vec<usize> {
    let mut sum = 0.0;
    let weights = (1..=10 * CAPACITY).map(|rank| (rank as f64).powf(-ZIPF_EXPONENT));
    let cumulative: Vec<f64> = weights
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect();
    let draw = |_| {
        let point = random.f64() * sum;
        cumulative.partition_point(|up_to| *up_to <= point).min(cumulative.len() - 1)
    };
    (0..len).map(draw).collect()
}

/// 0 to `keys` over and over; half a round apart for two streams.
fn round(keys: usize, stream: usize) -> impl Iterator<Item = usize> {
    (0..keys).cycle().skip(stream * keys / 2 % keys)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const LEN: usize = 200_000;

    fn counts(pattern: Pattern) -> HashMap<Key, usize> {
        let mut counts = HashMap::new();
        for key in pattern.trace(LEN, 0) {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    #[test]
    fn a_stream_is_the_same_in_every_run_and_unlike_the_others() {
        for pattern in [Pattern::Hot, Pattern::Zipf, Pattern::Scan, Pattern::Loop, Pattern::Uniform] {
            assert_eq!(pattern.trace(1000, 1), pattern.trace(1000, 1), "{pattern:?}");
            assert_ne!(pattern.trace(1000, 1), pattern.trace(1000, 0), "{pattern:?}");
        }
    }

    #[test]
    fn keys_are_numbers_of_six_digits() {
        assert_eq!(&key(0), b"user:000000");
        assert_eq!(&key(120_345), b"user:120345");
        assert_eq!(hot_keys().last(), Some(*b"user:009999"));
    }

    #[test]
    fn hot_keys_all_fit_and_come_equally_often() {
        let counts = counts(Pattern::Hot);
        assert_eq!(counts.len(), CAPACITY);
        assert!(counts.values().all(|count| (2..60).contains(count)), "20 each, more or less");
        assert!(hot_keys().all(|key| counts.contains_key(&key)));
    }

    #[test]
    fn the_nth_popular_key_comes_as_often_as_zipf_says() {
        let counts = counts(Pattern::Zipf);
        let harmonic: f64 = (1..=10 * CAPACITY).map(|rank| (rank as f64).powf(-ZIPF_EXPONENT)).sum();
        for rank in [1, 2, 3, 10, 30] {
            let expected = LEN as f64 * (rank as f64).powf(-ZIPF_EXPONENT) / harmonic;
            let seen = counts[&key(rank - 1)] as f64;
            assert!((seen / expected - 1.0).abs() < 0.15, "{rank}: {seen} instead of {expected}");
        }
    }

    #[test]
    fn a_loop_comes_back_to_a_key_only_after_all_others() {
        let trace = Pattern::Loop.trace(2 * 12_000, 0);
        assert_eq!(trace[..12_000], trace[12_000..]);
        assert_eq!(counts(Pattern::Loop).len(), 12_000, "more than fit");
    }

    #[test]
    fn a_scan_goes_round_between_the_popular_keys() {
        let trace = Pattern::Scan.trace(LEN, 0);
        assert!(trace.iter().step_by(2).all(|drawn| *drawn < key(100_000)));
        let scanned: Vec<_> = trace.iter().skip(1).step_by(2).collect();
        assert_eq!((scanned[0], scanned[19_999]), (&key(100_000), &key(119_999)));
        assert_eq!(scanned[0], scanned[20_000], "round again");
    }
}
