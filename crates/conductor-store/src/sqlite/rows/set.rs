//! Sets of offsets as they are stored: the smallest and the largest offset, and one bit for each unless all are members.

use crate::backend::OffsetSet;
use rusqlite::Row;

/// Splits sets that do not overlap, so that their parts follow each other: the place of the set of each part, and the part.
pub(crate) fn in_order(sets: &[OffsetSet]) -> Vec<(usize, OffsetSet)> {
    if let [set] = sets {
        return vec![(0, *set)];
    }
    let places =
        |(place, set): (usize, &OffsetSet)| set.iter().map(move |offset| (offset, place)).collect::<Vec<_>>();
    let mut offsets: Vec<(u16, usize)> = sets.iter().enumerate().flat_map(places).collect();
    offsets.sort_unstable();
    let parts = offsets.chunk_by(|left, right| left.1 == right.1);
    parts
        .filter_map(|part| Some((part.first()?.1, part.iter().map(|(offset, _)| *offset).collect())))
        .collect()
}

/// The columns `first`, `last` and `members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetColumns {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) members: Option<Vec<u8>>,
}

impl SetColumns {
    /// The columns of a set that is not empty.
    pub(crate) fn of(set: &OffsetSet) -> Self {
        let first = set.iter().next().unwrap_or_default();
        let last = set.last().unwrap_or_default();
        let is_range = set.len() == u32::from(last - first) + 1;
        Self { first, last, members: (!is_range).then(|| set.to_bytes()) }
    }

    /// The set that these columns stand for; `None` if they contradict each other.
    pub(crate) fn set(&self) -> Option<OffsetSet> {
        match &self.members {
            None if self.first <= self.last && self.last < OffsetSet::MAX => {
                Some(OffsetSet::range(self.first, self.last))
            }
            None => None,
            Some(bytes) => OffsetSet::from_bytes(bytes).filter(|set| Self::of(set) == *self),
        }
    }

    /// Reads three columns.
    pub(crate) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let members = row.get_ref(column + 2)?.as_blob_or_null()?.map(<[u8]>::to_vec);
        Ok(Self { first: row.get(column)?, last: row.get(column + 1)?, members })
    }
}
