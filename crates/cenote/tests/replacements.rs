//! What the warnings of the compat shim tell users to write is there.
#![cfg(all(feature = "compat-shim", feature = "cache"))]

use std::fs;
use std::path::Path;

use cenote::{Conn, Pool};

/// What the warnings may name. `named` compiles as long as all of it is there.
const NAMES: &[&str] = &["cenote::Cache", "cenote::Pool", "close()", "conn()", "dedicated()", "start()"];

async fn named(pool: Pool) -> Option<cenote::Cache<u64, String>> {
    let conn: fn(&Pool) -> Conn = Pool::conn;
    let _conn = conn(&pool);
    let _state = pool.start().await;
    let _exclusive = pool.dedicated().await;
    let _report = pool.close().await;
    None
}

fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).unwrap() })
        .collect()
}

/// What stands between quotation marks behind each `mark`.
fn texts<'a>(source: &'a str, mark: &str) -> Vec<&'a str> {
    let behind = source.split(mark).skip(1);
    behind.map(|rest| rest.trim_start().trim_start_matches('"').split('"').next().unwrap()).collect()
}

#[test]
fn every_warning_names_a_replacement_that_is_there() {
    let _ = named;
    let source = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat-shim/src"));
    let notes = texts(&source, "note = ");
    assert!(notes.len() >= 50, "{notes:?}");
    assert_eq!(notes.len(), source.matches("deprecated(").count(), "one for each that is deprecated");
    let mut unused = NAMES.to_vec();
    for note in notes {
        let names: Vec<_> = note.split('`').skip(1).step_by(2).collect();
        assert!(names.iter().any(|name| name.starts_with("cenote::")), "{note:?} names none");
        for name in names {
            assert!(NAMES.contains(&name), "{name} in {note:?}: if it is there, let `named` compile it");
            unused.retain(|unused| *unused != name);
        }
    }
    assert_eq!(unused, [""; 0], "no warning names it");
}

#[test]
fn every_row_of_the_report_names_a_replacement_that_is_there() {
    let source = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat-shim/src"));
    let rows = texts(&source, "REPLACEMENT: &str =");
    assert!(rows.len() >= 3, "{rows:?}");
    for row in rows {
        let words = row.split([' ', ',']).filter(|word| word.contains("::"));
        let mut names = 0;
        for word in words {
            let method = word.trim_start_matches("cenote::").trim_start_matches("Pool::");
            assert!(NAMES.contains(&method) || NAMES.contains(&word), "{word} in {row:?}");
            names += 1;
        }
        assert!(names > 0, "{row:?} names none");
    }
}
