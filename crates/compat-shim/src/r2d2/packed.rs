//! Commands that synchronous redis-rs hands over as bytes.

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult};

/// The commands in these bytes, which redis-rs has written.
pub(super) fn commands(bytes: &[u8]) -> RedisResult<Vec<Cmd>> {
    let mut rest = bytes;
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let words = number(&mut rest, b'*')?;
        let mut cmd = Cmd::new();
        for _ in 0..words {
            let length = number(&mut rest, b'$')?;
            let end = length.checked_add(2).filter(|end| *end <= rest.len()).ok_or_else(malformed)?;
            cmd.arg(&rest[..length]);
            rest = &rest[end..];
        }
        commands.push(cmd);
    }
    Ok(commands)
}

pub(super) fn pipeline(bytes: &[u8]) -> RedisResult<Pipeline> {
    let mut pipeline = redis::pipe();
    for cmd in commands(bytes)? {
        pipeline.add_command(cmd);
    }
    Ok(pipeline)
}

fn number(rest: &mut &[u8], marker: u8) -> RedisResult<usize> {
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(malformed)?;
    let (line, after) = rest.split_at(end + 1);
    *rest = after;
    let digits =
        line.strip_prefix(&[marker]).and_then(|line| line.strip_suffix(b"\r\n")).ok_or_else(malformed)?;
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(malformed)
}

fn malformed() -> RedisError {
    (ErrorKind::Client, "these bytes are no commands as redis-rs writes them").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_writes_is_read_back() {
        let mut bytes = redis::cmd("SET").arg("k").arg(b"\r\n$1\r\n").get_packed_command();
        bytes.extend(redis::cmd("PING").get_packed_command());
        let read = commands(&bytes).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read.iter().flat_map(Cmd::get_packed_command).collect::<Vec<_>>(), bytes);
        assert_eq!(pipeline(&bytes).unwrap().get_packed_pipeline(), bytes);
    }

    #[test]
    fn what_is_no_command_is_an_error() {
        for bytes in
            [&b"PING\r\n"[..], b"*1\r\n$4\r\nPI", b"*1\r\n", b"*x\r\n", b"*1\r\n$99999999999999999999\r\n"]
        {
            assert!(commands(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
