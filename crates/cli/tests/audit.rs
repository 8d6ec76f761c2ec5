//! `cenote audit`: finds what makes a Redis client, each place once, and nothing that only looks like one.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use common::{Ended, assert_plain, cenote, ended};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit")
}

fn audit(path: &Path, arguments: &[&str]) -> Ended {
    let path = path.to_str().unwrap();
    ended(&mut cenote(&[["audit", path].as_slice(), arguments].concat()))
}

fn json(path: &Path) -> Value {
    let ended = audit(path, &["--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

/// A tree that is gone afterwards.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

const MANIFEST: &str = "[package]\nname = \"app\"\n[dependencies]\nserde = \"1\"\nredis = \"1\"\n";

/// By file and line: `kind scope style`, and `block_on` where there is one.
type Places = BTreeMap<(String, u64), Vec<String>>;

fn found(report: &Value) -> Places {
    let mut places = Places::new();
    for finding in report["findings"].as_array().unwrap() {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        let scope = text("scope").replace("per ", "");
        let mut what = format!("{} {scope} {}", text("kind"), text("style"));
        if finding["block_on"] == true {
            what.push_str(" block_on");
        }
        places.entry((text("file"), finding["line"].as_u64().unwrap())).or_default().push(what);
    }
    for all in places.values_mut() {
        all.sort();
    }
    places
}

/// What stands behind `~` in the files.
fn marked(folder: &Path, root: &Path, places: &mut Places) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            marked(&path, root, places);
            continue;
        }
        let shown = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let Some((_, marks)) = line.split_once("//~ ").or_else(|| line.split_once("#~ ")) else {
                continue;
            };
            let mut marks: Vec<String> = marks.split(';').map(|it| it.trim().to_owned()).collect();
            marks.sort();
            places.insert((shown.clone(), index as u64 + 1), marks);
        }
    }
}

