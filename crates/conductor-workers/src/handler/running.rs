//! The attempts whose handlers run.

use crate::handler::attempt::Attempt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The attempts whose handlers run: each has a slot, one for each worker. Only the worker that has a slot, and the engine
/// from time to time, lock it.
#[derive(Debug)]
pub(crate) struct RunningAttempts {
    slots: Vec<Mutex<Option<Arc<Attempt>>>>,
    /// The slots from this one on have never been used.
    used: AtomicUsize,
}

impl RunningAttempts {
    /// Creates as many slots as there are workers.
    pub(crate) fn new(workers: u32) -> Arc<Self> {
        let slots = std::iter::repeat_with(Mutex::default).take(workers as usize).collect();
        Arc::new(Self { slots, used: AtomicUsize::new(0) })
    }

    /// Returns the slots, the first one last.
    pub(crate) fn free_slots(&self) -> Vec<usize> {
        (0..self.slots.len()).rev().collect()
    }

    /// Puts an attempt into its slot.
    pub(crate) fn start(&self, attempt: &Arc<Attempt>) {
        if self.used.load(Ordering::SeqCst) <= attempt.slot {
            self.used.fetch_max(attempt.slot + 1, Ordering::SeqCst);
        }
        *self.slot(attempt.slot) = Some(Arc::clone(attempt));
    }

    /// Empties a slot.
    pub(crate) fn clear(&self, slot: usize) {
        *self.slot(slot) = None;
    }

    /// Returns the attempts whose handlers have not returned.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = Arc<Attempt>> {
        let used = self.used.load(Ordering::SeqCst);
        let attempts = (0..used).filter_map(|slot| self.slot(slot).clone());
        attempts.filter(|attempt| !attempt.is_finished())
    }

    fn slot(&self, slot: usize) -> MutexGuard<'_, Option<Arc<Attempt>>> {
        self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
