//! Sets of tasks of one block.

/// A set of offsets in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffsetSet([u64; Self::WORDS]);

impl OffsetSet {
    /// The largest number of tasks in a block.
    pub const MAX: u16 = 1024;
    /// The number of words of [`OffsetSet::words`].
    pub const WORDS: usize = Self::MAX as usize / 64;

    /// The set of one offset.
    pub fn one(offset: u16) -> Self {
        let mut set = Self::default();
        set.insert(offset);
        set
    }

    /// The first `count` offsets.
    pub fn first(count: u16) -> Self {
        let mut set = Self::default();
        for (word, bits) in set.0.iter_mut().enumerate() {
            let behind = usize::from(count).saturating_sub(word * 64);
            *bits = if behind >= 64 { u64::MAX } else { (1 << behind) - 1 };
        }
        set
    }

    /// The offsets from `first` to `last`, both included.
    pub fn range(first: u16, last: u16) -> Self {
        Self::first(last + 1).without(&Self::first(first))
    }

    /// The set of these words: one bit for each offset, the lowest of a word first.
    pub fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }

    /// Returns one bit for each offset, the lowest of a word first.
    pub fn words(&self) -> [u64; Self::WORDS] {
        self.0
    }

    /// The set of bytes from [`to_bytes`](OffsetSet::to_bytes); `None` if there are more than one for each eight offsets.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut set = Self::default();
        for (position, byte) in bytes.iter().enumerate() {
            *set.0.get_mut(position / 8)? |= u64::from(*byte) << (position % 8 * 8);
        }
        Some(set)
    }

    /// Returns one bit for each offset, the lowest of a byte first, up to the last byte that has one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(self.last().map_or(0, |last| usize::from(last / 8) + 1));
        bytes
    }

    /// Returns the largest offset.
    pub fn last(&self) -> Option<u16> {
        let word = self.0.iter().rposition(|bits| *bits != 0)?;
        u16::try_from(word * 64 + 63).ok()?.checked_sub(u16::try_from(self.0[word].leading_zeros()).ok()?)
    }

    /// Adds an offset; returns whether it was not in the set.
    ///
    /// # Panics
    /// If the offset is [`OffsetSet::MAX`] or larger.
    pub fn insert(&mut self, offset: u16) -> bool {
        let (word, bit) = (usize::from(offset / 64), 1 << (offset % 64));
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Removes an offset; returns whether it was in the set.
    pub fn remove(&mut self, offset: u16) -> bool {
        let was_in = self.contains(offset);
        if was_in {
            self.0[usize::from(offset / 64)] &= !(1 << (offset % 64));
        }
        was_in
    }

    /// Returns whether the offset is in the set.
    pub fn contains(&self, offset: u16) -> bool {
        self.0.get(usize::from(offset / 64)).is_some_and(|bits| bits & (1 << (offset % 64)) != 0)
    }

    /// Returns the offsets that both sets have.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Returns the offsets that one of the sets has, or both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Returns the offsets that the other set does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Returns the smallest `count` offsets.
    #[must_use]
    pub fn smallest(&self, count: u32) -> Self {
        if self.len() <= count { *self } else { self.iter().take(count as usize).collect() }
    }

    /// Returns the number of offsets.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    /// Returns whether the set has no offset.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    /// Returns the offsets in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<> {
        let mut left = self.0;
        let mut word = 0;
        std::iter::from_fn(move || {
            while word < Self::WORDS {
                let bits = &mut left[word];
                if *bits != 0 {
                    let bit = bits.trailing_zeros();
                    *bits &= *bits - 1;
                    return u16::try_from(word * 64).ok()?.checked_add(u16::try_from(bit).ok()?);
                }
                word += 1;
            }
            None
        })
    }
}

impl FromIterator<u16> for OffsetSet {
    fn from_iter<I: IntoIterator<Item = u16>>(offsets: I) -> Self {
        let mut set = Self::default();
        for offset in offsets {
            set.insert(offset);
        }
        set
    }
}
