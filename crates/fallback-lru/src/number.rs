//! Integers as Redis reads and counts them.

use crate::reply::Refused;

/// No sign but a minus, no leading zeros, no spaces.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let strict = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < 20 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if strict { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

pub(crate) fn parse_integer(text: &[u8]) -> Result<i64, Refused> {
    integer(text).ok_or(Refused::NOT_AN_INTEGER)
}

/// For counts that Redis refuses with one message, whatever is wrong with them.
pub(crate) fn parse_count(text: &[u8]) -> Result<usize, Refused> {
    integer(text).and_then(|count| usize::try_from(count).ok()).ok_or(Refused::NOT_POSITIVE)
}

/// The elements that an inclusive range with Redis's negative indexes covers, as a half-open one.
pub(crate) fn range(start: i64, end: i64, len: usize) -> (usize, usize) {
    let from = index(start, len).unwrap_or(0);
    let to = index(end, len).map_or(0, |end| end.saturating_add(1).min(len));
    if from >= to { (0, 0) } else { (from, to) }
}

/// The place an index means; `None` for one before the beginning.
pub(crate) fn index(index: i64, len: usize) -> Option<usize> {
    if index >= 0 {
        Some(usize::try_from(index).unwrap_or(usize::MAX))
    } else {
        len.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
    }
}
