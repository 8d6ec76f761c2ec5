//! Values that are one line or one block of bytes.

use redis::{Value, VerbatimFormat};

use super::ProtocolError;

pub(super) fn integer(line: &[u8]) -> Result<i64, ProtocolError> {
    let (negative, digits) = match line.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, line),
    };
    if digits.is_empty() {
        return Err(ProtocolError::Malformed("integer"));
    }
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(ProtocolError::Malformed("integer"));
        }
        let digit = i64::from(digit - b'0');
        let next = value
            .checked_mul(10)
            .and_then(|ten| if negative { ten.checked_sub(digit) } else { ten.checked_add(digit) });
        value = next.ok_or(ProtocolError::Malformed("integer"))?;
    }
    Ok(value)
}

pub(super) fn simple_string(line: &[u8]) -> Value {
    if line == b"OK" { Value::Okay } else { Value::SimpleString(String::from_utf8_lossy(line).into_owned()) }
}

pub(super) fn double(line: &[u8]) -> Result<Value, ProtocolError> {
    let text = std::str::from_utf8(line).map_err(|_| ProtocolError::Malformed("double"))?;
    text.trim().parse().map(Value::Double).map_err(|_| ProtocolError::Malformed("double"))
}

pub(super) fn boolean(line: &[u8]) -> Result<Value, ProtocolError> {
    match line {
        b"t" => Ok(Value::Boolean(true)),
        b"f" => Ok(Value::Boolean(false)),
        _ => Err(ProtocolError::Malformed("boolean")),
    }
}

pub(super) fn verbatim(data: &[u8]) -> Result<Value, ProtocolError> {
    let text = String::from_utf8_lossy(data);
    let (format, text) = text.split_once(':').ok_or(ProtocolError::Malformed("verbatim string"))?;
    let format = match format {
        "txt" => VerbatimFormat::Text,
        "mkd" => VerbatimFormat::Markdown,
        other => VerbatimFormat::Unknown(other.to_owned()),
    };
    Ok(Value::VerbatimString { format, text: text.to_owned() })
}

/// Errors and big numbers are built by redis itself: an error made by hand has no kind (`redis::Script` would
/// not recognise its NOSCRIPT), and a big number's type changes with one of redis' features.
pub(super) fn by_redis(marker: u8, line: &[u8]) -> Result<Value, ProtocolError> {
    // redis refuses an error that is not UTF-8; what a script put into one is not worth the connection.
    let text = String::from_utf8_lossy(line);
    let mut bytes = Vec::with_capacity(text.len() + 3);
    bytes.push(marker);
    // Only an error may come as a block, and with line ends in it; a number without them would be another one.
    bytes.extend(text.bytes().filter(|byte| marker != b'-' || !matches!(byte, b'\r' | b'\n')));
    bytes.extend_from_slice(b"\r\n");
    redis::parse_redis_value(&bytes).map_err(|_| ProtocolError::Malformed("error or big number"))
}
