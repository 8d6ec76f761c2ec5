//! The 80-bit floating point of Redis on x86-64, whose noise its clients see: `INCRBYFLOAT` on 1000000.1
//! answers digits that neither an `f64` nor a decimal would give.

use std::cmp::Ordering;

use crate::bignum::Natural;

const MANTISSA_BITS: usize = 64;
const LEAST_EXPONENT: i64 = -16_445;
const TOP_EXPONENT: i64 = 16_384;
/// What Redis can hold of a number's text.
const MAX_TEXT: usize = 5 * 1024 - 1;

/// `mantissa * 2^exponent` with its sign, or infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongDouble {
    Finite { negative: bool, mantissa: u64, exponent: i64 },
    Infinite { negative: bool },
}

impl LongDouble {
    pub(crate) const ZERO: Self = Self::Finite { negative: false, mantissa: 0, exponent: 0 };

    /// Reads what C's `strtold` reads, and refuses what Redis refuses: NaN, overflow, underflow to zero.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite { negative });
        }
        let number = match digits {
            [b'0', b'x' | b'X', hex @ ..] => Scanned::new(hex, 16, b'p')?,
            _ => Scanned::new(digits, 10, b'e')?,
        };
        let read = number.round(negative);
        let lost = matches!(read, Self::Finite { mantissa: 0, .. }) && !number.digits.is_zero();
        if lost || !read.is_finite() { None } else { Some(read) }
    }

    pub(crate) fn is_finite(self) -> bool {
        matches!(self, Self::Finite { .. })
    }

    /// The sum, `None` if it is infinite or not a number.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let (
            Self::Finite { negative: na, mantissa: ma, exponent: ea },
            Self::Finite { negative: nb, mantissa: mb, exponent: eb },
        ) = (self, other)
        else {
            return None;
        };
        let exponent = ea.min(eb);
        let scaled = |mantissa, from: i64| {
            let mut natural = Natural::new(mantissa);
            natural.shift_left(usize::try_from(from - exponent).unwrap_or(0));
            natural
        };
        let (mut a, mut b) = (scaled(ma, ea), scaled(mb, eb));
        let negative = if na == nb {
            a.add(&b);
            na
        } else if a >= b {
            a.sub(&b);
            na
        } else {
            b.sub(&a);
            a = b;
            nb
        };
        Some(rounded(negative, a, exponent)).filter(|sum| sum.is_finite())
    }

    /// With 17 decimals, without those that are zeros.
    pub(crate) fn to_human(self) -> String {
        let Self::Finite { negative, mantissa, exponent } = self else { return String::from("inf") };
        let mut scaled = Natural::new(mantissa);
        scaled.mul_power_of_ten(17);
        if exponent >= 0 {
            scaled.shift_left(usize::try_from(exponent).unwrap_or(0));
        } else {
            let cut = scaled.shift_right(usize::try_from(-exponent).unwrap_or(0));
            round_half_even(&mut scaled, cut);
        }
        let digits = format!("{:0>18}", scaled.to_decimal());
        let (whole, decimals) = digits.split_at(digits.len() - 17);
        let text = format!("{whole}.{decimals}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if negative && text != "0" { format!("-{text}") } else { String::from(text) }
    }
}

/// `digits * base^exponent`, where the base of the exponent is 10 or 2.
struct Scanned {
    digits: Natural,
    decimal: bool,
    exponent: i64,
}

impl Scanned {
    fn new(text: &[u8], base: u8, mark: u8) -> Option<Self> {
        let at = text.iter().position(|byte| byte.eq_ignore_ascii_case(&mark));
        let (number, exponent) = match at {
            Some(at) => (text.get(..at)?, scan_exponent(text.get(at + 1..)?)?),
            None => (text, 0),
        };
        let point = number.iter().position(|byte| *byte == b'.');
        let mut digits = Natural::new(0);
        let mut seen = 0_i64;
        for (index, byte) in number.iter().enumerate() {
            if Some(index) == point {
                continue;
            }
            let digit = char::from(*byte).to_digit(u32::from(base))?;
            digits.mul_add(u64::from(base), u64::from(digit));
            seen += 1;
        }
        let decimals = point.map_or(0, |point| i64::try_from(number.len() - point - 1).unwrap_or(0));
        let per_digit = if base == 16 { 4 } else { 1 };
        (seen > 0).then_some(Self { digits, decimal: base == 10, exponent: exponent - decimals * per_digit })
    }

    fn round(&self, negative: bool) -> LongDouble {
        // Beyond these the answer is known, and the powers below stay of a sensible size.
        let (least, most) = if self.decimal { (-10_200, 5_000) } else { (-40_000, 17_000) };
        if self.digits.is_zero() || self.exponent < least {
            return LongDouble::ZERO;
        }
        if self.exponent > most {
            return LongDouble::Infinite { negative };
        }
        let mut numerator = self.digits.clone();
        if !self.decimal {
            return rounded(negative, numerator, self.exponent);
        }
        let mut denominator = Natural::new(1);
        let scaled = if self.exponent < 0 { &mut denominator } else { &mut numerator };
        scaled.mul_power_of_ten(self.exponent.unsigned_abs());
        quotient(negative, numerator, denominator)
    }
}

/// C reads an exponent of any length; one this large decides the matter by itself.
fn scan_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(sign * value)
}

/// Divides bit by bit to two bits more than the mantissa has; a remainder makes the last one odd.
fn quotient(negative: bool, mut numerator: Natural, mut denominator: Natural) -> LongDouble {
    let (above, below) = (numerator.bits(), denominator.bits());
    if above < below {
        numerator.shift_left(below - above);
    } else {
        denominator.shift_left(above - below);
    }
    let shift = i64::try_from(above).unwrap_or(0) - i64::try_from(below).unwrap_or(0);
    let steps = MANTISSA_BITS + 2;
    let mut quotient = Natural::new(0);
    for _ in 0..steps {
        let one = numerator >= denominator;
        if one {
            numerator.sub(&denominator);
        }
        quotient.mul_add(2, u64::from(one));
        numerator.shift_left(1);
    }
    quotient.mul_add(2, u64::from(!numerator.is_zero()));
    rounded(negative, quotient, shift - i64::try_from(steps).unwrap_or(0))
}

/// Rounds `value * 2^exponent` to the mantissa's bits, to even in the middle.
fn rounded(negative: bool, mut value: Natural, mut exponent: i64) -> LongDouble {
    if value.is_zero() {
        return LongDouble::ZERO;
    }
    let excess = value.bits().saturating_sub(MANTISSA_BITS);
    let denormal = usize::try_from(LEAST_EXPONENT - exponent).unwrap_or(0);
    let cut = excess.max(denormal);
    if cut > 0 {
        exponent += i64::try_from(cut).unwrap_or(0);
        let rest = value.shift_right(cut);
        round_half_even(&mut value, rest);
        if value.bits() > MANTISSA_BITS {
            value.shift_right(1);
            exponent += 1;
        }
    }
    if exponent + i64::try_from(value.bits()).unwrap_or(0) > TOP_EXPONENT {
        return LongDouble::Infinite { negative };
    }
    LongDouble::Finite { negative, mantissa: value.low(), exponent }
}

fn round_half_even(value: &mut Natural, cut: Ordering) {
    if cut == Ordering::Greater || (cut == Ordering::Equal && value.is_odd()) {
        value.mul_add(1, 1);
    }
}
