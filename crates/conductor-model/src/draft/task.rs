//! The draft of a task.

use super::join::JoinDraft;
use super::new_task::NewTask;
use super::reader::Fields;
use crate::id::TaskId;
use crate::issue::ValidationError;
use crate::state::{Backoff, Policy};
use crate::time::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// An unchecked task.
///
/// As JSON: an object with `name` and optionally `id`, `kind`, `input`, `max_retries`, `backoff`, `timeout_ms`,
/// `priority`, `due_at`, `open`, `policy` and `join`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct TaskDraft(pub(super) Fields);

impl TaskDraft {
    /// Creates a task with this name: 1 to 255 bytes, without control characters and `#`.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Fields::default().with("name", name.as_ref()))
    }

    /// Sets the id. Default: generated.
    pub fn id(self, id: TaskId) -> Self {
        Self(self.0.with("id", &id))
    }

    /// Sets the kind, which selects the handler. Default: the name.
    pub fn kind(self, kind: impl AsRef<str>) -> Self {
        Self(self.0.with("kind", kind.as_ref()))
    }

    /// Sets the input: any value with a JSON form of at most 1 MiB. Default: none.
    ///
    /// An object with the key `fanout` makes the task a parent. An integer N creates N children, an array creates one
    /// child per item.
    pub fn input<T: Serialize>(self, input: T) -> Self {
        Self(self.0.with("input", &input))
    }

    /// Sets the number of retries: 0 to 1000. Default: 3.
    pub fn max_retries(self, retries: i64) -> Self {
        Self(self.0.with("max_retries", &retries))
    }

    /// Sets the delay before a retry. Default: none.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self(self.0.with("backoff", &backoff))
    }

    /// Sets the time limit of an attempt, in milliseconds: 1 ms to seven days. Default: no limit.
    pub fn timeout_ms(self, ms: u32) -> Self {
        Self(self.0.with("timeout_ms", &ms))
    }

    /// Makes the task a parent with one child per item; the item is the input of the child.
    ///
    /// Short for `input({"fanout": items})`: the later call of `input` and `fan_out` replaces the earlier one.
    pub fn fan_out<T: Serialize>(self, items: impl IntoIterator<Item = T>) -> Self {
        #[derive(Serialize)]
        struct Items<T> {
            fanout: Vec<T>,
        }
        self.input(Items { fanout: items.into_iter().collect() })
    }

    /// Sets the priority. Within a run, higher priorities are claimed first. Default: 0.
    pub fn priority(self, priority: i16) -> Self {
        Self(self.0.with("priority", &priority))
    }

    /// Sets the earliest start. Default: immediately.
    pub fn due_at(self, at: Timestamp) -> Self {
        Self(self.0.with("due_at", &at))
    }

    /// Makes the task an open fan-out, to which the caller appends children until it seals the task.
    pub fn open(self) -> Self {
        Self(self.0.with("open", &true))
    }

    /// Sets how failures of its children count. Default: [`Policy::Fail`].
    pub fn policy(self, policy: Policy) -> Self {
        Self(self.0.with("policy", &policy))
    }

    /// Sets the join: a task that runs when all children are settled and the policy is satisfied.
    ///
    /// Its handler reads the outputs of the children. Its output becomes the output of the parent.
    pub fn join(self, join: impl Into<JoinDraft>) -> Self {
        Self(self.0.with("join", &join.into()))
    }

    /// Validates all values.
    ///
    /// # Errors
    /// Returns [`ValidationError`] with all issues.
    pub fn validate(&self) -> Result<NewTask, ValidationError> {
        NewTask::of(&self.0)
    }
}

impl TryFrom<TaskDraft> for NewTask {
    type Error = ValidationError;

    fn try_from(draft: TaskDraft) -> Result<Self, ValidationError> {
        draft.validate()
    }
}

impl<'de> Deserialize<'de> for NewTask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TaskDraft::deserialize(deserializer)?.validate().map_err(D::Error::custom)
    }
}