#[test]
fn every_place_of_the_fixture_is_found_as_what_it_is_and_nothing_else() {
    let (root, mut expected) = (fixture(), Places::new());
    marked(&root, &root, &mut expected);
    assert!(expected.len() > 100, "{}", expected.len());
    let found = found(&json(&root));
    let wrong: Vec<String> = expected
        .keys()
        .chain(found.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|place| expected.get(place) != found.get(place))
        .map(|place| format!("{place:?}: expected {:?}, found {:?}", expected.get(place), found.get(place)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_place_has_a_replacement_that_there_is() {
    // They are there, or this does not compile.
    let _ =
        (cenote_pool_core::Pool::builder, cenote_pool_core::Pool::conn, cenote_pool_core::Pool::subscriber);
    let known = [
        "cenote",
        "cenote::Pool::builder",
        "cenote::Pool::conn",
        "cenote::Pool::subscriber",
        "cenote::redis",
        "none yet: Cenote has no Cluster",
        "none: Cenote has no MONITOR",
    ];
    let shims = ["deadpool", "bb8", "connection_manager", "r2d2"];
    let shims = shims.map(|module| format!("cenote_compat_shim::{module}"));
    let report = json(&fixture());
    for finding in report["findings"].as_array().unwrap() {
        let name = finding["replacement"].as_str().unwrap();
        assert!(known.contains(&name), "{finding}");
        if let Some(shim) = finding["until_then"].as_str() {
            assert!(shims.iter().any(|it| it == shim), "{finding}");
        }
    }
}

#[test]
fn a_person_reads_the_number_first_and_each_place_with_its_replacement_and_nothing_escapes_into_a_pipe() {
    let dir = tree(&[
        ("Cargo.toml", MANIFEST),
        ("src/main.rs", "#[get(\"/\")]\nasync fn show() {\n    let _ = redis::Client::open(\"a\");\n}\n"),
    ]);
    let Ended { code, out, err } = audit(dir.path(), &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let mut lines = out.lines();
    let first = lines.next().unwrap();
    assert_eq!(first, "2 places of 1 crate have Redis clients of their own: 1 per request, 1 in manifests.");
    let place = lines.find(|line| line.contains("redis::Client::open")).unwrap();
    for part in ["3", "client", "async", "per request", "-> cenote::Pool::builder"] {
        assert!(place.contains(part), "{part} is not in {place}");
    }
    assert_plain(&out);
    let none = tree(&[("Cargo.toml", "[package]\nname = \"app\"\n"), ("src/lib.rs", "")]);
    assert_eq!(audit(none.path(), &[]).out, "No Redis client of its own in 1 file.\n");
}

#[test]
fn a_comment_with_a_reason_leaves_a_place_alone_and_one_without_is_an_error_and_does_not() {
    let source = r#"
fn a(url: &str) {
    let _ = redis::Client::open(url); // cenote: allow(client) the vendor's SDK wants one
    // cenote: allow(client, connection): it is
    // a tool of ours
    let _ = redis::Client::open(url)
        .unwrap()
        .get_connection();
    let _ = redis::Client::open(url); // cenote: allow(client)
    let _ = redis::Client::open(url); // cenote: allow(clients) wrong word
    let _ = (redis::Client::open(url), "// cenote: allow(client) in a string");
    let _ = redis::Client::open(url); // cenote: allow(pool) another kind
    // cenote: allow(client) only the next statement
    let _ = 5;
    let _ = redis::Client::open(url);
}
"#;
    let manifest = "[package]\nname = \"app\"\n[dependencies]\nredis = \"1\" # cenote: allow(dependency) for its types\n";
    let dir = tree(&[("Cargo.toml", manifest), ("src/lib.rs", source)]);
    let Ended { code, out, err } = audit(dir.path(), &["--json"]);
    assert_eq!(code, Some(11), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let mut left = BTreeMap::new();
    for finding in report["findings"].as_array().unwrap() {
        let is_allowed = finding.get("allowed").is_some();
        left.insert((finding["line"].as_u64().unwrap(), finding["kind"].as_str().unwrap()), is_allowed);
    }
    let expected = [
        ((3, "client"), true),
        ((4, "dependency"), true),
        ((6, "client"), true),
        ((8, "connection"), true),
        ((9, "client"), false),
        ((10, "client"), false),
        ((11, "client"), false),
        ((12, "client"), false),
        ((15, "client"), false),
    ];
    assert_eq!(left, BTreeMap::from(expected));
    assert_eq!(report["crates"]["app"], 5);
    for told in [
        "error: src/lib.rs:9: a place is only left alone with a reason",
        "error: src/lib.rs:10: there is no \"clients\" to allow; there is client, connection,",
        "warning: src/lib.rs:12: this comment allows nothing",
        "warning: src/lib.rs:13: this comment allows nothing",
    ] {
        assert!(err.contains(told), "{told} is not in {err}");
    }
    assert_eq!(err.lines().count(), 4, "{err}");
}

#[test]
fn the_baseline_fails_when_a_crate_has_more_places_and_only_then() {
    let one = "fn a() { let _ = redis::Client::open(\"a\"); }\n";
    let other = MANIFEST.replace("app", "other");
    let dir = tree(&[
        ("app/Cargo.toml", MANIFEST),
        ("app/src/lib.rs", one),
        ("other/Cargo.toml", &other),
        ("other/src/lib.rs", &one.repeat(2)),
    ]);
    let file = dir.path().join("baseline.json");
    let baseline = ["--baseline", file.to_str().unwrap()];
    let absent = audit(dir.path(), &baseline);
    assert!(absent.code == Some(2) && absent.err.contains("--write-baseline"), "{absent:?}");

    let written = audit(dir.path(), &[baseline.as_slice(), &["--write-baseline"]].concat());
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, "{\n  \"version\": 1,\n  \"crates\": {\n    \"app\": 2,\n    \"other\": 3\n  }\n}\n");
    assert_eq!(audit(dir.path(), &baseline).code, Some(0));

    // One fewer there does not pay for one more here.
    fs::write(dir.path().join("app/src/lib.rs"), one.repeat(2)).unwrap();
    fs::write(dir.path().join("other/src/lib.rs"), one).unwrap();
    let risen = audit(dir.path(), &baseline);
    assert_eq!(risen.code, Some(10), "{risen:?}");
    assert!(risen.err.contains("error: app has 3 places, and the baseline 2"), "{risen:?}");
    assert!(risen.err.contains("other from 3 to 2"), "{risen:?}");

    fs::write(dir.path().join("app/src/lib.rs"), "").unwrap();
    let fallen = audit(dir.path(), &baseline);
    assert!(fallen.code == Some(0) && fallen.err.contains("app from 2 to 1"), "{fallen:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "it is only written when asked for");

    fs::write(&file, "{}").unwrap();
    assert_eq!(audit(dir.path(), &baseline).code, Some(2));
}

#[test]
fn what_does_not_parse_is_told_with_its_line_and_stops_nothing_else() {
    let good = "fn a() { let _ = redis::Client::open(\"a\"); }\n";
    let dir = tree(&[
        ("Cargo.toml", MANIFEST),
        ("src/lib.rs", good),
        ("src/broken.rs", "fn a() {}\n\nfn b( {\n"),
        ("src/later.rs", good),
        ("wrong/Cargo.toml", "[package]\nname = \n"),
    ]);
    fs::write(dir.path().join("src/bytes.rs"), [0xff, 0xfe]).unwrap();
    let Ended { code, out, err } = audit(dir.path(), &["--json"]);
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let files: Vec<_> = report["findings"].as_array().unwrap().iter().map(|it| it["file"].clone()).collect();
    assert_eq!(files, ["Cargo.toml", "src/later.rs", "src/lib.rs"]);
    for told in [
        "warning: src/broken.rs:3: not looked at, as it does not parse: ",
        "warning: src/bytes.rs: not looked at, as it is not valid UTF-8",
        "warning: wrong/Cargo.toml:2: ",
    ] {
        assert!(err.contains(told), "{told} is not in {err}");
    }
}

#[test]
fn syntax_that_is_nested_without_end_is_told_with_its_line_and_stops_nothing_else() {
    let good = "fn a() { let _ = redis::Client::open(\"a\"); }\n";
    let value = |text: String| format!("{good}fn b() {{ let _ = {text}; }}\n");
    let dir = tree(&[
        ("Cargo.toml", MANIFEST),
        ("src/a_brackets.rs", &value(format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000)))),
        ("src/b_signs.rs", &value(format!("{}true", "!".repeat(300_000)))),
        ("src/c_chain.rs", &value(format!("c{}", ".d()".repeat(300_000)))),
        ("src/d_types.rs", &format!("{good}type B = {}u8{};\n", "Box<".repeat(20_000), ">".repeat(20_000))),
        ("src/e_macro.rs", &value(format!("vec![{}1{}]", "[".repeat(20_000), "]".repeat(20_000)))),
        // This is much, and can be read.
        ("src/f_good.rs", &value(format!("c{}{}{}", ".d()".repeat(200), "(".repeat(100), ")".repeat(100)))),
    ]);
    let Ended { code, out, err } = audit(dir.path(), &["--json"]);
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let files: Vec<_> = report["findings"].as_array().unwrap().iter().map(|it| it["file"].clone()).collect();
    assert_eq!(files, ["Cargo.toml", "src/f_good.rs"]);
    for name in ["a_brackets", "b_signs", "c_chain", "d_types", "e_macro"] {
        let told = format!("warning: src/{name}.rs:2: not looked at, as its syntax is nested too deep here");
        assert!(err.contains(&told), "{told} is not in {err}");
    }
}

#[test]
fn what_cargo_made_or_brought_is_left_out() {
    let one = "fn a() { let _ = redis::Client::open(\"a\"); }\n";
    let dir = tree(&[
        ("Cargo.toml", MANIFEST),
        ("src/lib.rs", one),
        ("target/CACHEDIR.TAG", ""),
        ("target/debug/build/x/out/a.rs", one),
        ("vendor/redis/.cargo-checksum.json", "{}"),
        ("vendor/redis/src/lib.rs", one),
        (".git/a.rs", one),
    ]);
    let files: BTreeSet<_> = found(&json(dir.path())).into_keys().map(|(file, _)| file).collect();
    assert_eq!(files, BTreeSet::from(["Cargo.toml".to_owned(), "src/lib.rs".to_owned()]));
}

#[test]
fn what_is_in_the_place_of_a_client_hides_no_place_and_is_not_looked_at() {
    let manifest = "[package]\nname = \"app\"\n[dependencies]\ndeadpool-redis = \"0.23\"\nredis = \"1\"\nr2d2 = \"0.8\"\n";
    let source = "\
async fn a(pool: &deadpool_redis::Pool, url: &str) {
    let _ = pool.get().await;
    let _ = redis::Client::open(url);
    let _ = r2d2::Pool::new(redis::Client::open(url));
}
";
    let dir = tree(&[("app/Cargo.toml", manifest), ("app/src/main.rs", source)]);
    let (app, baseline) = (dir.path().join("app"), dir.path().join("baseline.json"));
    let baseline = ["--baseline", baseline.to_str().unwrap()];
    let before = found(&json(&app));
    assert_eq!(before.values().map(Vec::len).sum::<usize>(), 6, "{before:?}");
    assert_eq!(audit(&app, &[baseline.as_slice(), &["--write-baseline"]].concat()).code, Some(0));

    let patch = app.join("patch/deadpool-redis");
    let written = ended(&mut cenote(&["patch", "deadpool-redis", "--into", patch.to_str().unwrap()]));
    assert_eq!(written.code, Some(0), "{written:?}");
    for name in ["redis", "r2d2"] {
        let fork = app.join("forks").join(name);
        fs::create_dir_all(fork.join("src")).unwrap();
        let manifest = format!("[package]\nname = {name:?}\n[dependencies]\nr2d2 = \"0.8\"\nredis = \"1\"\n");
        fs::write(fork.join("Cargo.toml"), manifest).unwrap();
        let source =
            "pub struct Client;\npub struct Pool;\nfn a(c: redis::Client) { c.get_connection_manager(); }\n";
        fs::write(fork.join("src/lib.rs"), source).unwrap();
    }
    let after = audit(&app, &baseline);
    assert!(after.code == Some(0) && after.err.is_empty(), "{after:?}");
    assert_eq!(found(&json(&app)), before);
    // From further up, the same places.
    let above = found(&json(dir.path()));
    let above: Places = above
        .into_iter()
        .map(|((file, line), what)| ((file.strip_prefix("app/").unwrap().to_owned(), line), what))
        .collect();
    assert_eq!(above, before);
}

#[test]
fn a_crate_has_the_same_places_from_the_root_of_its_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let count = |path: &Path| json(path)["crates"]["migrate-deadpool"].as_u64();
    let within = count(&root.join("examples/migrate-deadpool"));
    assert!(within > Some(10), "{within:?}");
    assert_eq!(count(&root), within);
}

#[test]
fn sarif_has_what_its_schema_asks_for() {
    let dir = tree(&[
        ("Cargo.toml", MANIFEST),
        (
            "src/a b.rs",
            "fn a() {\n    let _ = redis::Client::open(\"a\"); // cenote: allow(client) why not\n}\n",
        ),
        ("src/broken.rs", "fn"),
    ]);
    let Ended { code, out, .. } = audit(dir.path(), &["--sarif"]);
    assert_eq!(code, Some(0));
    let log: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().ends_with("sarif-2.1.0.json"));
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "cenote audit");
    let rules = driver["rules"].as_array().unwrap();
    let ids: BTreeSet<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len());
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(place["region"]["startColumn"].as_u64().unwrap() >= 1);
    }
    let source = &results[1];
    assert_eq!(source["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "src/a%20b.rs");
    assert_eq!(source["suppressions"][0]["kind"], "inSource");
    assert_eq!(source["suppressions"][0]["justification"], "why not");
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], true);
    assert_eq!(invocation["toolExecutionNotifications"][0]["level"], "warning");
}

