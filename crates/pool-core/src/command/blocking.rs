//! How long a blocking command asks to be kept waiting.

use std::time::Duration;

use redis::Cmd;

use super::name::{name_of, words};
use crate::timer::LONGEST;

/// The wait that a blocking command asks for: `None` for one that does not block, `Some(None)` for one that
/// asks to wait for ever (a timeout of 0).
pub(crate) fn own_timeout(cmd: &Cmd) -> Option<Option<Duration>> {
    let (name, _) = name_of(cmd)?;
    let (text, unit) = match name.as_bytes() {
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX" => {
            (words(cmd).last(), 1.0)
        }
        b"BLMPOP" | b"BZMPOP" => (words(cmd).nth(1), 1.0),
        b"WAIT" | b"WAITAOF" => (words(cmd).last(), 0.001),
        b"XREAD" | b"XREADGROUP" => {
            let mut words = words(cmd).skip(1).take_while(|word| !word.eq_ignore_ascii_case(b"STREAMS"));
            words.find(|word| word.eq_ignore_ascii_case(b"BLOCK"))?;
            (words.next(), 0.001)
        }
        _ => return None,
    };
    let number: f64 = std::str::from_utf8(text?).ok()?.parse().ok()?;
    // What is no sensible number the server refuses at once: it needs no longer limit.
    let wait = Duration::try_from_secs_f64(number * unit).ok()?;
    Some((!wait.is_zero()).then_some(wait.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Option<Duration>> {
        let mut cmd = Cmd::new();
        for word in line.split(' ') {
            cmd.arg(word);
        }
        own_timeout(&cmd)
    }

    #[test]
    fn each_blocking_command_keeps_its_timeout_in_its_own_place_and_unit() {
        assert_eq!(of("blpop a b 1.5"), Some(Some(Duration::from_millis(1500))));
        assert_eq!(of("BLMOVE a b LEFT RIGHT 2"), Some(Some(Duration::from_secs(2))));
        assert_eq!(of("BLMPOP 3 1 a LEFT"), Some(Some(Duration::from_secs(3))));
        assert_eq!(of("WAIT 1 250"), Some(Some(Duration::from_millis(250))));
        assert_eq!(of("XREAD COUNT 1 BLOCK 40 STREAMS s $"), Some(Some(Duration::from_millis(40))));
        assert_eq!(of("BRPOP a 0"), Some(None));
        assert_eq!(of("XREAD STREAMS block $"), None);
        assert_eq!(of("BLPOP a -1"), None);
        assert_eq!(of("BLPOP a nonsense"), None);
        assert_eq!(of("GET a"), None);
    }
}
