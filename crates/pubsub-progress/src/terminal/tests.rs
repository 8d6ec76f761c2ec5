use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{InMemoryTerm, ProgressDrawTarget};
use serde_json::{Value, json};

use super::bars::Bars;
use super::lines::Lines;
use super::words;
use crate::event::{Event, Level, LogLine};
use crate::position::Position;
use crate::snapshot::{Liveness, Snapshot};

const AT: Position = Position::START;
/// What moves a cursor, rings, changes colours, and ends lines; with a direction turned around.
const WILD: &str = "a\u{1b}[2J\u{1b}[1;1H\u{7}\r\n\u{9b}31mb\u{202e}";

fn snapshot(more: Value) -> Arc<Snapshot> {
    let mut all = json!({
        "job": "job", "position": "1:1:0", "attempt": 1, "status": "running", "done": 0, "liveness": "live",
        "started_ms": 1_000, "updated_ms": 6_000,
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    Arc::new(serde_json::from_value(all).unwrap())
}

fn update(more: Value) -> Event {
    Event::Update { at: AT, snapshot: snapshot(more) }
}

fn log(level: Level, text: &str) -> Event {
    let line = json!({ "seq": 1, "level": level, "text": text, "at_ms": 0 });
    Event::Log { at: AT, line: Arc::new(serde_json::from_value::<LogLine>(line).unwrap()) }
}

fn finished(more: Value) -> Event {
    Event::Finished { at: AT, snapshot: snapshot(more) }
}

#[test]
fn what_was_counted_is_told_in_its_unit_and_a_hundred_percent_only_when_all_is_done() {
    assert_eq!(words::count(450, Some(1_000), Some("rows")), "450/1,000 rows");
    assert_eq!(words::count(1_500_000, Some(3_000_000), Some("bytes")), "1.50 MB/3.00 MB");
    assert_eq!(words::count(7, Some(0), None), "7");
    assert_eq!(words::count(0, None, Some("rows")), "");
    assert_eq!(words::percent(Some(0.9999)).unwrap(), "99 %");
    assert_eq!(words::percent(Some(7.0)).unwrap(), "100 %");
    assert_eq!(words::time(Duration::from_millis(200)), "1 s");
    assert_eq!(words::time(Duration::from_secs(185)), "3 min 5 s");
    assert_eq!(words::time(Duration::from_secs(7_860)), "2 h 11 min");
}

#[test]
fn of_the_state_one_line_a_second_is_told_and_the_last_one_of_a_second_is_not_lost() {
    let (mut lines, begun) = (Lines::default(), Instant::now());
    let at = |ms: u64| begun + Duration::from_millis(ms);
    let of = |done: u64| update(json!({ "done": done, "total": 100, "fraction": done as f64 / 100.0 }));
    assert_eq!(lines.show("job", &of(1), at(0)), ["job: 1 % 1/100"]);
    for done in 2..10 {
        assert_eq!(lines.show("job", &of(done), at(done * 100)), Vec::<String>::new());
    }
    assert_eq!(lines.due("job", at(999)), None);
    assert_eq!(lines.due("job", at(1_000)).unwrap(), "job: 9 % 9/100");
    assert_eq!(lines.due("job", at(5_000)), None, "told once");
    // Another job has a second of its own.
    assert_eq!(lines.show("other", &of(3), at(1_001)).len(), 1);
}

#[test]
fn a_line_says_something_new() {
    let (mut lines, now) = (Lines::default(), Instant::now());
    let mut seconds = 0;
    let mut show = |more| {
        seconds += 2;
        lines.show("job", &update(more), now + Duration::from_secs(seconds)).len()
    };
    let state = |done: u64, rate: f64| json!({ "done": done, "total": 10_000, "fraction": done as f64 / 1e4, "rate": rate, "eta": 9.0 });
    assert_eq!(show(state(100, 1.0)), 1);
    assert_eq!(show(state(101, 2.0)), 0, "the same percentage, and a number that always moves");
    assert_eq!(show(state(200, 2.0)), 1);
    assert_eq!(show(json!({ "message": "reading" })), 1);
    assert_eq!(show(json!({ "message": "reading" })), 0);
    assert_eq!(show(json!({ "message": "reading", "degraded": true })), 1);
}

#[test]
fn phases_warnings_lines_signs_of_life_and_the_end_are_told_at_once() {
    let (mut lines, now) = (Lines::default(), Instant::now());
    let mut show = |event: Event| lines.show("job", &event, now).join("\n");
    assert_eq!(show(Event::Pending { at: AT }), "job: not known yet: waiting for it");
    let busy = json!({
        "done": 450, "total": 1_000, "unit": "rows", "fraction": 0.45, "rate": 120.0, "eta": 4.6,
        "phase": "import", "message": "b.csv",
    });
    assert_eq!(show(update(busy)), "job: 45 % 450/1,000 rows, 120 rows/s, 5 s left, import: b.csv");
    assert_eq!(show(log(Level::Phase, "index")), "job: phase: index");
    assert_eq!(show(log(Level::Warning, "a row is bad")), "job: warning: a row is bad");
    assert_eq!(show(log(Level::Info, "a row")), "job: a row");
    assert_eq!(
        show(Event::Gap { at: AT, from: 2, to: 9 }),
        "job: lines 2 to 9 of its log are not to be had any more"
    );
    let age = Some(Duration::from_secs(12));
    let stalled = Event::Liveness { at: AT, liveness: Liveness::Stalled, heartbeat_age: age };
    assert_eq!(show(stalled), "job: stalled: no sign of life for 12 s");
    let live = Event::Liveness { at: AT, liveness: Liveness::Live, heartbeat_age: None };
    assert_eq!(show(live), "job: its worker gives signs of life");
    assert_eq!(show(finished(json!({ "result": { "rows": 7 } }))), r#"job: finished after 5 s: {"rows":7}"#);
    let failed = Event::Failed { at: AT, snapshot: snapshot(json!({ "error": "no disk" })) };
    assert_eq!(show(failed), "job: failed after 5 s: no disk");
}

#[test]
fn children_that_are_not_done_are_named() {
    let child = |name: &str, done: u64| json!({ "name": name, "done": done, "total": 4, "weight": 1.0, "fraction": done as f64 / 4.0 });
    let state =
        json!({ "fraction": 0.3, "children": [child("files", 1), child("index", 4), child("thumbs", 0)] });
    let mut lines = Lines::default();
    assert_eq!(lines.show("job", &update(state), Instant::now()), ["job: 30 % (files 25 %, thumbs 0 %)"]);
}

fn wild_events() -> Vec<Event> {
    let child = json!({ "name": WILD, "done": 1, "unit": WILD, "weight": 1.0, "message": WILD });
    let wild = json!({
        "done": 1, "unit": WILD, "phase": WILD, "message": WILD, "children": [child], "error": WILD, "result": WILD,
    });
    vec![
        update(wild.clone()),
        log(Level::Info, WILD),
        log(Level::Warning, WILD),
        finished(wild.clone()),
        Event::Failed { at: AT, snapshot: snapshot(wild) },
    ]
}

#[test]
fn no_line_has_a_control_character_whatever_was_published() {
    let mut lines = Lines::default();
    let mut told = 0;
    for event in wild_events() {
        for line in lines.show(WILD, &event, Instant::now()) {
            told += 1;
            assert!(!line.chars().any(|char| char.is_control() || char == '\u{202e}'), "{line:?}");
            assert!(line.contains("[2J"), "{line:?}");
        }
    }
    assert_eq!(told, 5);
}

fn screen() -> (InMemoryTerm, Bars) {
    let term = InMemoryTerm::new(12, 100);
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 250);
    (term, Bars::new(target, false))
}

/// What stands there, once all is drawn.
fn shown(term: &InMemoryTerm, bars: &Bars) -> String {
    // A line above the bars is never put off.
    bars.say("·").unwrap();
    term.contents()
}

#[test]
fn a_job_has_a_bar_with_its_figures_and_its_children_below_and_in_the_end_a_line() {
    let (term, mut bars) = screen();
    let child = |name: &str, done: u64, total: u64| json!({ "name": name, "done": done, "total": total, "unit": "files", "weight": 1.0, "fraction": done as f64 / total as f64 });
    let state = |first: u64| {
        update(json!({
            "fraction": 0.5, "eta": 61.0, "phase": "import", "message": "b.csv",
            "children": [child("first", first, 4), child("second", 1, 8)],
        }))
    };
    bars.show("import-42", &state(1)).unwrap();
    bars.show("import-42", &log(Level::Warning, "a row is bad")).unwrap();
    let text = shown(&term, &bars);
    let rows: Vec<_> = text.lines().collect();
    assert_eq!(rows[0], "import-42: warning: a row is bad");
    assert!(
        rows[2].starts_with("import-42 ━━━━━━━━━━━━")
            && rows[2].ends_with("50 %  1 min 1 s left  import: b.csv"),
        "{text}"
    );
    assert!(rows[3].starts_with("  first   ━━━") && rows[3].ends_with("25 %  1/4 files"), "{text}");
    assert!(rows[4].starts_with("  second  ━") && rows[4].ends_with("12 %  1/8 files"), "{text}");

    bars.show("import-42", &state(4)).unwrap();
    let text = shown(&term, &bars);
    assert!(!text.contains("first") && text.contains("second"), "what is done goes: {text}");

    bars.show("import-42", &finished(json!({ "result": "7 rows" }))).unwrap();
    let text = shown(&term, &bars);
    assert!(text.contains("import-42: finished after 5 s: 7 rows") && !text.contains('━'), "{text}");
}

#[test]
fn without_a_total_there_is_a_spinner_and_what_is_out_of_the_ordinary_is_said() {
    let (term, mut bars) = screen();
    bars.show("job", &Event::Pending { at: AT }).unwrap();
    assert!(shown(&term, &bars).contains("not known yet"));
    bars.show("job", &update(json!({ "done": 3, "unit": "rows", "degraded": true, "cancelling": true })))
        .unwrap();
    let text = shown(&term, &bars);
    for part in ["3 rows", "[Redis is away: told by its own process]", "[stopping]"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let age = Some(Duration::from_secs(12));
    bars.show("job", &Event::Liveness { at: AT, liveness: Liveness::Stalled, heartbeat_age: age }).unwrap();
    assert!(shown(&term, &bars).contains("[stalled: no sign of life for 1"));
    bars.show("job", &Event::Liveness { at: AT, liveness: Liveness::Live, heartbeat_age: None }).unwrap();
    let text = shown(&term, &bars);
    assert!(!text.lines().last().unwrap().contains("stalled"), "{text}");
}

#[test]
fn whatever_was_published_stays_where_it_was_written() {
    let (term, mut bars) = screen();
    bars.say("first").unwrap();
    for event in wild_events().iter().take(3) {
        bars.show(WILD, event).unwrap();
    }
    let text = shown(&term, &bars);
    assert!(text.starts_with("first\n"), "nothing was cleared and the cursor did not move: {text}");
    assert!(text.contains("?[2J"), "{text}");
}