#[test]
fn the_clippy_configuration_is_ready_and_gives_a_reason_for_each_entry() {
    let Ended { code, out, .. } = ended(&mut cenote(&["audit", "--clippy"]));
    assert_eq!(code, Some(0));
    let entries: Vec<&str> = out.lines().filter(|line| line.contains("path = ")).collect();
    assert!(entries.iter().all(|line| line.contains(", reason = \"")), "{out}");
    for path in [
        "redis::Client::open",
        "redis::Client::get_connection_manager",
        "redis::Client::get_multiplexed_async_connection",
        "redis::aio::ConnectionManager::new",
        "deadpool_redis::Config::create_pool",
        "deadpool_redis::Config::from_url",
        "deadpool_redis::Manager::new",
        "deadpool::managed::Pool::builder",
        "bb8::Pool::builder",
        "r2d2::Pool::new",
        "r2d2::Pool::builder",
    ] {
        assert!(entries.iter().any(|line| line.contains(&format!("\"{path}\""))), "{path}");
    }
    assert!(out.lines().any(|line| line == "disallowed-methods = ["), "{out}");
}

#[test]
fn what_cannot_be_is_refused() {
    for (arguments, expected) in [
        (["audit", "/no/such/folder"].as_slice(), "PATH: /no/such/folder: "),
        (&["audit", "--json", "--sarif"], "--sarif"),
        (&["audit", "--write-baseline"], "--baseline"),
    ] {
        let Ended { code, out, err } = ended(&mut cenote(arguments));
        assert!(code == Some(2) && out.is_empty() && err.contains(expected), "{arguments:?}: {err}");
    }
}

