//! What `cenote audit` writes for other programs: SARIF, held to its schema, and a configuration that clippy obeys.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cenote_testkit::is_long;
use serde_json::Value;

use common::{Ended, cenote, ended};

/// Of SARIF 2.1.0, the objects that we write: each has its properties, `!` for required, and what they are. The schema
/// forbids all others, and so does this table.
const SCHEMA: &[(&str, &[&str])] = &[
    ("log", &["$schema: uri", "version!: =2.1.0", "runs!: [run]"]),
    (
        "run",
        &[
            "tool!: tool",
            "columnKind: =utf16CodeUnits|unicodeCodePoints",
            "invocations: [invocation]",
            "results: [result]",
        ],
    ),
    ("tool", &["driver!: driver"]),
    ("driver", &["name!: text", "version: text", "informationUri: uri", "rules: [rule]"]),
    (
        "rule",
        &["id!: text", "shortDescription: message", "helpUri: uri", "defaultConfiguration: configuration"],
    ),
    ("configuration", &["level: =none|note|warning|error"]),
    ("message", &["text!: text"]),
    ("invocation", &["executionSuccessful!: bool", "toolExecutionNotifications: [notification]"]),
    ("notification", &["level: =none|note|warning|error", "message!: message", "locations: [location]"]),
    (
        "result",
        &[
            "ruleId: text",
            "ruleIndex: number",
            "level: =none|note|warning|error",
            "message!: message",
            "locations: [location]",
            "partialFingerprints: texts",
            "suppressions: [suppression]",
        ],
    ),
    ("suppression", &["kind!: =inSource|external", "justification: text"]),
    ("location", &["physicalLocation: place"]),
    ("place", &["artifactLocation!: artifact", "region: region"]),
    ("artifact", &["uri: reference"]),
    ("region", &["startLine: number", "startColumn: number"]),
];

fn check(value: &Value, what: &str, at: &str) {
    let text = || value.as_str().unwrap_or_else(|| panic!("{at} is no text: {value}"));
    match what {
        "text" => assert!(!text().is_empty(), "{at} is empty"),
        "texts" => value.as_object().unwrap().values().for_each(|value| check(value, "text", at)),
        "bool" => assert!(value.is_boolean(), "{at}: {value}"),
        // From 0 for an index, from 1 for a line or a column.
        "number" => {
            let least = u64::from(!at.ends_with("Index"));
            assert!(value.as_u64().is_some_and(|number| number >= least), "{at}: {value}");
        }
        "uri" => assert!(text().starts_with("https://") && !text().contains(' '), "{at}: {value}"),
        "reference" => {
            let unreserved = |c: char| c.is_ascii_alphanumeric() || "-_.~/%".contains(c);
            assert!(!text().is_empty() && text().chars().all(unreserved), "{at}: {value}");
        }
        _ => {
            if let Some(one_of) = what.strip_prefix('=') {
                assert!(one_of.split('|').any(|one| one == text()), "{at}: {value}");
            } else if let Some(each) = what.strip_prefix('[') {
                let list = value.as_array().unwrap_or_else(|| panic!("{at} is no list: {value}"));
                for (index, value) in list.iter().enumerate() {
                    check(value, each.trim_end_matches(']'), &format!("{at}[{index}]"));
                }
            } else {
                object(value, what, at);
            }
        }
    }
}

fn object(value: &Value, what: &str, at: &str) {
    let (_, properties) = SCHEMA.iter().find(|(name, _)| *name == what).unwrap();
    let mut members = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}")).clone();
    for property in *properties {
        let (name, what) = property.split_once(": ").unwrap();
        let (name, is_required) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
        match members.remove(name) {
            Some(value) => check(&value, what, &format!("{at}.{name}")),
            None => assert!(!is_required, "{at} has no {name}"),
        }
    }
    assert!(members.is_empty(), "{at} must not have {:?}", members.keys());
}

fn audit(path: &Path, flag: &str) -> String {
    let Ended { code, out, err } = ended(&mut cenote(&["audit", path.to_str().unwrap(), flag]));
    assert_eq!(code, Some(0), "{err}");
    out
}

#[test]
fn sarif_has_every_required_property_and_none_that_the_schema_does_not_know() {
    let broken = tempfile::tempdir().unwrap();
    fs::create_dir(broken.path().join("src")).unwrap();
    let manifest = "[package]\nname = \"app\"\n[dependencies]\nredis = \"1\"\n";
    fs::write(broken.path().join("Cargo.toml"), manifest).unwrap();
    let source =
        "fn a() {\n    // cenote: allow(client) why not\n    let _ = redis::Client::open(\"a\");\n}\n";
    fs::write(broken.path().join("src/ä b.rs"), source).unwrap();
    fs::write(broken.path().join("src/broken.rs"), "fn").unwrap();

    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit");
    let mut seen = [0; 3];
    for path in [fixture.as_path(), broken.path()] {
        let log: Value = serde_json::from_str(&audit(path, "--sarif")).unwrap();
        check(&log, "log", "log");
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        let notifications = &run["invocations"][0]["toolExecutionNotifications"];
        seen[0] += results.len();
        seen[1] += results.iter().filter(|result| result.get("suppressions").is_some()).count();
        seen[2] += notifications.as_array().unwrap().len();
    }
    assert!(seen[0] >= 40 && seen[1] >= 1 && seen[2] >= 1, "{seen:?}");
}

#[test]
fn clippy_finds_what_is_made_by_hand_when_it_is_given_the_configuration() {
    if !is_long() {
        println!("not run: clippy wants redis-rs built; cargo xtask test --long runs it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    write(
        "Cargo.toml",
        "[package]\nname = \"by-hand\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         redis = { version = \"1.8\", default-features = false, features = [\"connection-manager\", \"tokio-comp\"] }\n",
    );
    let lines = [
        "use redis::Client as Door;",
        "pub use redis::aio::ConnectionManager as Kept;",
        "type Alias = redis::Client;",
        "pub fn open() { let _ = Door::open(\"redis://localhost\"); }",
        "pub fn again() { let _ = Alias::open(\"redis://localhost\"); }",
        "pub fn pointer() -> fn(&'static str) -> redis::RedisResult<Door> { Door::open }",
        "pub async fn kept(client: Door) { let _ = Kept::new(client).await; }",
        "pub async fn shared(client: Door) { let _ = client.get_multiplexed_async_connection().await; }",
        "#[expect(clippy::disallowed_methods, reason = \"it has to stay\")]",
        "pub fn stays() { let _ = Door::open(\"redis://localhost\"); }",
        "pub fn nothing() { println!(\"redis::Client::open\"); }",
    ];
    write("src/lib.rs", &lines.join("\n"));
    write("clippy.toml", &audit(dir.path(), "--clippy"));
    // The versions that the other tests have, too.
    let known =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat-shim/tests/fixtures/upstream/Cargo.lock");
    fs::copy(known, dir.path().join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["clippy", "--quiet", "--message-format", "short"])
        .current_dir(dir.path())
        .env("CARGO_TARGET_DIR", PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("clippy"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null())
        .output()
        .expect("cargo starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let warned = |line: usize| {
        let place = format!("lib.rs:{line}:");
        told.lines().find(|told| told.contains(&place) && told.contains("disallowed method"))
    };
    for (index, line) in lines.iter().enumerate() {
        let is_made = (3..8).contains(&index);
        assert_eq!(warned(index + 1).is_some(), is_made, "{line}\n{told}");
    }
    assert_eq!(told.lines().filter(|line| line.contains("warning: ")).count(), 5, "{told}");
}
