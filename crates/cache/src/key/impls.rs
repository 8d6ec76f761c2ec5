//! What is a key without anybody's doing.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use super::{CacheKey, KeyText, NONE};

/// As many as a `u64` has at most.
const DIGITS: usize = 20;

impl<K: CacheKey + ?Sized> CacheKey for &K {
    fn write_key(&self, out: &mut KeyText) {
        K::write_key(self, out);
    }
}

/// `None` writes a part that nothing else writes; `Some` what the value writes, after a part of its own only where that
/// could be taken for a `None` outside it.
impl<K: CacheKey> CacheKey for Option<K> {
    fn write_key(&self, out: &mut KeyText) {
        match self {
            Some(key) => out.present(key),
            None => out.plain_part(NONE),
        }
    }
}

macro_rules! bytes {
    ($($type:ty, $as_bytes:ident;)*) => {$(
        /// One part.
        impl CacheKey for $type {
            fn write_key(&self, out: &mut KeyText) {
                out.part(self.$as_bytes());
            }
        }
    )*};
}

bytes! {
    str, as_bytes;
    String, as_bytes;
    Box<str>, as_bytes;
    Arc<str>, as_bytes;
    Cow<'_, str>, as_bytes;
    [u8], as_ref;
    Vec<u8>, as_slice;
}

/// One part.
impl<const N: usize> CacheKey for [u8; N] {
    fn write_key(&self, out: &mut KeyText) {
        out.part(self);
    }
}

/// `true` or `false`.
impl CacheKey for bool {
    fn write_key(&self, out: &mut KeyText) {
        out.plain_part(if *self { b"true" } else { b"false" });
    }
}

/// One part: the character as UTF-8.
impl CacheKey for char {
    fn write_key(&self, out: &mut KeyText) {
        out.part(self.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

macro_rules! unsigned {
    ($($type:ty)*) => {$(
        /// The number in decimal digits.
        impl CacheKey for $type {
            fn write_key(&self, out: &mut KeyText) {
                out.digits(false, *self as u64);
            }
        }
    )*};
}

macro_rules! signed {
    ($($type:ty)*) => {$(
        /// The number in decimal digits, after a `-` if it is below zero.
        impl CacheKey for $type {
            fn write_key(&self, out: &mut KeyText) {
                out.digits(*self < 0, self.unsigned_abs() as u64);
            }
        }
    )*};
}

macro_rules! large {
    ($($type:ty)*) => {$(
        /// The number in decimal digits, after a `-` if it is below zero.
        impl CacheKey for $type {
            fn write_key(&self, out: &mut KeyText) {
                out.separate();
                // Writing to a vector does not fail.
                let _ = write!(out.bytes, "{self}");
            }
        }
    )*};
}

unsigned!(u8 u16 u32 u64 usize);
signed!(i8 i16 i32 i64 isize);
large!(u128 i128);

macro_rules! tuple {
    ($($name:ident)*) => {
        /// The parts of each, one key after the other.
        impl<$($name: CacheKey),*> CacheKey for ($($name,)*) {
            fn write_key(&self, out: &mut KeyText) {
                #[expect(non_snake_case, reason = "each value is named after its type")]
                let ($($name,)*) = self;
                $($name.write_key(out);)*
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);

impl KeyText {
    fn digits(&mut self, is_negative: bool, mut number: u64) {
        let mut digits = [0; DIGITS];
        let mut at = DIGITS;
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.separate();
        if is_negative {
            self.bytes.push(b'-');
        }
        self.bytes.extend_from_slice(&digits[at..]);
    }
}
