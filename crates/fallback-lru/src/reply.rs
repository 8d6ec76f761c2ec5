//! Replies as redis-rs decodes them from RESP3, and Redis's error lines.

use std::borrow::Cow;

use redis::Value;

/// An error line, without the leading dash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(Cow<'static, str>);

impl Refused {
    pub(crate) const WRONG_TYPE: Self =
        Self::new("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(crate) const OUT_OF_MEMORY: Self =
        Self::new("OOM command not allowed when used memory > 'maxmemory'.");
    pub(crate) const EXEC_ABORT: Self =
        Self::new("EXECABORT Transaction discarded because of previous errors.");
    pub(crate) const SYNTAX: Self = Self::new("ERR syntax error");
    pub(crate) const NOT_AN_INTEGER: Self = Self::new("ERR value is not an integer or out of range");
    pub(crate) const NOT_A_FLOAT: Self = Self::new("ERR value is not a valid float");
    pub(crate) const NOT_POSITIVE: Self = Self::new("ERR value is out of range, must be positive");
    pub(crate) const OVERFLOW: Self = Self::new("ERR increment or decrement would overflow");
    pub(crate) const NOT_FINITE: Self = Self::new("ERR increment would produce NaN or Infinity");
    pub(crate) const NO_SUCH_KEY: Self = Self::new("ERR no such key");
    pub(crate) const INDEX_RANGE: Self = Self::new("ERR index out of range");
    pub(crate) const OFFSET_RANGE: Self = Self::new("ERR offset is out of range");
    pub(crate) const TOO_LONG: Self =
        Self::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

    pub(crate) const fn new(line: &'static str) -> Self {
        Self(Cow::Borrowed(line))
    }

    pub(crate) fn arity(command: &str) -> Self {
        Self(format!("ERR wrong number of arguments for '{}' command", command.to_lowercase()).into())
    }

    pub(crate) fn expire_time(command: &str) -> Self {
        Self(format!("ERR invalid expire time in '{}' command", command.to_lowercase()).into())
    }

    /// Names the option up to its first NUL, where Redis's C strings end.
    pub(crate) fn option(option: &[u8]) -> Self {
        let named = option.split(|byte| *byte == 0).next().unwrap_or_default();
        Self(format!("ERR Unsupported option {}", String::from_utf8_lossy(named)).into())
    }

    /// `ServerError` has no constructor, so the line goes through the parser that reads it from a server.
    pub(crate) fn into_value(self) -> Value {
        let line: String = self.0.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }).collect();
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap_or(Value::Nil)
    }
}

pub(crate) fn int(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

pub(crate) fn flag(yes: bool) -> Value {
    Value::Int(i64::from(yes))
}

pub(crate) fn bulk(bytes: impl Into<Vec<u8>>) -> Value {
    Value::BulkString(bytes.into())
}

pub(crate) fn bulk_or_nil(bytes: Option<impl Into<Vec<u8>>>) -> Value {
    bytes.map_or(Value::Nil, bulk)
}
