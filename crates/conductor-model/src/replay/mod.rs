//! States and counts computed from events alone.

mod by_id;
mod conditions;
mod node;
mod run;
mod status;
mod tree;

pub use by_id::{Replay, ReplayError, ReplayedTask};
pub use run::{EventTarget, ReplayedRun, RunReplay};
pub use tree::RunReplayTask;
