//! Holds `docs/telemetry.md`, and the dashboard beside it, to the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/telemetry.md");
const DASHBOARD: &str = include_str!("../../../docs/grafana/cenote.json");

/// The cells of each row below the headings that begin so, without backticks.
fn rows(header: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        inside = line.starts_with('|') && (inside || line.starts_with(header));
        if inside && !line.starts_with(header) && !line.starts_with("|---") {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().replace('`', "")).collect());
        }
    }
    rows
}

/// Metrics of the page, and their kinds.
fn metrics() -> BTreeMap<String, String> {
    let rows = rows("| name | kind |");
    let found: BTreeMap<_, _> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(found.len(), rows.len(), "a metric has two rows");
    found
}

/// What users get of the crates: their sources, but for tests in files of their own.
fn sources() -> Vec<String> {
    fn collect(folder: &Path, texts: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut texts = Vec::new();
    for folder in crates().iter().filter(|folder| !folder.ends_with("testkit")) {
        collect(&folder.join("src"), &mut texts);
    }
    texts
}

fn crates() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|folder| folder.join("src").is_dir()).collect()
}

/// What stands between quotes in a call that begins here, up to its closing bracket.
fn literals(call: &str) -> Vec<String> {
    let (mut found, mut current, mut depth) = (Vec::new(), None::<String>, 1);
    let mut chars = call.chars();
    while let Some(c) = chars.next() {
        match (&mut current, c) {
            (Some(literal), '\\') => literal.extend(chars.next()),
            (Some(_), '"') => found.extend(current.take()),
            (Some(literal), c) => literal.push(c),
            (None, '"') => current = Some(String::new()),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[test]
fn every_metric_of_the_code_is_in_the_table_and_every_one_of_the_table_in_the_code() {
    let crates: BTreeSet<_> = crates()
        .iter()
        .map(|folder| format!("cenote_{}", folder.file_name().unwrap().to_string_lossy().replace('-', "_")))
        .collect();
    let mut in_code = BTreeSet::new();
    for (start, text) in
        sources().iter().flat_map(|text| text.match_indices("\"cenote_").map(move |(at, _)| (at + 1, text)))
    {
        let name = text[start..].split('"').next().unwrap_or_default();
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_name && !crates.contains(name) {
            in_code.insert(name.to_owned());
        }
    }
    let table = metrics();
    assert!(table.len() > 60, "a table");
    assert_eq!(in_code, table.keys().cloned().collect());
    for (name, kind) in &table {
        // As Prometheus has it.
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert_eq!(name.ends_with("_seconds"), kind == "histogram", "{name}");
    }
}

#[test]
fn every_field_of_a_span_is_in_the_table_and_every_one_of_the_table_in_the_code() {
    let watch = include_str!("../../pool-core/src/telemetry/watch.rs");
    let (_, span) = watch.split_once("tracing::debug_span!(").expect("the span");
    let (span, _) = span.split_once("\n    )").expect("its end");
    let fields = span.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" = "));
    let in_code: BTreeSet<_> = fields.map(|(field, _)| field.to_owned()).collect();
    let table: BTreeSet<_> = rows("| field | example |").into_iter().map(|row| row[0].clone()).collect();
    assert!(table.len() > 10);
    assert_eq!(in_code, table);
}

#[test]
fn every_event_of_the_code_is_in_the_table_and_every_one_of_the_table_in_the_code() {
    let mut in_code = BTreeSet::new();
    for text in sources() {
        for level in ["error", "warn", "info", "debug", "trace"] {
            for call in text.split(&format!("tracing::{level}!(")).skip(1) {
                let message = literals(call).pop().expect("a message");
                in_code.insert((level.to_uppercase(), message));
            }
        }
    }
    let table: BTreeSet<_> =
        rows("| level | message |").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert!(table.len() > 20);
    let missing: Vec<_> = in_code.difference(&table).collect();
    let stale: Vec<_> = table.difference(&in_code).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "missing rows: {missing:#?}\nno longer in the code: {stale:#?}"
    );
}

/// All texts at `key`, however deep.
fn texts<'a>(value: &'a Value, key: &str, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| texts(value, key, into));
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, key, into)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_are_there_by_the_labels_they_have() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut asked = Vec::new();
    texts(&dashboard, "expr", &mut asked);
    assert!(asked.len() > 15, "{asked:?}");
    let table = metrics();
    let labels: BTreeMap<_, _> =
        rows("| name | kind |").into_iter().map(|row| (row[0].clone(), row[3].clone())).collect();
    for expr in asked {
        let names = expr
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("cenote_"));
        let names: Vec<_> = names.collect();
        assert!(!names.is_empty(), "{expr}");
        for name in &names {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let kind = base
                .map_or_else(|| table.get(*name), |base| table.get(base).filter(|kind| *kind == "histogram"));
            let kind = kind.unwrap_or_else(|| panic!("{name} is in no table: {expr}"));
            assert_eq!(kind == "histogram", base.is_some(), "{name}: {expr}");
            assert_eq!(
                kind == "gauge",
                !expr.contains("rate(") && !expr.contains("increase("),
                "{name}: {expr}"
            );
        }
        let base = names[0].trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        for by in expr.split("by (").skip(1) {
            for label in
                by.split(')').next().unwrap().split(", ").filter(|label| !["le", "instance"].contains(label))
            {
                assert!(
                    labels[base].split(", ").any(|has| has == label),
                    "{base} has no label {label}: {expr}"
                );
            }
        }
    }
}

#[test]
fn the_panels_of_the_dashboard_do_not_lie_over_each_other_and_use_the_source_that_is_chosen() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |field: &str| panel["gridPos"][field].as_i64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for (x, y) in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "{} lies over another", panel["title"]);
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{}", panel["title"]);
        }
    }
}
