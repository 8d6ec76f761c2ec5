//! The program as it is called.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cenote-benches")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_narrowed_run_writes_its_rows() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let json = file.path().to_str().unwrap();
    let narrow = ["--only", "pool-get", "--tasks", "16", "--clients", "rustis,redis-rs-mux", "--rounds", "1"];
    let output = run(&[["pool", "--quick", "--json", json].as_slice(), &narrow].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));

    let rows: serde_json::Value = serde_json::from_reader(file).unwrap();
    let rows = rows.as_array().unwrap();
    let clients: Vec<_> = rows.iter().map(|row| row["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["redis-rs mux", "rustis"]);
    for row in rows {
        assert_eq!((&row["bench"], &row["tasks"]), (&"pool-get".into(), &16.into()));
        assert!(row["ops_per_s"].as_f64().unwrap() > 0.0, "{row}");
        assert_eq!(row["peak_rss_mb"].is_f64(), cfg!(target_os = "linux"), "{row}");
        assert!(text(&output.stdout).contains(row["client"].as_str().unwrap()));
    }
    assert!(text(&output.stderr).contains("pool-get, 16 tasks: "), "progress on standard error");
}

#[test]
fn a_wrong_argument_is_refused_with_what_would_be_right() {
    let output = run(&["pol"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(
        error.starts_with(
            "error: pol is not known: there are pool, dedicated, lru, cache, ratelimit, progress and all\n"
        ),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_anything_is_measured() {
    let output = run(&["pool", "--json", "no/such/folder/rows.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("error: no/such/folder/rows.json: "));
}
