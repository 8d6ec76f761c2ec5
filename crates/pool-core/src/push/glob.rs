//! Redis's patterns, for pub/sub without Redis: `*`, `?`, `[a-c]`, `[^x]` and `\` before what is meant itself.

/// Whether `text` matches `pattern`, in time proportional to their product at worst.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where the last star was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, seen));
            at += 1;
            continue;
        }
        match (one(&pattern[at..], text.get(seen).copied()), star) {
            (Some(0), _) => return true,
            (Some(used), _) => (at, seen) = (at + used, seen + 1),
            (None, Some((after, taken))) if taken < text.len() => {
                star = Some((after, taken + 1));
                (at, seen) = (after, taken + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How many bytes of the pattern match this one; 0 when both are at their end.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    let (Some(&first), Some(byte)) = (pattern.first(), byte) else {
        return (pattern.is_empty() && byte.is_none()).then_some(0);
    };
    match first {
        b'?' => Some(1),
        b'[' => class(&pattern[1..], byte).map(|used| used + 1),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

/// As Redis reads it: a class that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match *pattern.get(at..).unwrap_or_default() {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_redis() {
        let table = [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a**b*", "axxbyy", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hxllo", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("a\\", "a\\", true),
            ("", "", true),
            ("", "a", false),
            ("news", "news!", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        let (stars, text) = ("a*".repeat(30) + "b", "a".repeat(2_000));
        assert!(!matches(stars.as_bytes(), text.as_bytes()), "and quickly");
    }
}
