//! The documents and the tasks agree.

use super::Finding;
use super::files::File;

const CALL: &str = "cargo xtask ";

pub(super) fn documented(tasks: &[&str], documents: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in documents {
        for (line, name) in mentioned(&document.text) {
            if !tasks.contains(&name) {
                let message = format!("there is no `{CALL}{name}`; there is {}", tasks.join(", "));
                findings.push(Finding::new(document, line, message));
            }
        }
    }
    let is_start = |file: &&File| matches!(file.path.as_str(), "README.md" | "CONTRIBUTING.md");
    let start: Vec<_> = documents.iter().filter(is_start).flat_map(|file| mentioned(&file.text)).collect();
    for task in tasks.iter().filter(|task| !start.iter().any(|(_, name)| name == *task)) {
        let message = format!("`{CALL}{task}` is mentioned neither here nor in CONTRIBUTING.md");
        findings.push(Finding::at("README.md", 1, message));
    }
    findings
}

/// Each line and the name after `cargo xtask`; a placeholder in capitals or brackets is no name.
fn mentioned(text: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (at, call) in line.match_indices(CALL) {
            let rest = &line[at + call.len()..];
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
            if rest.starts_with(|c: char| c.is_ascii_lowercase()) {
                names.push((index + 1, &rest[..end]));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_not_there_and_one_that_is_not_told_are_found() {
        let readme =
            File::new("README.md", "Run `cargo xtask test`.\nOr cargo xtask COMMAND, or `cargo xtask tset`.");
        let guide = File::new("docs/guide.md", "`cargo xtask lint --all`");
        let findings = documented(&["test", "lint"], &[readme, guide]);
        assert_eq!(findings.len(), 2);
        assert_eq!((findings[0].line, findings[0].message.contains("`cargo xtask tset`")), (2, true));
        assert!(findings[1].message.contains("`cargo xtask lint` is mentioned neither"));
    }

    #[test]
    fn both_first_documents_count() {
        let readme = File::new("README.md", "cargo xtask test");
        let contributing = File::new("CONTRIBUTING.md", "cargo xtask lint");
        assert_eq!(documented(&["test", "lint"], &[readme, contributing]), []);
    }
}
