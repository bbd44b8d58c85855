//! Shares of runs that are visited in rotation, so that one with much to do never holds back the others.

/// Returns an equal share of the rest for each remaining participant, including the present one. The others get the
/// unused part.
pub(crate) fn share(left: u32, participants: usize) -> u32 {
    left.div_ceil(u32::try_from(participants).unwrap_or(u32::MAX).max(1))
}
