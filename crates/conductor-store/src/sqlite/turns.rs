//! Runs take turns, so that one with much to do never holds back the others.

use crate::{RotationCursor, StoreError};

/// At most this many runs with work: those behind `turn` first, then the others. `next` finds the first one behind
/// a run.
pub(super) fn runs_in_turn(
    turn: RotationCursor,
    most: usize,
    next: impl Fn(i64) -> Result<Option<i64>, StoreError>,
) -> Result<Vec<i64>, StoreError> {
    let turn = turn.0.cast_signed();
    let mut runs: Vec<i64> = Vec::new();
    let (mut after, mut wrapped) = (turn, turn == 0);
    while runs.len() < most {
        match next(after)? {
            Some(run) if wrapped && turn > 0 && run > turn => break,
            Some(run) => {
                runs.push(run);
                after = run;
            }
            None if wrapped => break,
            None => (after, wrapped) = (0, true),
        }
    }
    Ok(runs)
}

/// Returns an equal share of the rest for each remaining participant, including the present one. The others get the
/// unused part.
pub(super) fn share(left: u32, sharers: usize) -> u32 {
    left.div_ceil(u32::try_from(sharers).unwrap_or(u32::MAX).max(1))
}
