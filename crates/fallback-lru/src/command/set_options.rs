//! The options that `SET` and `GETEX` share.

use super::Cx;
use super::expiry::{MILLISECONDS, SECONDS};
use crate::number::parse_integer;
use crate::reply::Refused;

#[derive(Debug, Default)]
pub(super) struct SetOptions<'a> {
    pub(super) if_absent: bool,
    pub(super) if_present: bool,
    pub(super) get: bool,
    pub(super) keep_ttl: bool,
    pub(super) persist: bool,
    expiry: Option<Expiry<'a>>,
}

#[derive(Debug)]
struct Expiry<'a> {
    unit: i64,
    absolute: bool,
    text: &'a [u8],
}

impl<'a> SetOptions<'a> {
    pub(super) fn for_set(words: &[&'a [u8]]) -> Result<Self, Refused> {
        Self::parse(words, |options, word| {
            let flag = match word {
                b"NX" if !options.if_present => &mut options.if_absent,
                b"XX" if !options.if_absent => &mut options.if_present,
                b"GET" => &mut options.get,
                b"KEEPTTL" if options.expiry.is_none() => &mut options.keep_ttl,
                _ => return false,
            };
            *flag = true;
            true
        })
    }

    pub(super) fn for_getex(words: &[&'a [u8]]) -> Result<Self, Refused> {
        Self::parse(words, |options, word| {
            let known = word == b"PERSIST" && options.expiry.is_none();
            options.persist |= known;
            known
        })
    }

    /// What `SETEX` and `PSETEX` give without naming it.
    pub(super) fn in_units(unit: i64, text: &'a [u8]) -> Self {
        Self { expiry: Some(Expiry { unit, absolute: false, text }), ..Self::default() }
    }

    /// `flag` takes an option without a value, if there is one and it goes with those before.
    fn parse(words: &[&'a [u8]], flag: impl Fn(&mut Self, &[u8]) -> bool) -> Result<Self, Refused> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let word = word.to_ascii_uppercase();
            if flag(&mut options, &word) {
                continue;
            }
            let (unit, absolute) = match &*word {
                b"EX" => (SECONDS, false),
                b"PX" => (MILLISECONDS, false),
                b"EXAT" => (SECONDS, true),
                b"PXAT" => (MILLISECONDS, true),
                _ => return Err(Refused::SYNTAX),
            };
            // Redis lets an option be given twice, but not two that contradict each other.
            let other =
                options.expiry.as_ref().is_some_and(|old| (old.unit, old.absolute) != (unit, absolute));
            if other || options.keep_ttl || options.persist {
                return Err(Refused::SYNTAX);
            }
            let text = words.next().ok_or(Refused::SYNTAX)?;
            options.expiry = Some(Expiry { unit, absolute, text });
        }
        Ok(options)
    }

    pub(super) fn expires_at(&self, cx: &Cx<'_, '_>) -> Result<Option<i64>, Refused> {
        let Some(expiry) = &self.expiry else { return Ok(None) };
        let time = parse_integer(expiry.text)?;
        let base = if expiry.absolute { 0 } else { cx.now.ms() };
        let at = time.checked_mul(expiry.unit).and_then(|time| time.checked_add(base));
        at.filter(|_| time > 0).map(Some).ok_or_else(|| Refused::expire_time(cx.spec.name))
    }
}
