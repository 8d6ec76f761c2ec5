//! Generation and removals of tags, in one number: 40 bits that name the generation, 24 that count its removals.
//!
//! A generation is never compared but for equality, and the count lives and dies with its generation: nothing here
//! depends on a clock, and a server that lost or rewound its data has another generation.

/// Removals after which a generation is replaced.
pub(crate) const MOST_REMOVALS: u64 = (1 << 24) - 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version(u64);

impl Version {
    /// That of what no server knows of.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn new(generation: u64, removals: u64) -> Self {
        Self(generation << 24 | removals.min(MOST_REMOVALS + 1))
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn is_known(self) -> bool {
        self.0 != 0
    }

    /// What was loaded under `self` belongs to the generation of `now`.
    pub(crate) fn is_of(self, now: Self) -> bool {
        self.is_known() && (self.0 ^ now.0) >> 24 == 0
    }

    pub(crate) fn generation(self) -> u64 {
        self.0 >> 24
    }

    pub(crate) fn removals(self) -> u64 {
        self.0 & 0xff_ffff
    }

    /// A name for a new generation, never that of none.
    pub(crate) fn random_generation() -> u64 {
        fastrand::u64(1..1 << 40)
    }
}
