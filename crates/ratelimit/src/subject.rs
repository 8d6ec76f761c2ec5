//! A key as text, on the stack if it is short.

use std::fmt::{self, Display, Write};

use crate::blocks::{self, Name};

const SHORT: usize = 96;

pub(crate) struct Subject {
    short: [u8; SHORT],
    length: usize,
    /// All of it, if it is longer.
    long: String,
}

impl Subject {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self { short: [0; SHORT], length: 0, long: String::new() }
    }

    /// Where it is, as it is not small.
    #[inline]
    pub(crate) fn take(&mut self, key: &(impl Display + ?Sized)) {
        // Only a `Display` that fails can fail here, and then `to_string` would panic: what it wrote is the text.
        let _ = write!(self, "{key}");
    }

    /// With a policy, if both are as short as most are: what a refusal of it is kept under. The text stays as it is.
    #[inline]
    pub(crate) fn name(&mut self, policy: &str) -> Option<Name<'_>> {
        if !self.long.is_empty() || !blocks::fits(self.length, policy) {
            return None;
        }
        self.short.first_chunk_mut().map(|room| Name::after(room, self.length, policy))
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.length] } else { self.long.as_bytes() }
    }

    pub(crate) fn as_str(&self) -> &str {
        if self.long.is_empty() {
            // Whole texts were copied.
            std::str::from_utf8(&self.short[..self.length]).unwrap_or_default()
        } else {
            &self.long
        }
    }
}

impl Write for Subject {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.long.is_empty() {
            let end = self.length + text.len();
            if let Some(room) = self.short.get_mut(self.length..end) {
                room.copy_from_slice(text.as_bytes());
                self.length = end;
                return Ok(());
            }
            self.long = self.as_str().to_owned();
        }
        self.long.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_text_whatever_its_length() {
        for length in [0, 1, 95, 96, 97, 300] {
            let text: String = "aß日".chars().cycle().take(length).collect();
            let of = |text: &dyn Display| {
                let mut subject = Subject::new();
                subject.take(text);
                subject
            };
            assert_eq!(of(&text).as_str(), text);
            assert_eq!(of(&text).as_bytes(), text.as_bytes());
            // In two pieces, which meet at the edge.
            assert_eq!(of(&format_args!("{text}{length}")).as_str(), format!("{text}{length}"));
        }
    }
}
