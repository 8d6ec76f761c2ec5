//! A key as text, on the stack if it is short.

use std::fmt::{self, Display, Write};

const SHORT: usize = 96;

pub(crate) struct Subject {
    short: [u8; SHORT],
    length: usize,
    /// All of it, if it is longer.
    long: String,
}

impl Subject {
    #[inline]
    pub(crate) fn of(key: &(impl Display + ?Sized)) -> Self {
        let mut subject = Self { short: [0; SHORT], length: 0, long: String::new() };
        // Only a `Display` that fails can fail here, and then `to_string` would panic: what it wrote is the text.
        let _ = write!(subject, "{key}");
        subject
    }

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
            assert_eq!(Subject::of(&text).as_str(), text);
            assert_eq!(Subject::of(&text).as_bytes(), text.as_bytes());
            // In two pieces, which meet at the edge.
            assert_eq!(Subject::of(&format_args!("{text}{length}")).as_str(), format!("{text}{length}"));
        }
    }
}
