//! Holds the README and the guide to what they tell of.

use std::fs;
use std::path::Path;

const README: &str = include_str!("../../../README.md");
const GETTING_STARTED: &str = include_str!("../../../docs/getting-started.md");
const TELEMETRY: &str = include_str!("../../../docs/telemetry.md");
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// Whoever reads it where it is kept sees the lines that rustdoc hides.
#[test]
fn no_line_of_a_snippet_of_the_readme_is_one_that_only_rustdoc_hides() {
    let mut in_rust = false;
    for line in README.lines() {
        if line.starts_with("```") {
            in_rust = line.starts_with("```rust");
        }
        assert!(!in_rust || line != "#" && !line.starts_with("# "), "{line}");
    }
    assert!(README.contains("```rust"));
}

#[test]
fn the_guide_names_each_route_of_the_reference_service() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/service/src");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for route in text.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            // The page itself, its files, and what `demo` alone has.
            if route == "/" || route.contains('.') || route.starts_with("/demo/") {
                continue;
            }
            count += 1;
            // The guide has an example where the route has a name in braces.
            let fixed: Vec<_> = route.split(['{', '}']).step_by(2).collect();
            let mut rows = GETTING_STARTED.lines().filter(|line| line.starts_with("| `"));
            let is_named = rows.any(|row| fixed.iter().all(|part| row.contains(part)));
            assert!(is_named, "{route} is not in docs/getting-started.md");
        }
    }
    assert!(count > 10, "{count} routes");
}

#[test]
fn the_recorder_that_the_guide_names_is_one_for_the_facade_that_cenote_speaks() {
    let version = |name: &str, key: &str| {
        let line = WORKSPACE.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap();
        line.split(key).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let (facade, exporter) =
        (version("metrics", "\""), version("metrics-exporter-prometheus", "version = \""));
    assert!(TELEMETRY.contains(&format!("for `metrics` {facade}**")), "{facade}");
    let line = format!("metrics-exporter-prometheus = {{ version = \"{exporter}\"");
    assert!(TELEMETRY.contains(&line), "{line}");
    assert!(TELEMETRY.contains(&format!("in its version {exporter}.")), "{exporter}");
}
