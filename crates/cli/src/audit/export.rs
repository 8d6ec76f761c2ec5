//! The places for other programs: JSON, and SARIF 2.1.0 for code scanning.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::baseline::Baseline;
use super::finding::{Finding, Kind, Problem};
use super::survey::Survey;
use super::table::summary;

pub(super) fn json(survey: &Survey) -> Value {
    let counts = serde_json::to_value(Baseline::of(&survey.findings)).unwrap_or_default();
    json!({
        "version": 1,
        "summary": summary(survey),
        "crates": counts["crates"],
        "findings": survey.findings,
        "problems": survey.problems,
    })
}

pub(super) fn sarif(survey: &Survey) -> Value {
    let rules: Vec<Value> = Kind::ALL
        .into_iter()
        .map(|kind| {
            json!({
                "id": id(kind),
                "shortDescription": { "text": capital(kind.meaning()) },
                "helpUri": "https://github.com/cenote-rs/cenote/blob/main/docs/cli.md#cenote-audit",
                "defaultConfiguration": { "level": "warning" },
            })
        })
        .collect();
    let mut nth = BTreeMap::new();
    let results: Vec<Value> = survey.findings.iter().map(|finding| result(finding, &mut nth)).collect();
    let notifications: Vec<Value> = survey.problems.iter().map(notification).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "cenote audit",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

fn result(finding: &Finding, nth: &mut BTreeMap<String, usize>) -> Value {
    let until = finding.replacement.until_then;
    let mut until =
        until.map_or_else(String::new, |shim| format!("; until then {shim} keeps the call as it is"));
    if let Some(write) = finding.replacement.write_until_then {
        until = format!("; no shim keeps the call as it is: until then write {write}");
    }
    let blocks = if finding.block_on { ", beside a block_on" } else { "" };
    let text = format!(
        "{}: {} ({}, {}{blocks}). Replacement: {}{until}.",
        capital(finding.kind.meaning()),
        finding.what,
        finding.style.name(),
        finding.scope.name(),
        finding.replacement.replacement,
    );
    // The same place, though lines above it come and go.
    let place = format!("{}:{}:{}", finding.file, finding.function.as_deref().unwrap_or(""), finding.what);
    let number = nth.entry(place.clone()).or_default();
    *number += 1;
    let mut result = json!({
        "ruleId": id(finding.kind),
        "ruleIndex": Kind::ALL.iter().position(|kind| *kind == finding.kind),
        "level": "warning",
        "message": { "text": text },
        "locations": [location(&finding.file, finding.line, Some(finding.column))],
        "partialFingerprints": { "cenotePlace/v1": format!("{place}:{number}") },
    });
    if let Some(reason) = &finding.allowed {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}

fn notification(problem: &Problem) -> Value {
    let mut notification = json!({
        "level": if problem.is_error { "error" } else { "warning" },
        "message": { "text": problem.message },
    });
    notification["locations"] = json!([location(&problem.file, problem.line, None)]);
    notification
}

fn location(file: &str, line: usize, column: Option<usize>) -> Value {
    let mut place = json!({ "artifactLocation": { "uri": uri(file) } });
    if line > 0 {
        place["region"] = match column {
            Some(column) => json!({ "startLine": line, "startColumn": column }),
            None => json!({ "startLine": line }),
        };
    }
    json!({ "physicalLocation": place })
}

fn id(kind: Kind) -> String {
    format!("cenote/{}", kind.name())
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A relative path as a URI reference.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri("a b/ä#1.rs"), "a%20b/%C3%A4%231.rs");
    }
}
