//! What the bytes on a raw stream say about whether its user could do without it: counted in passing, not decoded.

use std::time::Instant;

/// The longest word that any rule here knows.
const LONGEST: usize = 16;

/// Both directions of one stream.
#[derive(Debug, Default)]
pub(super) struct Talk {
    sent: Commands,
    received: Replies,
    /// Commands that were sent whole and are not answered.
    unanswered: usize,
    /// The bytes are no longer one reply for each command: it subscribes, monitors, replicates.
    beyond: bool,
    watches: bool,
    is_in_multi: bool,
    /// The last command was a lone `UNWATCH`: what a shell's connection is sent when its user lets it go.
    rests: bool,
    last: Option<Instant>,
}

impl Talk {
    pub(super) fn wrote(&mut self, bytes: &[u8], now: Instant) {
        self.last = Some(now);
        let Self { sent, unanswered, beyond, watches, is_in_multi, rests, .. } = self;
        sent.feed(bytes, |name| {
            *unanswered += 1;
            *rests = name == b"UNWATCH";
            match name {
                b"WATCH" => *watches = true,
                b"UNWATCH" => *watches = false,
                b"MULTI" => *is_in_multi = true,
                b"EXEC" | b"DISCARD" | b"RESET" => (*watches, *is_in_multi) = (false, false),
                b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE"
                | b"SUNSUBSCRIBE" | b"MONITOR" | b"PSYNC" | b"SYNC" => *beyond = true,
                _ => {}
            }
        });
    }

    pub(super) fn read(&mut self, bytes: &[u8], now: Instant) {
        self.last = Some(now);
        match self.received.feed(bytes) {
            Some(replies) => self.unanswered = self.unanswered.saturating_sub(replies),
            None => self.beyond = true,
        }
    }

    /// Since when nothing is in flight and nothing depends on this very connection, and whether its user has let it
    /// go. A blocking command is in flight for as long as it blocks.
    pub(super) fn quiet(&self) -> Option<(Instant, bool)> {
        // Inside MULTI nobody has a use for UNWATCH but a shell whose user left in the middle.
        let depends = self.beyond || self.watches || self.is_in_multi && !self.rests;
        let in_flight = self.unanswered > 0 || !self.sent.is_between() || !self.received.is_between();
        self.last.filter(|_| !depends && !in_flight).map(|last| (last, self.rests))
    }
}

/// Finds the names of commands: arrays of bulk strings, as clients write them.
#[derive(Debug, Default)]
struct Commands {
    words_left: usize,
    is_first: bool,
    skip: usize,
    line: Line,
    name: Vec<u8>,
    name_left: usize,
}

impl Commands {
    fn is_between(&self) -> bool {
        self.words_left == 0 && self.skip == 0 && self.line.is_empty()
    }

    fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let taken = self.skip.min(bytes.len());
                let of_name = self.name_left.min(taken);
                self.name.extend(bytes[..of_name].iter().map(u8::to_ascii_uppercase));
                self.name_left -= of_name;
                self.skip -= taken;
                bytes = &bytes[taken..];
                if self.skip == 0 && self.words_left == 0 {
                    found(&self.name);
                }
                continue;
            }
            let (line, rest) = self.line.feed(bytes);
            bytes = rest;
            match line {
                Some((b'*', count)) => {
                    (self.words_left, self.is_first) = (usize::try_from(count).unwrap_or(0), true);
                    self.name.clear();
                }
                Some((b'$', length)) if self.words_left > 0 => {
                    let length = usize::try_from(length).unwrap_or(0);
                    self.words_left -= 1;
                    self.skip = length + 2;
                    self.name_left = if self.is_first && length <= LONGEST { length } else { 0 };
                    self.is_first = false;
                }
                // No client of ours writes anything else.
                _ => {}
            }
        }
    }
}

/// Counts whole replies.
#[derive(Debug, Default)]
struct Replies {
    /// Elements that are still to come of the reply under way.
    open: u64,
    is_push: bool,
    skip: usize,
    line: Line,
}

impl Replies {
    fn is_between(&self) -> bool {
        self.open == 0 && self.skip == 0 && self.line.is_empty()
    }

    /// How many replies these bytes bring to their end; `None` if they are no replies.
    fn feed(&mut self, mut bytes: &[u8]) -> Option<usize> {
        let mut replies = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let taken = self.skip.min(bytes.len());
                self.skip -= taken;
                bytes = &bytes[taken..];
            } else {
                let (line, rest) = self.line.feed(bytes);
                bytes = rest;
                let Some((kind, number)) = line else { continue };
                if self.open == 0 {
                    (self.open, self.is_push) = (1, kind == b'>');
                }
                let items = u64::try_from(number).unwrap_or(0);
                match kind {
                    b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.open -= 1,
                    b'$' | b'!' | b'=' => {
                        self.open -= 1;
                        self.skip =
                            if number < 0 { 0 } else { usize::try_from(number).ok()?.checked_add(2)? };
                    }
                    b'*' | b'~' | b'>' => self.open = self.open.checked_add(items)? - 1,
                    b'%' => self.open = self.open.checked_add(items.checked_mul(2)?)? - 1,
                    // Attributes stand before what they belong to and count for nothing.
                    b'|' => self.open = self.open.checked_add(items.checked_mul(2)?)?,
                    _ => return None,
                }
            }
            if self.open == 0 && self.skip == 0 && !self.is_push {
                replies += 1;
            }
        }
        Some(replies)
    }
}

