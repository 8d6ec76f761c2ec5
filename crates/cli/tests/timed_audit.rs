//! How long `cenote audit` takes.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cenote_testkit::is_long;
use serde_json::Value;

use common::cenote;

/// Of each file.
const LINES: usize = 500;

/// One crate that depends on Redis, so that nothing can be passed over, and a place in every tenth of its files.
fn write_tree(root: &Path, lines: usize) -> usize {
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(
        root.join("Cargo.toml"),
        "[package]\nname = \"app\"\n[dependencies]\naxum = \"0.8\"\nredis = \"1\"\n",
    )
    .unwrap();
    let files = lines / LINES;
    let mut library = String::new();
    for file in 0..files {
        writeln!(library, "pub mod part{file};").unwrap();
        let mut text = String::from("use super::*;\nuse std::collections::HashMap;\n");
        let mut part = 0;
        while text.lines().count() < LINES {
            part += 1;
            write!(
                text,
                r#"
/// What it keeps.
#[derive(Debug, Clone, Default)]
pub struct Order{part} {{
    pub id: u64,
    pub lines: Vec<(String, u32)>,
    pub notes: HashMap<String, Option<String>>,
}}

impl Order{part} {{
    pub fn total(&self, factor: u32) -> Result<u32, String> {{
        let mut total = 0;
        for (name, count) in &self.lines {{
            match self.notes.get(name) {{
                Some(Some(note)) if note.starts_with("free") => continue,
                Some(_) | None => total += count.checked_mul(factor).ok_or_else(|| format!("{{name}}: {{count}}"))?,
            }}
        }}
        Ok(self.lines.iter().map(|(_, count)| count).filter(|count| **count > 1).sum::<u32>() + total)
    }}
}}

pub async fn order{part}(orders: &[Order{part}]) -> Vec<u32> {{
    let all: Vec<_> = orders.iter().filter_map(|order| order.total(2).ok()).collect();
    println!("{{:?}} of {{}}", all.first(), orders.len());
    all
}}
"#
            )
            .unwrap();
        }
        if file % 10 == 0 {
            text.push_str("fn place(url: &str) {\n    let _ = ::redis::Client::open(url);\n}\n");
        }
        fs::write(root.join(format!("src/part{file}.rs")), text).unwrap();
    }
    fs::write(root.join("src/lib.rs"), library).unwrap();
    files.div_ceil(10)
}

/// 500,000 lines take 4 s or so with optimisation, and three times as long without: the bound leaves room for
/// a busy machine.
#[test]
fn an_audit_of_half_a_million_lines_ends_in_time() {
    let lines = if is_long() { 500_000 } else { 25_000 };
    let dir = tempfile::tempdir().unwrap();
    let places = write_tree(dir.path(), lines);
    let began = Instant::now();
    let path = dir.path().to_str().unwrap();
    let ended = cenote(&["audit", path, "--json"]).output().unwrap();
    let took = began.elapsed();
    assert!(ended.status.success(), "{ended:?}");
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), places + 1, "and the manifest");
    println!("{lines} lines in {took:?}");
    let is_optimised = !cfg!(debug_assertions);
    let limit = if is_optimised { 10 } else { 100 } * lines as u64 / 500_000;
    assert!(took < Duration::from_secs(limit.max(20)), "{lines} lines took {took:?}");
}

/// With the square of its length it would be half a minute.
#[test]
fn a_chain_of_calls_takes_time_as_it_is_long() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("Cargo.toml"), "[package]\nname = \"app\"\n[dependencies]\nredis = \"1\"\n")
        .unwrap();
    let chain = ".with(1)\n.retry()?".repeat(2_000);
    let text = format!("fn a() {{ let _ = redis::Client::open(\"a\"){chain}.get_connection(); }}\n");
    fs::write(dir.path().join("src/lib.rs"), text.repeat(12)).unwrap();
    let began = Instant::now();
    let ended = cenote(&["audit", dir.path().to_str().unwrap(), "--json"]).output().unwrap();
    let took = began.elapsed();
    assert!(ended.status.success(), "{ended:?}");
    println!("{took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}