#[test]
fn a_path_with_nothing_to_look_at_is_refused_and_is_not_fewer_places_than_before() {
    let dir = tree(&[
        ("app/Cargo.toml", MANIFEST),
        ("docs/a.md", "redis::Client::open"),
        ("only/Cargo.toml", MANIFEST),
    ]);
    let file = dir.path().join("baseline.json");
    let baseline = ["--baseline", file.to_str().unwrap()];
    let write = [baseline.as_slice(), &["--write-baseline"]].concat();
    assert_eq!(audit(&dir.path().join("app"), &write).code, Some(0));
    let text = fs::read_to_string(&file).unwrap();
    for path in ["docs", "docs/a.md"].map(|it| dir.path().join(it)) {
        for arguments in [[].as_slice(), &["--json"], &["--sarif"], &baseline, &write] {
            let Ended { code, out, err } = audit(&path, arguments);
            assert!(code == Some(2) && out.is_empty(), "{arguments:?}: {out}{err}");
            assert!(err.contains("PATH: ") && err.contains("nothing to look at"), "{err}");
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(audit(&dir.path().join("only"), &baseline).code, Some(0), "a manifest is something");
}

fn finding<'a>(report: &'a Value, line: u64, kind: &str) -> &'a Value {
    let mut all = report["findings"].as_array().unwrap().iter();
    let found = all.find(|it| it["line"] == line && it["kind"] == kind && it["file"] != "Cargo.toml");
    found.unwrap_or_else(|| panic!("line {line} has no {kind}: {report:#}"))
}

