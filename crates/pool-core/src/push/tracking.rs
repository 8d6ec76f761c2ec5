//! Which prefixes the server is asked to track. It refuses prefixes of which one begins with another, and cannot
//! forget a single one.

use std::sync::Arc;

pub(super) type Prefix = Arc<[u8]>;

/// What brings the server's prefixes in line with those that are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// All that is wanted is tracked.
    Nothing,
    /// These come on top of the others.
    Add(Vec<Prefix>),
    /// Everything is given up, and these are tracked.
    Redo(Vec<Prefix>),
    Stop,
}

pub(super) fn plan(wanted: &[Prefix], tracked: &[Prefix]) -> Plan {
    if wanted.is_empty() {
        return if tracked.is_empty() { Plan::Nothing } else { Plan::Stop };
    }
    let missing: Vec<_> = wanted.iter().filter(|prefix| !is_covered(prefix, tracked)).cloned().collect();
    if missing.is_empty() {
        return Plan::Nothing;
    }
    let widens = tracked.iter().any(|prefix| is_covered(prefix, &missing));
    if widens { Plan::Redo(cover(wanted)) } else { Plan::Add(cover(&missing)) }
}

/// Some of `by` is how `prefix` begins.
pub(super) fn is_covered(prefix: &[u8], by: &[Prefix]) -> bool {
    by.iter().any(|shorter| prefix.starts_with(shorter))
}

/// Without those that others cover.
fn cover(prefixes: &[Prefix]) -> Vec<Prefix> {
    let mut sorted = prefixes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    // In this order what begins with another comes right after it.
    let mut cover: Vec<Prefix> = Vec::new();
    for prefix in sorted {
        if !cover.last().is_some_and(|last| prefix.starts_with(last)) {
            cover.push(prefix);
        }
    }
    cover
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(names: &[&str]) -> Vec<Prefix> {
        names.iter().map(|name| Arc::from(name.as_bytes())).collect()
    }

    #[test]
    fn the_server_is_asked_for_no_two_prefixes_of_which_one_begins_with_the_other() {
        let wanted = prefixes(&["user:", "flags:", "user:admin:", "u", "flags:"]);
        assert_eq!(plan(&wanted, &[]), Plan::Add(prefixes(&["flags:", "u"])));
        assert_eq!(plan(&prefixes(&["", "a"]), &[]), Plan::Add(prefixes(&[""])));
    }

    #[test]
    fn what_is_covered_costs_nothing_and_what_widens_is_done_anew() {
        let tracked = prefixes(&["user:"]);
        assert_eq!(plan(&prefixes(&["user:admin:"]), &tracked), Plan::Nothing);
        assert_eq!(plan(&prefixes(&["user:", "flags:"]), &tracked), Plan::Add(prefixes(&["flags:"])));
        assert_eq!(plan(&prefixes(&["user:", "us"]), &tracked), Plan::Redo(prefixes(&["us"])));
        assert_eq!(plan(&[], &tracked), Plan::Stop);
        assert_eq!(plan(&[], &[]), Plan::Nothing);
    }
}
