use super::*;
use crate::bench::Bench;
use crate::contender;

fn parse(line: &str) -> Result<Options> {
    Options::parse(line.split_whitespace().map(OsString::from))
}

fn refusal(line: &str) -> String {
    parse(line).expect_err(line).to_string()
}

#[test]
fn without_a_name_everything_is_run() {
    let options = parse("--quick").unwrap();
    assert_eq!(options.families, Family::ALL);
    assert_eq!(options, parse("all --quick").unwrap());
    assert_eq!(options.length(), Length::QUICK);
}

#[test]
fn a_whole_run_has_fifteen_rounds_and_every_case() {
    let options = parse("pool --json rows.json --write-docs").unwrap();
    assert_eq!(options.cases(Family::Pool).len(), 5 + 5 + 3 + 1);
    assert_eq!(options.cases(Family::Dedicated).len(), 5);
    assert_eq!(options.selection.entrants(Family::Pool).len(), 7);
    assert_eq!(options.selection.entrants(Family::Dedicated).len(), 3);
    assert!(options.length().rounds >= 15);
    assert_eq!(options.json.unwrap(), PathBuf::from("rows.json"));
}

#[test]
fn a_run_is_narrowed_by_bench_client_tasks_and_rounds() {
    let options =
        parse("pool --only pool-get,pool-mix --clients cenote,redis-rs-mux --tasks 16 --rounds 3").unwrap();
    let cases = [Bench::PoolGet, Bench::PoolMix].map(|bench| Case { bench, tasks: 16 });
    assert_eq!(options.cases(Family::Pool), cases);
    let names: Vec<_> = options.selection.entrants(Family::Pool).iter().map(|entrant| entrant.name).collect();
    assert_eq!(names, ["cenote", "redis-rs mux"]);
    assert_eq!(options.length().rounds, 3);
}

#[test]
fn tasks_that_are_asked_for_are_run_in_a_quick_run_too() {
    let mix =
        |line| parse(line).unwrap().cases(Family::Pool).iter().map(|case| case.tasks).collect::<Vec<_>>();
    assert_eq!(mix("pool --quick --only pool-mix"), [64]);
    assert_eq!(mix("pool --quick --only pool-mix --tasks 256"), [256]);
}

#[test]
fn a_mistake_is_told_with_what_would_be_right() {
    for (line, expected) in [
        ("pol", "pol is not known: there are pool, dedicated, lru, cache, ratelimit, progress and all"),
        (
            "pool lru",
            "lru is one too many: name one of pool, dedicated, lru, cache, ratelimit, progress and all",
        ),
        ("--qick", "--qick is not known: there are --quick, --json, "),
        ("--json", "--json is followed by a file to write"),
        ("--json --quick", "--json is followed by a file to write"),
        ("--quick --quick", "--quick is given twice"),
        ("pool --only dedicated", "--only: dedicated is not part of pool: there are pool-get, pool-mix, "),
        (
            "dedicated --clients fred",
            "--clients: fred is not part of dedicated: there are cenote, deadpool, bb8",
        ),
        ("pool --tasks 0", "--tasks: \"0\" is not a number above 0"),
        ("pool --tasks 1,,2", "--tasks: \"\" is not a number above 0"),
        ("pool --only pool-neighbour --tasks 3", "nothing is run with 3 tasks; there are 255"),
        ("pool --rounds 2,3", "--rounds is one number"),
        ("lru --rounds 2", "lru is run whole"),
        ("cache --only cache-l2", "cache is run whole"),
        ("--rounds 2", "go with pool or with dedicated"),
        ("pool --rounds 2 --write-docs", "--write-docs shows a whole run"),
    ] {
        let refusal = refusal(line);
        assert!(refusal.contains(expected), "{line}: {refusal}");
    }
}

#[test]
fn the_help_names_every_bench_client_and_number_of_tasks() {
    for &bench in Family::ALL.into_iter().flat_map(Family::benches) {
        assert!(HELP.contains(bench.name()), "{bench:?}");
        for entrant in contender::of(bench) {
            assert!(HELP.contains(&plain(entrant.name)), "{}", entrant.name);
        }
        assert!(bench.tasks().iter().all(|tasks| HELP.contains(&tasks.to_string())), "{bench:?}");
    }
    assert!(HELP.contains(&format!("instead of {} ({} with", Length::FULL.rounds, Length::QUICK.rounds)));
}