#[test]
fn no_shim_is_said_to_keep_a_manager_that_a_client_makes_itself() {
    let source = "\
async fn a(client: redis::Client, config: redis::aio::ConnectionManagerConfig) {
    let _ = client.get_connection_manager().await;
    let _ = client.get_connection_manager_with_config(config).await;
    let _ = client.get_connection_manager_lazy(config);
    let _ = redis::aio::ConnectionManager::new(client).await;
}
";
    let dir = tree(&[("Cargo.toml", MANIFEST), ("src/lib.rs", source)]);
    let report = json(dir.path());
    let shim = "cenote_compat_shim::connection_manager";
    for (line, call) in [
        (2, "new(client)"),
        (3, "new_with_config(client, config)"),
        (4, "new_lazy_with_config(client, config)"),
    ] {
        let found = finding(&report, line, "manager");
        assert_eq!(found["until_then"], Value::Null, "{found}");
        assert_eq!(found["write_until_then"], format!("{shim}::aio::ConnectionManager::{call}"));
    }
    let kept = finding(&report, 5, "manager");
    assert!(kept["until_then"] == shim && kept["write_until_then"] == Value::Null, "{kept}");
    let sarif = audit(dir.path(), &["--sarif"]).out;
    assert_eq!(sarif.matches("keeps the call as it is.").count(), 1, "{sarif}");
    assert_eq!(sarif.matches("no shim keeps the call as it is: until then write ").count(), 3, "{sarif}");
    let out = audit(dir.path(), &[]).out;
    let told: Vec<String> =
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [shim.to_owned(), format!("{shim}::aio::ConnectionManager::new(client)")] {
        assert!(told.contains(&format!("{line} 1 place")), "{line}: {out}");
    }
}

