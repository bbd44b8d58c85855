//! Stores the progress of running tasks.

use crate::Fence;
use conductor_model::{Progress, Timestamp};

/// A request to store progress that handlers report, in one transaction.
///
/// It replaces the earlier progress of each task. It does not write events.
#[derive(Clone, Debug)]
pub struct RecordProgress {
    /// The progress of each claim. No fence may occur twice.
    pub items: Vec<(Fence, Progress)>,
    /// The present moment.
    pub now: Timestamp,
}
