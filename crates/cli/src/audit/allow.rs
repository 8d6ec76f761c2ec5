//! Places that are left alone, by a comment that says why: `// cenote: allow(client) the vendor's SDK wants one`.
//!
//! Behind the code it is for its line, and alone in a line for the statement below it. In a Cargo.toml it begins with
//! `#`.

use std::str::FromStr;

use proc_macro2::{LineColumn, TokenStream, TokenTree};

use super::finding::{Finding, Kind, Problem};

/// Where the comment is, and what stands behind its opening bracket: the spaces in `cenote: allow (` are as one likes.
fn mark(line: &str) -> Option<(usize, &str)> {
    line.match_indices("cenote:").find_map(|(at, name)| {
        let rest = line[at + name.len()..].trim_start().strip_prefix("allow")?;
        Some((at, rest.trim_start().strip_prefix('(')?))
    })
}

/// Whether there may be such a comment.
pub(super) fn is_in(text: &str) -> bool {
    text.lines().any(|line| mark(line).is_some())
}

#[derive(Debug)]
struct Allow {
    line: usize,
    /// The lines that it is for.
    first: usize,
    last: usize,
    kinds: Vec<Kind>,
    reason: String,
    is_used: bool,
}

/// Marks what the comments of a file allow, and tells which of them cannot be meant.
pub(super) fn apply(file: &str, text: &str, found: &mut [Finding]) -> Vec<Problem> {
    if !is_in(text) {
        return Vec::new();
    }
    let is_manifest = file.ends_with(".toml");
    let sign = if is_manifest { "#" } else { "//" };
    let literals = if is_manifest { Vec::new() } else { literals(text) };
    let lines: Vec<&str> = text.lines().collect();
    let (mut allowed, mut problems) = (Vec::new(), Vec::new());
    for (index, line) in lines.iter().enumerate() {
        let Some((at, rest)) = mark(line) else { continue };
        let before = line[..at].trim_end();
        let place = LineColumn { line: index + 1, column: line[..at].chars().count() };
        if !before.ends_with(sign) || literals.iter().any(|(from, to)| (*from..*to).contains(&place)) {
            continue;
        }
        let code = before[..before.len() - sign.len()].trim();
        match read(rest) {
            Ok((kinds, reason)) => {
                let (first, last) =
                    if code.is_empty() { statement(&lines, index + 1, sign) } else { (index + 1, index + 1) };
                allowed.push(Allow { line: index + 1, first, last, kinds, reason, is_used: false });
            }
            Err(why) => problems.push(Problem::error(file, index + 1, why)),
        }
    }
    for finding in found {
        let fits = |allow: &&mut Allow| {
            (allow.first..=allow.last).contains(&finding.line) && allow.kinds.contains(&finding.kind)
        };
        if let Some(allow) = allowed.iter_mut().find(fits) {
            allow.is_used = true;
            finding.allowed = Some(allow.reason.clone());
        }
    }
    let unused = allowed.iter().filter(|allow| !allow.is_used);
    problems.extend(unused.map(|allow| {
        Problem::new(file, allow.line, "this comment allows nothing: there is no such place, so take it out")
    }));
    problems
}

/// What stands behind the opening bracket.
fn read(rest: &str) -> Result<(Vec<Kind>, String), String> {
    let known = Kind::ALL.map(Kind::name).join(", ");
    let (kinds, reason) = rest.split_once(')').unwrap_or((rest, ""));
    let mut read = Vec::new();
    for name in kinds.split(',').map(str::trim) {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        read.push(kind.ok_or_else(|| format!("there is no {name:?} to allow; there is {known}"))?);
    }
    let reason = reason.trim_start_matches([':', '-', ' ', '\t']).trim().trim_end_matches("*/").trim_end();
    if reason.is_empty() {
        return Err("a place is only left alone with a reason: write it behind the bracket".to_owned());
    }
    Ok((read, reason.to_owned()))
}

/// The first and the last line of the statement that begins below, from there counted from one.
fn statement(lines: &[&str], below: usize, sign: &str) -> (usize, usize) {
    let code = |line: &str| {
        let code = line.split_once(&format!(" {sign}")).map_or(line, |(code, _)| code).trim();
        if code.starts_with(sign) { String::new() } else { code.to_owned() }
    };
    let rest = lines.iter().enumerate().skip(below).map(|(index, line)| (index + 1, code(line)));
    let mut rest = rest.skip_while(|(_, code)| code.is_empty());
    let Some((first, code)) = rest.next() else { return (below, below) };
    let ends = |code: &str| code.ends_with([';', '{', '}', ',']);
    if ends(&code) || sign == "#" {
        return (first, first);
    }
    let last = rest.find(|(_, code)| ends(code)).map_or(first, |(line, _)| line);
    (first, last)
}

/// Where strings are, documentation among them.
fn literals(text: &str) -> Vec<(LineColumn, LineColumn)> {
    fn collect(tokens: TokenStream, found: &mut Vec<(LineColumn, LineColumn)>) {
        for token in tokens {
            match token {
                TokenTree::Group(it) => collect(it.stream(), found),
                TokenTree::Literal(it) => found.push((it.span().start(), it.span().end())),
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    if let Ok(tokens) = TokenStream::from_str(text) {
        collect(tokens, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_has_a_kind_that_there_is_and_a_reason() {
        assert_eq!(read("client) the SDK").unwrap(), (vec![Kind::Client], "the SDK".to_owned()));
        assert_eq!(read("client, pool): both").unwrap(), (vec![Kind::Client, Kind::Pool], "both".to_owned()));
        assert!(read("client)").unwrap_err().contains("reason"));
        assert!(read("client) -- ").unwrap_err().contains("reason"));
        assert!(read("clients) all").unwrap_err().contains("\"clients\""));
        assert!(read("").is_err());
    }

    #[test]
    fn the_comment_is_known_with_and_without_spaces() {
        for line in
            ["//cenote:allow(client) a", "// cenote: allow(client) a", "x(); # cenote:  allow (client) a"]
        {
            assert_eq!(mark(line), Some((line.find("cenote").unwrap(), "client) a")), "{line}");
        }
        assert_eq!(mark("cenote: cenote:allow(b"), Some((8, "b")));
        for line in ["cenote allow(client)", "cenote: allowed(client)", "cenote: allow client", "cenote:"] {
            assert!(mark(line).is_none(), "{line}");
        }
    }

    #[test]
    fn alone_in_its_line_it_is_for_the_statement_below() {
        let lines = ["// it", "// and more", "", "let a = b", "    .c()", "    .d();", "e();"];
        assert_eq!(statement(&lines, 1, "//"), (4, 6));
        assert_eq!(statement(&["// it", "a: b(),", "c: d(),"], 1, "//"), (2, 2));
        assert_eq!(statement(&["# it", "redis = \"1\"", "x = 1"], 1, "#"), (2, 2));
        assert_eq!(statement(&["// it"], 1, "//"), (1, 1));
    }
}
