//! What is served and what is not, and that the documentation says the same.

mod common;

use std::collections::BTreeSet;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Fallback;
use proptest::prelude::*;
use redis::Cmd;

use common::{cmd, command};

#[test]
fn the_documentation_lists_exactly_the_commands_of_the_table() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fallback.md"))
        .expect("docs/fallback.md is there");
    let section =
        docs.split("\n## ").find(|section| section.starts_with("What is served")).expect("the section");
    let listed: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    let distinct: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(distinct.len(), listed.len(), "none is listed twice");
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), FallbackLru::commands().collect::<Vec<_>>());
    for number in [FallbackLru::ENTRY_OVERHEAD, FallbackLru::ELEMENT_OVERHEAD] {
        assert!(docs.contains(&format!("{number} bytes")), "the overheads are those of the code");
    }
}

#[test]
fn one_command_that_is_not_served_keeps_the_whole_batch_from_running() {
    let store = FallbackLru::default();
    for atomic in [false, true] {
        let batch = [cmd("SET a 1"), cmd("eval script 0"), cmd("SET b 1")];
        let refused = store.execute(&batch.iter().collect::<Vec<_>>(), atomic).expect_err("not served");
        assert_eq!(refused.command(), "EVAL");
        assert_eq!(refused.to_string(), "EVAL is not served without Redis: scripts run in Redis alone");
        assert_eq!(store.entries(), 0);
    }
}

#[test]
fn what_is_not_served_says_why_and_never_repeats_what_may_be_secret() {
    let store = FallbackLru::default();
    let refusal = |cmd: &Cmd| store.execute(&[cmd], false).expect_err("not served");
    for (words, reason) in [
        ("scan 0", "cursors"),
        ("ZADD z 1 a", "sorted sets"),
        ("XADD s * f v", "streams"),
        ("BLPOP l 0", "blocks"),
        ("MULTI", "atomic batch"),
        ("PUBLISH c m", "other processes"),
        ("SELECT 1", "no connection"),
        ("OBJECT FREQ a", "not among"),
    ] {
        assert!(refusal(&cmd(words)).reason().contains(reason), "{words}");
    }
    let secret = refusal(&command(&["AUTH default hunter2"]));
    assert!(!secret.to_string().contains("hunter2"));
    assert!(!secret.to_string().contains("HUNTER2"));
    assert_eq!(refusal(&Cmd::new()).command(), "(nothing)");
    let mut scan = redis::cmd("MGET");
    scan.arg("a").cursor_arg(0);
    assert_eq!(refusal(&scan).command(), "MGET");
}

#[test]
fn an_empty_batch_has_no_replies() {
    let store = FallbackLru::default();
    assert_eq!(store.execute(&[], false), Ok(vec![]));
    assert_eq!(store.execute(&[], true), Ok(vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_words_get_as_many_replies_as_there_are_commands(
        batch in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..6)),
            1..10,
        ),
        atomic: bool,
        shards in prop::sample::select(&[1_usize, 4][..]),
    ) {
        let builder = FallbackLru::builder().capacity(4).max_bytes(shards * 400).shards(shards);
        let store = builder.build().expect("built");
        let names: Vec<_> = FallbackLru::commands().collect();
        let cmds: Vec<Cmd> = batch
            .iter()
            .map(|(name, words)| {
                let mut cmd = redis::cmd(names[name.index(names.len())]);
                for word in words {
                    cmd.arg(word);
                }
                cmd
            })
            .collect();
        let replies = store.execute(&cmds.iter().collect::<Vec<_>>(), atomic);
        prop_assert_eq!(replies.map(|replies| replies.len()), Ok(cmds.len()));
        prop_assert!(store.entries() <= 4);
        prop_assert!(store.bytes() <= shards * 400);
    }
}
