//! Whether children may be appended to an open fan-out, and whether it may be sealed.

use super::counts::{ChildCounts, MAX_FANOUT};
use super::node::State;

/// Why children cannot be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendRejection {
    /// The children between the last one and the first given one are missing. The next index is this one.
    Gap(u32),
    /// The fan-out is sealed.
    Sealed,
    /// The parent or run is settled.
    Settled,
    /// There would be this number of children, which is too large.
    TooMany(usize),
}

/// Returns how many of `given` children from `first_index` on exist already, if the others may be appended.
///
/// A repeated append gets the same answer, also after the seal.
///
/// # Errors
/// Returns the reason why the others cannot be appended.
pub fn existing_children(
    state: State,
    counts: ChildCounts,
    first_index: u32,
    given: usize,
) -> Result<usize, AppendRejection> {
    let next = counts.created.saturating_add(1);
    let Some(existing) = next.checked_sub(first_index) else { return Err(AppendRejection::Gap(next)) };
    let existing = existing as usize;
    if existing >= given {
        return Ok(given);
    }
    if counts.is_sealed() {
        return Err(AppendRejection::Sealed);
    }
    if state.is_terminal() {
        return Err(AppendRejection::Settled);
    }
    let total = counts.created as usize + given - existing;
    if total > MAX_FANOUT as usize {
        return Err(AppendRejection::TooMany(total));
    }
    Ok(existing)
}

/// Why a fan-out cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealRejection {
    /// It is sealed with this other number of children.
    Sealed(u32),
    /// The parent or run is settled.
    Settled,
    /// This number of children exists.
    Existing(u32),
}

/// Returns whether an open fan-out is to be sealed with this number of children; `false` if it is already.
///
/// # Errors
/// Returns the reason why it cannot be sealed so.
pub fn can_seal(state: State, counts: ChildCounts, children: u32) -> Result<bool, SealRejection> {
    match counts.total {
        Some(sealed) if sealed == children => Ok(false),
        Some(sealed) => Err(SealRejection::Sealed(sealed)),
        None if state.is_terminal() => Err(SealRejection::Settled),
        None if counts.created != children => Err(SealRejection::Existing(counts.created)),
        None => Ok(true),
    }
}
