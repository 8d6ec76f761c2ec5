//! Whether the machine was quiet enough for the figures to mean something.

use super::Row;
use super::standing::{self, Group};

/// Half of the interquartile range, as a share of the median, beyond which rounds are too unlike each other.
const LIMIT: f64 = 0.15;

/// Which cases to measure again, if any. One restless client is a finding about that client; if most of those that took
/// turns were restless, it was the machine.
pub(super) fn warning(rows: &[Row]) -> Option<String> {
    let groups = standing::benches(rows).into_iter().flat_map(|bench| standing::groups(bench, rows));
    let restless: Vec<_> =
        groups.filter(is_restless).map(|group| format!("{} {}", group.bench, group.tasks)).collect();
    let limit = LIMIT * 100.0;
    (!restless.is_empty()).then(|| {
        format!(
            "Not a quiet machine: for most clients ± is above {limit:.0} % in these cases, so measure them again:\n{}.",
            restless.join(", ")
        )
    })
}

fn is_restless(group: &Group<'_>) -> bool {
    let count = group.rows.iter().filter(|row| row.spread / 2.0 > LIMIT).count();
    2 * count > group.rows.len()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn with_spread(client: &str, tasks: usize, spread: f64) -> Vec<Row> {
        let mut rows = samples::dedicated();
        let chosen =
            rows.iter_mut().filter(|row| (row.client == client || client == "*") && row.tasks == tasks);
        chosen.for_each(|row| row.spread = spread);
        rows
    }

    #[test]
    fn a_machine_that_disturbed_most_clients_is_told_with_the_case() {
        let text = warning(&with_spread("*", 16, 0.31)).unwrap();
        assert!(text.ends_with("\ndedicated 16."), "{text}");
        assert_eq!(warning(&with_spread("*", 16, 0.29)), None);
    }

    #[test]
    fn one_restless_client_is_no_fault_of_the_machine() {
        assert_eq!(warning(&with_spread("bb8", 16, 2.0)), None);
    }
}
