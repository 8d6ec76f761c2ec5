//! What others have said, made fit for an error or a line of a log.

/// So much of it is shown.
const MOST: usize = 255;

/// On one line, with what does not print escaped, and not long.
pub(crate) fn brief(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Nothing in it would be changed by [`brief`], and it has no blanks: so a host's name and address always are.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST && brief(text) == text && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_or_does_not_print_is_shortened_and_escaped_and_nothing_else() {
        for plain in ["redis-1.example", "::1", "fe80::1%eth0", "bücher.example"] {
            assert!(is_plain(plain) && brief(plain) == plain, "{plain}");
        }
        for wrong in ["", "a b", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\u{200b}b", &"x".repeat(MOST + 1)] {
            assert!(!is_plain(wrong), "{wrong:?}");
            assert!(brief(wrong).chars().all(|c| !c.is_control() && !"\u{202e}\u{200b}".contains(c)));
            assert!(brief(wrong).len() <= MOST + 3);
        }
        assert_eq!(brief("it's \"a\\b\"\r\n\u{1b}[2J"), "it's \"a\\b\"\\r\\n\\u{1b}[2J");
    }
}