#[test]
fn code_that_uses_a_shim_is_not_offered_it_once_more() {
    let manifest = "[package]\nname = \"app\"\n[dependencies]\nredis = \"1\"\nr2d2 = \"0.8\"\ncenote = \"0.1\"\ncenote-compat-shim = \"0.1\"\n";
    let body = "fn a(url: &str) {\n    let client = redis::Client::open(url).unwrap();\n    let pool = r2d2::Pool::builder().build(client).unwrap();\n    let _ = pool.get();\n}\n";
    let with = |line: &str| format!("{line}\n{body}");
    for (line, is_offered) in [
        ("use cenote_compat_shim::r2d2::redis;", false),
        ("use cenote::compat_shim::r2d2::redis;", false),
        ("use cenote_compat_shim::r2d2::*;", false),
        ("use crate::old::redis;", false),
        ("use cenote_compat_shim::bb8;", true),
        ("", true),
    ] {
        let old = "pub use cenote_compat_shim::r2d2::redis;\n";
        let dir = tree(&[
            ("Cargo.toml", manifest),
            ("src/lib.rs", &format!("mod old; {}", with(line))),
            ("src/old.rs", old),
        ]);
        let report = json(dir.path());
        let found = finding(&report, 5, "checkout");
        assert_eq!(found["until_then"] == "cenote_compat_shim::r2d2", is_offered, "{line}: {found}");
    }
}

#[test]
fn a_client_is_promised_a_shim_only_where_it_goes_into_a_pool_of_r2d2() {
    let source = "\
fn a(url: &str) -> redis::Client { redis::Client::open(url).unwrap() }
fn b(url: &str) { let _ = r2d2::Pool::new(redis::Client::open(url).unwrap()); }
async fn c(url: &str) {
    let client = redis::Client::open(url).unwrap();
    let _ = client.get_multiplexed_async_connection().await;
    let _ = r2d2::Pool::new(client);
}
";
    let manifest = MANIFEST.replace("serde", "r2d2");
    let dir = tree(&[("Cargo.toml", &manifest), ("src/lib.rs", source)]);
    let report = json(dir.path());
    for (line, shim) in [(1, Value::Null), (2, Value::from("cenote_compat_shim::r2d2")), (4, Value::Null)] {
        assert_eq!(finding(&report, line, "client")["until_then"], shim, "{line}");
    }
    let out = audit(dir.path(), &[]).out;
    assert!(!out.contains("globals"), "{out}");
}

#[test]
fn a_module_for_tests_is_one_in_a_file_of_its_own_too() {
    let one = "pub fn a() { let _ = redis::Client::open(\"a\"); }\n";
    let inner = format!("mod below;\n{one}");
    let dir = tree(&[
        ("Cargo.toml", MANIFEST),
        (
            "src/lib.rs",
            "#[cfg(test)]\nmod helper;\nmod plain;\nmod first;\n#[cfg(test)]\nmod both;\n#[cfg(test)]\nmod inline {\n    mod own;\n}\n",
        ),
        ("src/main.rs", "mod both;\n#[cfg(test)]\nmod first;\n"),
        ("src/helper.rs", &inner),
        ("src/helper/below.rs", one),
        ("src/inline/own.rs", one),
        ("src/itself.rs", &format!("#![cfg(test)]\n{one}")),
        ("src/plain.rs", one),
        ("src/both.rs", one),
        ("src/first.rs", one),
    ]);
    let report = json(dir.path());
    let scopes: BTreeMap<&str, &str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["file"].as_str().unwrap(), it["scope"].as_str().unwrap()))
        .collect();
    let expected = [
        ("Cargo.toml", "manifest"),
        ("src/both.rs", "per module"),
        ("src/first.rs", "per module"),
        ("src/helper.rs", "test"),
        ("src/helper/below.rs", "test"),
        ("src/inline/own.rs", "test"),
        ("src/itself.rs", "test"),
        ("src/plain.rs", "per module"),
    ];
    assert_eq!(scopes, BTreeMap::from(expected));
}

