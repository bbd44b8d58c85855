//! The draft of a run.

use super::join::{JoinDraft, NewJoin};
use super::new_run::NewRun;
use super::new_task::NewTask;
use super::payload_hash::PayloadHash;
use super::reader::{Fields, Reader};
use super::task::TaskDraft;
use crate::id::RunId;
use crate::issue::{Issue, IssueCode, ValidationError, shown_json};
use crate::name::IdempotencyKey;
use crate::state::Policy;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::str::FromStr;

/// The largest number of root tasks, or items, in one submission or append.
pub const MAX_TASKS: usize = 100_000;

/// The longest time limit of a run, in milliseconds: 365 days.
const MAX_DEADLINE_MS: i64 = 365 * 24 * 60 * 60 * 1000;

/// An unchecked run.
///
/// As JSON: an object with optional `id`, `meta`, `tasks`, `idempotency_key`, `open`, `policy`, `join` and
/// `deadline_ms`.
///
/// ```
/// use conductor_model::RunDraft;
///
/// let draft: RunDraft = serde_json::from_str(r#"{"tasks": [{"name": "resize", "max_retries": -1}], "color": 1}"#)?;
/// let invalid = draft.validate().unwrap_err();
/// assert_eq!(invalid.issues()[0].path, "tasks[0].max_retries");
/// assert_eq!(invalid.issues()[1].path, "color");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Fields")]
pub struct RunDraft {
    fields: Fields,
    tasks: Vec<TaskDraft>,
}

impl From<Fields> for RunDraft {
    fn from(mut fields: Fields) -> Self {
        let Some(raw) = fields.members.remove("tasks").filter(|raw| raw.get() != "null") else {
            return Self { fields, tasks: Vec::new() };
        };
        let invalid = |expected, raw: &RawValue| {
            let message = format!("must be {expected}, but is {}", shown_json(raw.get()));
            Issue::new(IssueCode::InvalidType, message)
        };
        let items = serde_json::from_str::<Vec<&RawValue>>(raw.get()).unwrap_or_else(|_| {
            fields.issues.push(invalid("an array of objects", &raw).at("tasks"));
            Vec::new()
        });
        let read = |item: &RawValue| {
            serde_json::from_str(item.get()).unwrap_or_else(|_| {
                TaskDraft(Fields { issues: vec![invalid("an object", item)], ..Fields::default() })
            })
        };
        let tasks = items.into_iter().map(read).collect();
        Self { fields, tasks }
    }
}

impl RunDraft {
    /// Creates a run without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T: Serialize + ?Sized>(mut self, key: &str, value: &T) -> Self {
        self.fields.set(key, value);
        self
    }

    /// Adds a root task.
    pub fn task(mut self, task: TaskDraft) -> Self {
        self.tasks.push(task);
        self
    }

    /// Adds root tasks.
    pub fn tasks(mut self, tasks: impl IntoIterator<Item = TaskDraft>) -> Self {
        self.tasks.extend(tasks);
        self
    }

    /// Sets the id. Default: generated.
    pub fn id(self, id: RunId) -> Self {
        self.with("id", &id)
    }

    /// Sets metadata that is stored with the run: any value with a JSON form of at most 1 MiB. Default: none.
    pub fn meta<T: Serialize>(self, meta: T) -> Self {
        self.with("meta", &meta)
    }

    /// Sets the idempotency key. Submitting the same draft again with the same key returns the existing run.
    pub fn idempotency_key(self, key: impl AsRef<str>) -> Self {
        self.with("idempotency_key", key.as_ref())
    }

    /// Leaves the run open: the caller appends root tasks until it seals the run.
    pub fn open(self) -> Self {
        self.with("open", &true)
    }

    /// Sets how failures of its root tasks count. Default: [`Policy::Fail`].
    pub fn policy(self, policy: Policy) -> Self {
        self.with("policy", &policy)
    }

    /// Sets the join: a task that runs when all root tasks are settled and the policy is satisfied.
    ///
    /// Its handler reads the outputs of the root tasks.
    pub fn join(self, join: impl Into<JoinDraft>) -> Self {
        self.with("join", &join.into())
    }

    /// Sets the time limit after submission, in milliseconds: 1 ms to 365 days. Default: no limit.
    ///
    /// When the deadline passes, the open tasks of the run are cancelled.
    pub fn deadline_ms(self, ms: u64) -> Self {
        self.with("deadline_ms", &ms)
    }

    /// Validates all values.
    ///
    /// # Errors
    /// Returns [`ValidationError`] with all issues.
    pub fn validate(&self) -> Result<NewRun, ValidationError> {
        let mut reader = Reader::new(&self.fields);
        let id = reader.text("id", RunId::parse_member);
        let meta = reader.json("meta");
        reader.knows("tasks");
        let idempotency_key = reader.text("idempotency_key", IdempotencyKey::parse_member);
        let open = reader.open();
        let policy = reader.policy().unwrap_or_default();
        let join = NewJoin::read(&mut reader);
        let deadline_ms = reader.integer("deadline_ms", 1..=MAX_DEADLINE_MS).map(i64::cast_unsigned);
        let tasks = validate_tasks(&self.tasks, &mut reader);
        ValidationError::unless_empty(reader.finish(), || {
            // Hashing recurses into the JSON. Only now its depth is known to be bounded.
            let payload = idempotency_key.as_ref().map(|_| PayloadHash::of(&self.payload()));
            NewRun { id, meta, idempotency_key, open, policy, join, deadline_ms, tasks, payload }
        })
    }

    fn payload(&self) -> String {
        let tasks: Vec<String> = self.tasks.iter().map(|task| task.0.to_json()).collect();
        format!("[{},[{}]]", self.fields.to_json(), tasks.join(","))
    }
}

fn validate_tasks(drafts: &[TaskDraft], reader: &mut Reader<'_>) -> Vec<NewTask> {
    if drafts.len() > MAX_TASKS {
        let message = format!(
            "must be at most {MAX_TASKS} at a time, but are {}; use a fan-out, or append the others",
            drafts.len()
        );
        reader.issue("tasks", Issue::new(IssueCode::TooBig, message));
        return Vec::new();
    }
    let mut tasks = Vec::with_capacity(drafts.len());
    let mut ids = HashSet::new();
    for (i, draft) in drafts.iter().enumerate() {
        let path = format!("tasks[{i}]");
        match draft.validate() {
            Ok(task) => {
                if let Some(id) = task.id()
                    && !ids.insert(id)
                {
                    let message = format!("{id} is the id of an earlier task of this call too");
                    reader.issue(&path, Issue::new(IssueCode::Conflict, message).at("id"));
                }
                tasks.push(task);
            }
            Err(invalid) => reader.issues_at(&path, invalid.into_issues()),
        }
    }
    tasks
}

impl TryFrom<RunDraft> for NewRun {
    type Error = ValidationError;

    fn try_from(draft: RunDraft) -> Result<Self, ValidationError> {
        draft.validate()
    }
}

impl<'de> Deserialize<'de> for NewRun {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RunDraft::deserialize(deserializer)?.validate().map_err(D::Error::custom)
    }
}

impl FromStr for NewRun {
    type Err = ValidationError;

    /// Parses the JSON of a [`RunDraft`] and validates it.
    fn from_str(json: &str) -> Result<Self, ValidationError> {
        let draft: RunDraft = serde_json::from_str(json).map_err(|error| {
            Issue::new(IssueCode::InvalidFormat, format!("is not the JSON of a run: {error}"))
        })?;
        draft.validate()
    }
}
