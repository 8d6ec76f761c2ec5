//! Syntax that is nested without end, as programs write it: who reads it runs out of stack, and nothing can catch that.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree, token_stream};

/// How deep it may be, in tokens one within the other: each takes up to 12 KiB of stack where nothing is optimised.
const MOST: usize = 16_000;
/// A bracket is read through more functions than a sign.
const OF_BRACKET: usize = 16;
/// With fewer brackets open a text no longer than that cannot come near it.
const FEW: usize = 200;

/// The line where syntax is nested too deep to be read, if there is one.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    if text.len() <= MOST && !has_many_open(text) {
        return None;
    }
    // What has no tokens does not parse either, and that is told with its cause.
    deepest(text.parse().ok()?)
}

/// By the bytes alone: strings and comments count too.
fn has_many_open(text: &str) -> bool {
    let (mut open, mut angles) = (0_usize, 0_usize);
    text.bytes().any(|byte| {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'<' => angles += 1,
            b';' => angles = 0,
            _ => {}
        }
        open.max(angles) > FEW
    })
}

/// Whatever has a comma, a semicolon or a body behind it is read before what follows, and is no deeper than that.
fn deepest(tokens: TokenStream) -> Option<usize> {
    struct Level {
        tokens: std::iter::Peekable<token_stream::IntoIter>,
        before: usize,
        here: usize,
        is_attribute: bool,
    }
    let level = |tokens: TokenStream, before| Level {
        tokens: tokens.into_iter().peekable(),
        before,
        here: 0,
        is_attribute: false,
    };
    let mut levels = vec![level(tokens, 0)];
    while let Some(at) = levels.last_mut() {
        let Some(token) = at.tokens.next() else {
            levels.pop();
            continue;
        };
        let depth = at.before + at.here;
        if depth > MOST {
            return Some(token.span().start().line);
        }
        match token {
            TokenTree::Group(group) => {
                let goes_on = match at.tokens.peek() {
                    Some(TokenTree::Punct(next)) => matches!(next.as_char(), '.' | '?'),
                    Some(TokenTree::Ident(next)) => next == "else",
                    _ => false,
                };
                match group.delimiter() {
                    Delimiter::Brace if !goes_on => at.here = 0,
                    _ if at.is_attribute => {}
                    _ => at.here += 1,
                }
                at.is_attribute = false;
                levels.push(level(group.stream(), depth + OF_BRACKET));
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                ';' | ',' => (at.here, at.is_attribute) = (0, false),
                // Documentation has one for each of its lines.
                '#' => at.is_attribute = true,
                '!' if at.is_attribute => {}
                '<' if punct.spacing() == Spacing::Alone => at.here += OF_BRACKET,
                _ => at.here += 1,
            },
            TokenTree::Ident(_) | TokenTree::Literal(_) => at.here += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deep_is_told_and_what_is_only_long_is_not() {
        for (open, close, times) in [("(", ")", 20_000), ("{", "}", 20_000), ("!", "", 300_000)] {
            let text =
                format!("fn a() {{}}\nfn b() {{ let _ = {}a{}; }}", open.repeat(times), close.repeat(times));
            assert_eq!(too_deep(&text), Some(2), "{open}");
        }
        for text in [
            format!("type A = {}u8{};", "Box<".repeat(20_000), ">".repeat(20_000)),
            format!("fn a() {{ b{} }}", ".c()".repeat(100_000)),
            format!("fn a() {{ b{} }}", " + 1".repeat(100_000)),
            format!("fn a() {{ if b {{}}{} }}", " else if c {}".repeat(100_000)),
        ] {
            assert_eq!(too_deep(&text), Some(1), "{}", &text[..40]);
        }
        for text in [
            "fn a() { b(1); }\n".repeat(100_000),
            format!("const A: [u8; 300000] = [{}];", "1, ".repeat(300_000)),
            format!("{}mod a {{}}", "/// Words.\n".repeat(100_000)),
            format!("fn a() {{ b{} }}", ".c(1, 2)\n".repeat(4_000)),
            format!("fn a() {{ {} }}", "if a < b { c() } ".repeat(50_000)),
        ] {
            assert_eq!(too_deep(&text), None, "{}", &text[..20]);
        }
    }
}
