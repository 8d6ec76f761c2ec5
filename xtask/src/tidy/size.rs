//! Files that a person can read.

use super::Finding;
use super::files::File;

const ARCHITECTURE_LINES: usize = 200;
const SOURCE_LINES: usize = 400;

/// Sources that are longer, and why that is right.
pub(super) const LONG_FILES: &[(&str, &str)] = &[];

pub(super) fn architecture(documents: &[File]) -> Vec<Finding> {
    let document = documents.iter().find(|file| file.path == "ARCHITECTURE.md");
    document.filter(|file| file.text.lines().count() > ARCHITECTURE_LINES).map_or(Vec::new(), |file| {
        let message = format!("the architecture is told in at most {ARCHITECTURE_LINES} lines");
        vec![Finding::new(file, ARCHITECTURE_LINES + 1, message)]
    })
}

pub(super) fn sources(files: &[File], allowed: &[(&str, &str)]) -> Vec<Finding> {
    let is_long = |file: &&File| file.path.contains("/src/") && file.text.lines().count() > SOURCE_LINES;
    let long: Vec<_> = files.iter().filter(is_long).collect();
    let mut findings = Vec::new();
    for file in &long {
        if !allowed.iter().any(|(path, _)| *path == file.path) {
            let message = format!(
                "more than {SOURCE_LINES} lines: split off the second thing it does, or give the reason in LONG_FILES"
            );
            findings.push(Finding::new(file, SOURCE_LINES + 1, message));
        }
    }
    for (path, _) in allowed {
        if !long.iter().any(|file| file.path == *path) {
            findings.push(Finding::at(path, 1, "is in LONG_FILES and not long: take it out"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_source_needs_a_reason_and_a_short_one_none() {
        let long = File::new("crates/x/src/a.rs", &"x\n".repeat(401));
        let short = File::new("crates/x/src/b.rs", &"x\n".repeat(400));
        let test = File::new("crates/x/tests/c.rs", &"x\n".repeat(900));
        let files = [long, short, test];
        assert_eq!(sources(&files, &[]).len(), 1);
        assert_eq!(sources(&files, &[("crates/x/src/a.rs", "a table")]), []);
        assert_eq!(sources(&files, &[("crates/x/src/a.rs", ""), ("crates/x/src/b.rs", "")]).len(), 1);
    }

    #[test]
    fn the_architecture_is_short() {
        let of = |lines| [File::new("ARCHITECTURE.md", &"x\n".repeat(lines))];
        assert_eq!((architecture(&of(200)).len(), architecture(&of(201)).len()), (0, 1));
        assert_eq!(architecture(&[]), []);
    }
}
