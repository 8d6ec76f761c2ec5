//! `cenote patch` writes crates that are complete, and nothing over what is somebody else's.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn cenote(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cenote")).args(args).output().unwrap()
}

/// As much of it as is looked at.
fn shim_in(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("Cargo.toml"), "[package]\nname = \"cenote-compat-shim\"\n").unwrap();
}

#[test]
fn a_patch_crate_is_written_and_the_line_that_uses_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    shim_in(&folder.path().join("shim"));
    let into = folder.path().join("patch/deadpool-redis");
    let into = into.to_str().unwrap();
    let output = cenote(&["patch", "deadpool-redis", "--into", into, "--shim", "../../shim"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("[patch.crates-io]\ndeadpool-redis = {{ path = {into:?} }}\n")), "{text}");
    let manifest = fs::read_to_string(format!("{into}/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"deadpool-redis\"\nversion = \"0.23."), "{manifest}");
    assert!(manifest.contains("cenote-compat-shim = { path = \"../../shim\""), "{manifest}");
    assert!(
        fs::read_to_string(format!("{into}/src/lib.rs")).unwrap().contains("cenote_compat_shim::deadpool")
    );

    let again = cenote(&["patch", "deadpool-redis", "--into", into, "--shim", "../../shim"]);
    assert!(again.status.success(), "the same once more is nothing new");
    let other = cenote(&["patch", "deadpool-redis", "--into", into]);
    assert_eq!(other.status.code(), Some(2), "another text is not written over it");
    assert!(String::from_utf8(other.stderr).unwrap().contains("--force"));
    assert_eq!(fs::read_to_string(format!("{into}/Cargo.toml")).unwrap(), manifest);
    let forced = cenote(&["patch", "deadpool-redis", "--into", into, "--force"]);
    assert!(forced.status.success());
    let told = String::from_utf8(forced.stdout).unwrap();
    let from = concat!("cenote-compat-shim = { git = \"", env!("CARGO_PKG_REPOSITORY"), "\" }");
    assert!(told.contains(from), "where the shim is, as the registry has none: {told}");
    let replaced = fs::read_to_string(format!("{into}/Cargo.toml")).unwrap();
    assert!(replaced.contains(&format!("version = \"{}\"", env!("CARGO_PKG_VERSION"))), "{replaced}");
}

#[test]
fn a_name_that_has_no_patch_is_an_error_that_tells_those_that_have() {
    let output = cenote(&["patch", "serde", "--into", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("deadpool-redis") && text.contains("bb8-redis"), "{text}");
}

#[test]
fn a_shim_that_is_not_there_is_told_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("patch/bb8-redis");
    shim_in(&folder.path().join("patch/shim"));
    let patch = |shim| cenote(&["patch", "bb8-redis", "--into", into.to_str().unwrap(), "--shim", shim]);
    for shim in ["../../shim", "shim", "..", ""] {
        let output = patch(shim);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{shim}: {text}");
        assert!(text.contains(&format!("--shim {shim} is")) && text.contains("is not there"), "{text}");
        assert!(!into.exists(), "{shim}");
    }
    let absolute = folder.path().join("patch/shim");
    for shim in ["../shim", absolute.to_str().unwrap()] {
        assert!(patch(shim).status.success(), "{shim}");
        fs::remove_dir_all(&into).unwrap();
    }
}

#[test]
fn a_url_is_no_folder_and_is_not_printed() {
    let output = cenote(&["patch", "bb8-redis", "--into", "redis://:s3cr3t@localhost"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--into is a URL") && !text.contains("s3cr3t"), "{text}");
}
