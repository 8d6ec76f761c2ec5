//! Rust source without what is not code, line for line.

/// Which literals stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strings {
    Keep,
    Blank,
}

/// The source with its comments, its test modules and, if wished, the contents of its strings blanked out. Line
/// numbers stay.
pub(super) fn code(text: &str, strings: Strings) -> String {
    // Braces are matched where no string can confuse them.
    let blank = without_comments(text, Strings::Blank);
    let kept = if strings == Strings::Blank { blank.clone() } else { without_comments(text, strings) };
    let test_lines = test_lines(&blank);
    let lines = kept.lines().zip(test_lines);
    lines.map(|(line, is_test)| if is_test { "\n".to_owned() } else { format!("{line}\n") }).collect()
}

fn without_comments(text: &str, strings: Strings) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let previous_is_word = out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let (length, keep) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment(rest), false)
        } else if let Some(length) = raw_string(rest).filter(|_| !previous_is_word) {
            (length, strings == Strings::Keep)
        } else if next == '"' {
            (quoted(rest, '"'), strings == Strings::Keep)
        } else if let Some(length) = character(rest) {
            (length, strings == Strings::Keep)
        } else {
            (next.len_utf8(), true)
        };
        let (piece, after) = rest.split_at(length);
        if keep {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let start =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let body = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |at| opening + at + end.len()))
}

/// The length of a literal that begins and ends with `quote`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A character literal; not a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    let (tick, first, second) = (chars.next()?, chars.next()?, chars.next()?);
    let is_literal = tick == '\'' && (first == '\\' || second == '\'');
    is_literal.then(|| quoted(text, '\''))
}

/// For each line, whether it belongs to a module under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut marks = Vec::new();
    let mut announced = false;
    let mut depth: Option<i64> = None;
    for line in code.lines() {
        let trimmed = line.trim();
        if depth.is_none() && announced && !trimmed.is_empty() && !trimmed.starts_with("#[") {
            announced = false;
            if trimmed.contains("mod ") && trimmed.contains('{') {
                depth = Some(0);
            }
        }
        announced |= trimmed.starts_with("#[cfg(") && trimmed.contains("test");
        marks.push(depth.is_some());
        if let Some(open) = &mut depth {
            *open += line.matches('{').count() as i64 - line.matches('}').count() as i64;
            if *open <= 0 {
                depth = None;
            }
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text = "a(); // one\n/* two\n /* three */ */ b(\"fo\\\"ur\", r#\"fi\"ve\"#, '\"', '\\'', b\"six\");\nc::<'x>();\n";
        let code = code(text, Strings::Blank);
        assert_eq!(code.lines().count(), 4);
        for gone in ["one", "two", "three", "ur", "fi", "ve", "six"] {
            assert!(!code.contains(gone), "{gone} is in {code}");
        }
        for kept in ["a();", "b(", "c::<'x>();"] {
            assert!(code.contains(kept), "{kept} is not in {code}");
        }
    }

    #[test]
    fn strings_stay_when_asked_for() {
        assert_eq!(code("f(\"REDIS_URL\"); // \"REDIS_NO\"", Strings::Keep).trim_end(), "f(\"REDIS_URL\");");
    }

    #[test]
    fn test_modules_are_blanked_to_their_last_brace() {
        let text = "before();\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n  fn a() { \"}\"; }\n}\nafter();\n";
        let code = code(text, Strings::Keep);
        assert!(code.contains("before") && code.contains("after") && !code.contains("fn a"), "{code}");
        assert!(super::code("#[cfg(test)]\nmod tests;\nfn real() {}\n", Strings::Keep).contains("real"));
    }
}
