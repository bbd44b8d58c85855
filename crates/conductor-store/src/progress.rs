//! How far running tasks have come.

use crate::Fence;
use conductor_model::{Progress, Timestamp};

/// Write what handlers report of their progress, in one transaction: it replaces what was known of each task, and is no
/// event.
#[derive(Clone, Debug)]
pub struct RecordProgress {
    /// Of which claim what; none of them twice.
    pub items: Vec<(Fence, Progress)>,
    /// The present moment.
    pub now: Timestamp,
}
