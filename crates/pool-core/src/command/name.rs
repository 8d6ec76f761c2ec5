//! Command names, compared without regard to case and without allocating.

use redis::{Arg, Cmd};

/// The longest name that any rule here knows; a longer one matches none.
const LONGEST: usize = 24;

/// A word in upper case.
#[derive(Clone, Copy)]
pub(super) struct Name {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Name {
    pub(super) fn new(word: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        let len = if word.len() > LONGEST { 0 } else { word.len() };
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = from.to_ascii_uppercase();
        }
        Self { bytes, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

pub(crate) fn words(cmd: &Cmd) -> impl Iterator<Item = &[u8]> {
    cmd.args_iter().map(|arg| match arg {
        Arg::Simple(word) => word,
        // The cursor of a scan, and whatever redis adds later: no rule here looks at one.
        _ => &b"0"[..],
    })
}

/// The first two words: the command and, where it has one, its subcommand.
pub(super) fn name_of(cmd: &Cmd) -> Option<(Name, Name)> {
    let mut words = words(cmd);
    let name = Name::new(words.next()?);
    Some((name, Name::new(words.next().unwrap_or_default())))
}

/// The name as an error may show it.
pub(crate) fn shown(cmd: &Cmd) -> String {
    let word = words(cmd).next().unwrap_or_default();
    String::from_utf8_lossy(&word[..word.len().min(40)]).to_uppercase()
}
