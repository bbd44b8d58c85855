//! Detects engines that take turns without end.

use crate::engine_store::EngineStore;
use conductor_store::StoreError;

/// After this many turns without time and without a write, the simulation does not make progress.
const MAX_TURNS_WITHOUT_TIME: u32 = 100_000;

#[derive(Debug, Default)]
pub(super) struct LivelockCheck {
    turns_without_time: u32,
    /// The store's change token at the last check.
    change_token: Option<u64>,
}

impl LivelockCheck {
    /// Time has passed.
    pub(super) fn reset(&mut self) {
        self.turns_without_time = 0;
    }

    /// Counts a turn.
    ///
    /// # Panics
    /// After too many turns in which no time has passed and nothing was written.
    pub(super) fn check(&mut self, store: &dyn EngineStore) -> Result<(), StoreError> {
        self.turns_without_time += 1;
        if self.turns_without_time == MAX_TURNS_WITHOUT_TIME {
            let change_token = Some(store.change_token()?);
            let has_changed = change_token != self.change_token;
            assert!(
                has_changed,
                "the engines take turns without end: no time passes, and nothing is written"
            );
            *self = Self { turns_without_time: 0, change_token };
        }
        Ok(())
    }
}
