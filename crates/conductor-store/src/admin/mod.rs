//! The requests of operators, each with its outcome and its error.

mod cancel;
mod prune;
mod repair;
mod revive;
mod verify;

pub use cancel::{Cancel, CancelError, CancelOutcome};
pub use prune::{Prune, PruneOutcome};
pub use repair::{Repair, RepairReport, RepairedItem, UnrepairableItem};
pub use revive::{Revive, ReviveError, ReviveFilter, ReviveOutcome};
pub use verify::{Divergence, DivergenceKind, Verify, VerifyReport};
