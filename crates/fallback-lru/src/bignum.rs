//! As much arithmetic on large naturals as long doubles need.

use std::cmp::Ordering;

/// The largest power of ten in a limb: 19 decimal digits.
const CHUNK: u64 = 10_000_000_000_000_000_000;

/// Little-endian, without leading zero limbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Natural(Vec<u64>);

impl Natural {
    pub(crate) fn new(value: u64) -> Self {
        Self(if value == 0 { Vec::new() } else { vec![value] })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 64 - top.leading_zeros() as usize)
    }

    pub(crate) fn mul_add(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.0 {
            let product = u128::from(*limb) * u128::from(factor) + carry;
            *limb = product as u64;
            carry = product >> 64;
        }
        self.0.push(carry as u64);
        self.trim();
    }

    pub(crate) fn mul_power_of_ten(&mut self, power: u64) {
        for _ in 0..power / 19 {
            self.mul_add(CHUNK, 0);
        }
        self.mul_add(10_u64.pow((power % 19) as u32), 0);
    }

    pub(crate) fn shift_left(&mut self, bits: usize) {
        if self.is_zero() {
            return;
        }
        self.mul_add(1 << (bits % 64), 0);
        self.0.splice(..0, std::iter::repeat_n(0, bits / 64));
    }

    /// Divides by a power of two; what is cut off, compared with a half.
    pub(crate) fn shift_right(&mut self, bits: usize) -> Ordering {
        let half = bits.checked_sub(1).is_some_and(|top| self.bit(top));
        let below = (0..bits.saturating_sub(1).min(self.0.len() * 64)).any(|bit| self.bit(bit));
        self.0.drain(..(bits / 64).min(self.0.len()));
        let small = bits % 64;
        if small > 0 {
            let mut carry = 0;
            for limb in self.0.iter_mut().rev() {
                let next = *limb << (64 - small);
                *limb = (*limb >> small) | carry;
                carry = next;
            }
        }
        self.trim();
        half.cmp(&true).then(below.cmp(&false))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()) + 1, 0);
        let mut carry = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let (sum, over) = limb.overflowing_add(other.limb(index));
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || again);
        }
        self.trim();
    }

    /// Takes away one that is not larger.
    pub(crate) fn sub(&mut self, other: &Self) {
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let (rest, under) = limb.overflowing_sub(other.limb(index));
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, under || again);
        }
        self.trim();
    }

    pub(crate) fn is_odd(&self) -> bool {
        self.bit(0)
    }

    /// The number, if it is one limb long at most.
    pub(crate) fn low(&self) -> u64 {
        self.limb(0)
    }

    pub(crate) fn to_decimal(&self) -> String {
        let (mut rest, mut chunks) = (self.clone(), Vec::new());
        while !rest.is_zero() {
            let mut remainder = 0;
            for limb in rest.0.iter_mut().rev() {
                let dividend = (u128::from(remainder) << 64) | u128::from(*limb);
                *limb = (dividend / u128::from(CHUNK)) as u64;
                remainder = (dividend % u128::from(CHUNK)) as u64;
            }
            rest.trim();
            chunks.push(remainder);
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        text.extend(chunks.iter().rev().map(|chunk| format!("{chunk:019}")));
        text
    }

    fn limb(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    fn bit(&self, bit: usize) -> bool {
        self.limb(bit / 64) >> (bit % 64) & 1 == 1
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
