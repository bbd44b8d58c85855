//! A small store in memory, as a second implementation of [`conductor_store::backend`].
//!
//! It is made for tests. It decides nothing, and it uses what the traits leave open:
//!
//! - It counts later: changes of counts are kept for each parent, and [`WriteTx::decidable`] adds them up.
//! - There are gaps between the keys of blocks.
//! - The groups that it returns overlap as ranges of keys, wherever no order is promised.
//!
//! Each file uses only those above it in this list:
//!
//! | file | part |
//! |---|---|
//! | `state` | the rows |
//! | `counting` | counts, and changes that are not added up |
//! | `groups` | rows as groups of leaves |
//! | `work` | what steps look for |
//! | `claimable` | ready leaves, and parents without their children |
//! | `changes` | writes |
//! | `queries`, `events`, `monitor`, `stuck`, `audit`, `prune` | what readers and administrators ask |
//! | `read_tx`, `write_tx` | the traits |

mod audit;
mod changes;
mod claimable;
mod counting;
mod events;
mod groups;
mod monitor;
mod prune;
mod queries;
mod read_tx;
mod state;
mod stuck;
mod work;
mod write_tx;

use conductor_store::backend::{Backend, BackendError};
use conductor_store::{StoreError, Timestamp};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store in memory.
#[derive(Default)]
pub(crate) struct MemoryStore {
    /// Held by the transaction that is open.
    writer: Mutex<()>,
    committed: Mutex<Committed>,
}

/// What the last commit left.
#[derive(Clone, Default)]
struct Committed {
    state: Arc<State>,
    commits: u64,
}

/// An open transaction, or a snapshot.
pub(crate) struct MemoryTx {
    /// Shared with the store until the first write.
    state: Arc<State>,
    /// The moment of the operation; `None` for a snapshot, which writes nothing.
    now: Option<Timestamp>,
    /// The engines that were found not to live.
    dead: Vec<u64>,
}

impl MemoryStore {
    fn committed(&self) -> MutexGuard<'_, Committed> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for MemoryStore {
    type Read<'b> = MemoryTx;
    type Write<'b> = MemoryTx;

    fn write<T, E: BackendError>(
        &self,
        now: Timestamp,
        operation: impl FnOnce(&mut MemoryTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Arc::clone(&self.committed().state);
        let mut tx = MemoryTx { state: Arc::clone(&before), now: Some(now), dead: Vec::new() };
        let value = operation(&mut tx)?;
        if !Arc::ptr_eq(&tx.state, &before) {
            let mut committed = self.committed();
            committed.state = tx.state;
            committed.commits += 1;
        }
        Ok(value)
    }

    fn read<T>(&self, query: impl FnOnce(&mut MemoryTx) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let state = Arc::clone(&self.committed().state);
        query(&mut MemoryTx { state, now: None, dead: Vec::new() })
    }

    fn change_token(&self) -> Result<u64, StoreError> {
        Ok(self.committed().commits)
    }
}
