//! The patterns of `KEYS`: `*`, `?`, `[a-c]`, `[^x]` and the backslash.

/// Whether the whole of `text` matches, in time proportional to both lengths multiplied at worst.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Redis answers `KEYS *` without looking at the keys; its matcher alone would not let `*` match nothing.
    if text.is_empty() {
        return matches!(pattern, b"" | b"*");
    }
    let (mut pattern, mut text) = (pattern, text);
    let mut star = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        match (text, pattern) {
            ([], []) => return true,
            ([byte, after @ ..], [_, ..]) => {
                let (hit, rest) = element(pattern, *byte);
                if hit {
                    (pattern, text) = (rest, after);
                    continue;
                }
            }
            _ => {}
        }
        // Only the last star needs another try: what an earlier one could swallow, this one can too.
        let Some((rest, [_, longer @ ..])) = star else { return false };
        (pattern, text) = (rest, longer);
        star = Some((rest, longer));
    }
}

/// Whether the pattern's first element matches the byte, and the pattern behind it.
fn element(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    match pattern {
        [b'?', rest @ ..] => (true, rest),
        [b'[', b'^', rest @ ..] => {
            let (hit, rest) = class(rest, byte);
            (!hit, rest)
        }
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
        [] => (false, pattern),
    }
}

/// An unclosed class ends with the pattern.
fn class(mut pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut hit = false;
    loop {
        pattern = match pattern {
            [] => return (hit, pattern),
            [b'\\', literal, rest @ ..] => {
                hit |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => return (hit, rest),
            [from, b'-', to, rest @ ..] => {
                hit |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                hit |= *literal == byte;
                rest
            }
        };
    }
}
