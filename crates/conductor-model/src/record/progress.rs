//! How far a running task has come, in the words of its handler: shown to readers, and never remembered as an event.

use crate::id::TaskId;
use crate::record::truncate_text;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest message of a progress that is kept, in bytes; a longer one is cut.
pub const MAX_PROGRESS_MESSAGE_BYTES: usize = 1024;

/// What a handler is at, in its own words; may be empty.
///
/// Never refused: an overlong text is cut at [`MAX_PROGRESS_MESSAGE_BYTES`], a NUL becomes U+FFFD.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ProgressMessage(String);

impl ProgressMessage {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ProgressMessage {
    fn from(text: String) -> Self {
        Self(truncate_text(text, MAX_PROGRESS_MESSAGE_BYTES))
    }
}

impl From<&str> for ProgressMessage {
    fn from(text: &str) -> Self {
        String::from(text).into()
    }
}

impl From<ProgressMessage> for String {
    fn from(message: ProgressMessage) -> Self {
        message.0
    }
}

impl fmt::Display for ProgressMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ProgressMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far an attempt has come, in whatever its handler counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much; `None` when nobody knows.
    pub total: Option<u64>,
    /// In words.
    pub message: ProgressMessage,
}

/// The progress of a task that runs, as it is read from a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// The task.
    pub task: TaskId,
    /// The attempt whose handler reported it.
    pub attempt: u32,
    /// When it was written.
    pub at: Timestamp,
    /// What was reported.
    #[serde(flatten)]
    pub progress: Progress,
}
