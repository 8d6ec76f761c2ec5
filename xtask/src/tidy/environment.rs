//! `.env.example` has exactly the variables that the configuration reads.

use super::Finding;
use super::files::File;
use super::source::{Strings, code};

const EXAMPLE: &str = ".env.example";
const CONFIG: &str = "crates/pool-core/src/config";

pub(super) fn example_is_complete(sources: &[File], documents: &[File]) -> Vec<Finding> {
    let is_config =
        |file: &&File| file.is_product() && (file.is_below(CONFIG) || file.path == format!("{CONFIG}.rs"));
    let config: Vec<_> =
        sources.iter().filter(is_config).map(|file| (file, variables_read(&file.text))).collect();
    let example = documents.iter().find(|file| file.path == EXAMPLE);
    let listed = example.map_or(Vec::new(), |file| variables_listed(&file.text));

    let mut findings = Vec::new();
    let mut told = Vec::new();
    for (file, variables) in &config {
        for (line, name) in variables {
            if !listed.iter().any(|(_, other)| other == name) && !told.contains(&name) {
                told.push(name);
                findings.push(Finding::new(
                    file,
                    *line,
                    format!("{name} is read here and is not in {EXAMPLE}"),
                ));
            }
        }
    }
    for (line, name) in &listed {
        if !config.iter().any(|(_, variables)| variables.iter().any(|(_, other)| other == name)) {
            findings.push(Finding::at(
                EXAMPLE,
                *line,
                format!("nothing in {CONFIG} reads {name}: remove it"),
            ));
        }
    }
    findings
}

/// String literals that begin with `REDIS_`, once each.
fn variables_read(source: &str) -> Vec<(usize, String)> {
    let mut names: Vec<(usize, String)> = Vec::new();
    for (index, line) in code(source, Strings::Keep).lines().enumerate() {
        for (at, _) in line.match_indices("\"REDIS_") {
            let name: String = line[at + 1..].chars().take_while(|c| is_name(*c)).collect();
            let is_whole = line[at + 1 + name.len()..].starts_with('"');
            if is_whole && !names.iter().any(|(_, other)| *other == name) {
                names.push((index + 1, name));
            }
        }
    }
    names
}

/// Assignments, those that are commented out included.
fn variables_listed(example: &str) -> Vec<(usize, String)> {
    let lines = example.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let (name, _) = line.trim_start_matches(['#', ' ']).split_once('=')?;
            let is_ours = name.starts_with("REDIS_") && name.chars().all(is_name);
            is_ours.then(|| (index + 1, name.to_owned()))
        })
        .collect()
}

fn is_name(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_in_either_direction_is_found() {
        let config = File::new(
            "crates/pool-core/src/config/env.rs",
            "// \"REDIS_OLD\"\nread(\"REDIS_URL\");\nread(\"REDIS_ENABLED\"); hint(\"REDIS_URL is wrong\");\n\
             #[cfg(test)]\nmod tests {\n    set(\"REDIS_TEST\");\n}\n",
        );
        let again = File::new("crates/pool-core/src/config/mod.rs", "problem(\"REDIS_ENABLED\");");
        let elsewhere = File::new("crates/cli/src/lib.rs", "read(\"REDIS_CLI\")");
        let example =
            File::new(".env.example", "# The address.\nREDIS_URL=redis://x\n#REDIS_GONE=1\nPORT=3000\n");
        let findings = example_is_complete(&[config, again, elsewhere], &[example]);
        let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "crates/pool-core/src/config/env.rs:3: REDIS_ENABLED is read here and is not in .env.example",
                ".env.example:3: nothing in crates/pool-core/src/config reads REDIS_GONE: remove it",
            ]
        );
    }
}
