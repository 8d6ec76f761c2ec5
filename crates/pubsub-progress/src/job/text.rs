//! What workers write, made safe to show: of one line, without control characters, and of a bounded length.

use std::sync::Arc;

/// Control characters become spaces (those that move on) or U+FFFD, and what is longer than `most` bytes ends in `…`.
pub(crate) fn tame(text: &str, most: usize) -> Arc<str> {
    if text.len() <= most && !text.chars().any(is_wild) {
        return text.into();
    }
    let mut tamed = String::with_capacity(text.len().min(most + 4));
    for char in text.chars() {
        if tamed.len() + char.len_utf8() > most {
            tamed.push('…');
            break;
        }
        tamed.push(match char {
            '\n' | '\r' | '\t' => ' ',
            wild if is_wild(wild) => '\u{FFFD}',
            tame => tame,
        });
    }
    tamed.into()
}

/// Control characters, and those that turn the direction of what follows.
fn is_wild(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_a_terminal_or_end_a_line_is_replaced_and_what_is_long_is_cut_between_characters() {
        assert_eq!(&*tame("50 % – ok", 100), "50 % – ok");
        assert_eq!(&*tame("a\nb\tc\u{1b}[2J\u{202e}", 100), "a b c\u{FFFD}[2J\u{FFFD}");
        assert_eq!(&*tame("ääää", 5), "ää…");
        assert!(tame(&"x".repeat(1 << 20), 4096).len() < 4100);
    }
}