#[test]
fn a_place_of_sentinel_has_the_name_of_its_type_and_monitor_is_not_promised() {
    let source = "\
use redis::sentinel::{Sentinel, SentinelClient, SentinelClientBuilder};
async fn a(client: redis::Client, url: &str) {
    let mut sentinel = Sentinel::build(vec![url]).unwrap();
    let _ = sentinel.async_master_for(\"a\", None).await;
    let mut other = SentinelClient::build(vec![url]).unwrap();
    let _ = other.get_async_connection().await;
    let mut built = SentinelClientBuilder::new(vec![url]).unwrap().set_client_to_redis_db(1).build().unwrap();
    let _ = built.get_connection();
    let _ = client.get_async_monitor().await;
}
";
    let dir = tree(&[("Cargo.toml", MANIFEST), ("src/lib.rs", source)]);
    let report = json(dir.path());
    let all = report["findings"].as_array().unwrap().iter().skip(1);
    let places: Vec<(u64, &str, &str)> = all
        .map(|it| {
            let text = |name: &str| it[name].as_str().unwrap();
            (
                it["line"].as_u64().unwrap(),
                text("what").rsplit("redis::").next().unwrap(),
                text("replacement"),
            )
        })
        .collect();
    let (pool, conn) = ("cenote::Pool::builder", "cenote::Pool::conn");
    let expected = [
        (3, "sentinel::Sentinel::build", pool),
        (4, "sentinel::Sentinel::async_master_for", pool),
        (5, "sentinel::SentinelClient::build", pool),
        (6, "sentinel::SentinelClient::get_async_connection", conn),
        (7, "sentinel::SentinelClientBuilder::new", pool),
        (8, "sentinel::SentinelClient::get_connection", conn),
        (9, "Client::get_async_monitor", "none: Cenote has no MONITOR"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn what_is_told_reads_well() {
    let help = ended(&mut cenote(&["audit", "--help"])).out;
    assert!(help.contains("\"per request\"") && !help.contains('\\'), "{help}");

    let source = "fn a() { block_on(async { redis::Client::open(\"a\") }); } // cenote: allow(pool) x\n";
    let dir = tree(&[("Cargo.toml", "[package]\nname = \"app\"\n"), ("src/lib.rs", "")]);
    let file = dir.path().join("baseline.json");
    let baseline = ["--baseline", file.to_str().unwrap()];
    assert_eq!(audit(dir.path(), &[baseline.as_slice(), &["--write-baseline"]].concat()).code, Some(0));
    fs::write(dir.path().join("Cargo.toml"), MANIFEST.replace("redis =", "cenote =")).unwrap();
    fs::write(dir.path().join("src/lib.rs"), source.replace("redis", "cenote::redis")).unwrap();
    let Ended { code, out, err } = audit(dir.path(), &baseline);
    assert_eq!(code, Some(10), "{err}");
    assert!(err.contains("error: app has 1 place, and the baseline 0: "), "{err}");
    assert!(
        out.starts_with(
            "1 place of 1 crate has a Redis client of its own: 1 per module; of these 1 beside a block_on.\n"
        ),
        "{out}"
    );
}

#[test]
fn a_comment_that_allows_may_leave_out_its_spaces() {
    let source = "fn a() { let _ = redis::Client::open(\"a\"); } //cenote:allow(client) why not\n";
    let dir = tree(&[("Cargo.toml", MANIFEST), ("src/lib.rs", source)]);
    let report = json(dir.path());
    assert_eq!(finding(&report, 1, "client")["allowed"], "why not");
}
