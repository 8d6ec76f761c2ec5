//! Every cargo feature is explained where it is declared and where users read.

use super::Finding;
use super::files::File;

pub(super) fn explained(manifests: &[File], sources: &[File], documents: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in manifests.iter().filter(|manifest| is_published(manifest)) {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        let (readme, lib) = (format!("{folder}README.md"), format!("{folder}src/lib.rs"));
        let is_read = |file: &&File| {
            file.path == readme || file.path == lib || file.path == "README.md" || file.is_below("docs")
        };
        let read: Vec<_> = sources.iter().chain(documents).filter(is_read).collect();
        for (line, name, has_comment) in declared(&manifest.text) {
            if !has_comment {
                let message = format!("feature `{name}` has no comment; say in the line above what it adds");
                findings.push(Finding::new(manifest, line, message));
            }
            if !read.iter().any(|file| file.text.contains(&format!("`{name}`"))) {
                let message =
                    format!("feature `{name}` is named (in backticks) in none of {readme}, {lib}, docs/");
                findings.push(Finding::new(manifest, line, message));
            }
        }
    }
    findings
}

/// A crate's manifest without `publish = false`.
fn is_published(manifest: &File) -> bool {
    let is_crate = manifest.path.split('/').count() == 3 && manifest.path.ends_with("/Cargo.toml");
    is_crate && !manifest.text.lines().any(|line| line.replace(' ', "").starts_with("publish=false"))
}

/// Line, name, and whether a comment stands above, for each feature but `default`.
fn declared(manifest: &str) -> Vec<(usize, &str, bool)> {
    let mut features = Vec::new();
    let mut inside = false;
    let mut previous = "";
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[features]";
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside && !line.starts_with('#')) {
            let name = name.trim().trim_matches('"');
            if name != "default" {
                features.push((index + 1, name, previous.starts_with('#')));
            }
        }
        previous = line;
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"x\"\n\n[features]\ndefault = []\n# Adds metrics.\nmetrics = [\n  \"a\",\n]\nsse = []\n\n[dependencies]\nb = \"1\"\n";

    #[test]
    fn a_feature_without_a_comment_or_a_mention_is_found() {
        let manifests = [File::new("crates/x/Cargo.toml", MANIFEST)];
        let lib = File::new("crates/x/src/lib.rs", "//! With `metrics` it counts.");
        let other = File::new("crates/y/src/lib.rs", "//! `sse`");
        let findings = explained(&manifests, &[lib.clone(), other], &[]);
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().all(|finding| finding.line == 10 && finding.message.contains("`sse`")));

        let guide = File::new("docs/features.md", "`sse` streams.");
        assert_eq!(explained(&manifests, &[lib], &[guide]).len(), 1);
    }

    #[test]
    fn unpublished_crates_may_do_as_they_like() {
        let text = format!("publish = false\n{MANIFEST}");
        assert_eq!(explained(&[File::new("crates/x/Cargo.toml", &text)], &[], &[]), []);
    }
}