/// A line's marker and the number behind it, over as many reads as it takes.
#[derive(Debug, Default)]
struct Line {
    marker: Option<u8>,
    number: i64,
    negative: bool,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.marker.is_none()
    }

    fn feed<'a>(&mut self, bytes: &'a [u8]) -> (Option<(u8, i64)>, &'a [u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            match (self.marker, byte) {
                (None, _) => self.marker = Some(*byte),
                (Some(marker), b'\n') => {
                    let number = if self.negative { -self.number } else { self.number };
                    *self = Self::default();
                    return (Some((marker, number)), &bytes[index + 1..]);
                }
                (Some(_), b'-') => self.negative = true,
                (Some(_), b'0'..=b'9') => {
                    self.number = self.number.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
                }
                _ => {}
            }
        }
        (None, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(talk: &mut Talk, line: &str) {
        let mut cmd = redis::Cmd::new();
        for word in line.split(' ') {
            cmd.arg(word);
        }
        talk.wrote(&cmd.get_packed_command(), Instant::now());
    }

    fn read(talk: &mut Talk, bytes: &str) {
        talk.read(bytes.as_bytes(), Instant::now());
    }

    #[test]
    fn a_stream_is_quiet_between_a_reply_and_the_next_command() {
        let mut talk = Talk::default();
        assert_eq!(talk.quiet(), None, "nobody has greeted the server yet");
        wrote(&mut talk, "get key");
        assert_eq!(talk.quiet(), None);
        read(&mut talk, "$5\r\nhe");
        assert_eq!(talk.quiet(), None);
        read(&mut talk, "llo\r\n");
        assert!(matches!(talk.quiet(), Some((_, false))));
        wrote(&mut talk, "unwatch");
        read(&mut talk, "+OK\r\n");
        assert!(matches!(talk.quiet(), Some((_, true))), "its user has let it go");
        wrote(&mut talk, "blpop list 0");
        assert_eq!(talk.quiet(), None, "it blocks");
        read(&mut talk, "*2\r\n$4\r\nlist\r\n$1\r\na\r\n");
        assert!(matches!(talk.quiet(), Some((_, false))));
    }

    #[test]
    fn what_depends_on_the_connection_is_never_quiet() {
        for (begin, end) in [("WATCH a", "UNWATCH"), ("watch a", "EXEC"), ("MULTI", "DISCARD")] {
            let mut talk = Talk::default();
            wrote(&mut talk, begin);
            read(&mut talk, "+OK\r\n");
            wrote(&mut talk, "get key");
            read(&mut talk, "+QUEUED\r\n");
            assert_eq!(talk.quiet(), None, "{begin}");
            wrote(&mut talk, end);
            read(&mut talk, "*-1\r\n");
            assert!(talk.quiet().is_some(), "{end}");
        }
        let mut talk = Talk::default();
        wrote(&mut talk, "MULTI");
        read(&mut talk, "+OK\r\n");
        wrote(&mut talk, "UNWATCH");
        assert_eq!(talk.quiet(), None, "not answered yet");
        read(&mut talk, "+QUEUED\r\n");
        assert!(matches!(talk.quiet(), Some((_, true))), "its user has let it go in the middle");
        let mut talk = Talk::default();
        wrote(&mut talk, "SUBSCRIBE news");
        read(&mut talk, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
        assert_eq!(talk.quiet(), None);
    }

    #[test]
    fn every_shape_of_reply_is_one_reply_however_it_is_cut() {
        let replies = "+OK\r\n-ERR no\r\n:-7\r\n_\r\n#t\r\n,1.5e-3\r\n(123456789012345678901234567890\r\n$-1\r\n$0\r\n\r\n\
             !5\r\nERR a\r\n=5\r\ntxt:a\r\n*0\r\n*-1\r\n*2\r\n*1\r\n:1\r\n$3\r\na\r\n\r\n~1\r\n+a\r\n%1\r\n+k\r\n*2\r\n:1\r\n:2\r\n\
             |1\r\n+ttl\r\n:9\r\n$1\r\nx\r\n>2\r\n+invalidate\r\n*1\r\n+key\r\n";
        for size in [1, 2, 3, 7, replies.len()] {
            let mut counter = Replies::default();
            let counted: usize =
                replies.as_bytes().chunks(size).map(|chunk| counter.feed(chunk).unwrap()).sum();
            assert_eq!(counted, 17, "in pieces of {size}; the push is none");
            assert!(counter.is_between());
        }
        assert_eq!(Replies::default().feed(b"HTTP/1.1 400\r\n"), None);
    }

    #[test]
    fn commands_are_found_however_they_are_cut() {
        let mut bytes = Vec::new();
        redis::cmd("set").arg("key").arg("*1\r\n$5\r\nMULTI\r\n").write_packed_command(&mut bytes);
        redis::cmd("PING").write_packed_command(&mut bytes);
        redis::cmd("get").arg("").write_packed_command(&mut bytes);
        for size in [1, 2, 5, bytes.len()] {
            let (mut commands, mut names) = (Commands::default(), Vec::new());
            for chunk in bytes.chunks(size) {
                commands.feed(chunk, |name| names.push(String::from_utf8_lossy(name).into_owned()));
            }
            assert_eq!(names, ["SET", "PING", "GET"]);
            assert!(commands.is_between());
        }
    }
}
