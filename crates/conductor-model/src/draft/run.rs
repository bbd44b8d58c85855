//! A run that somebody wants to submit: as it was written, and what remains of it once checked.

use crate::draft::{NewTask, POLICY, TaskDraft};
use crate::fields::{Fields, Reader};
use crate::id::RunId;
use crate::issue::{Issue, IssueCode, ValidationError};
use crate::join::{JoinDraft, NewJoin};
use crate::json::Json;
use crate::name::IdempotencyKey;
use crate::payload::PayloadHash;
use crate::policy::Policy;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::str::FromStr;

/// The greatest number of root tasks, or items, in one submission or append.
pub const MAX_TASKS: usize = 100_000;

/// The longest time that a run may be given: 365 days, in milliseconds.
const MAX_DEADLINE_MS: i64 = 365 * 24 * 60 * 60 * 1000;

/// A run that somebody wants to submit, unchecked.
///
/// As JSON it is an object with, if wanted, `id`, `meta`, `tasks`, `idempotency_key`, `open`, `policy`, `join` and
/// `deadline_ms`.
///
/// ```
/// use conductor_model::{NewRun, RunDraft};
///
/// let draft: RunDraft = serde_json::from_str(r#"{"tasks": [{"name": "resize", "max_retries": -1}], "color": 1}"#)?;
/// let issues = draft.check().unwrap_err();
/// assert_eq!(issues.issues()[0].path, "tasks[0].max_retries");
/// assert_eq!(issues.issues()[1].path, "color");
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
        let wrong = |what| Issue::new(IssueCode::InvalidType, what);
        let items = serde_json::from_str::<Vec<&RawValue>>(raw.get()).unwrap_or_else(|_| {
            fields.issues.push(wrong("must be an array of objects").at("tasks"));
            Vec::new()
        });
        let read = |item: &RawValue| {
            serde_json::from_str(item.get()).unwrap_or_else(|_| {
                TaskDraft(Fields { issues: vec![wrong("must be an object")], ..Fields::default() })
            })
        };
        let tasks = items.into_iter().map(read).collect();
        Self { fields, tasks }
    }
}

impl RunDraft {
    /// A run without tasks.
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

    /// Chooses the id instead of having one generated.
    pub fn id(self, id: RunId) -> Self {
        self.with("id", &id)
    }

    /// Something to remember with the run: anything with a JSON form of at most 1 MiB.
    pub fn meta<T: Serialize>(self, meta: T) -> Self {
        self.with("meta", &meta)
    }

    /// Submits it once: the same draft under the same key gives the same run.
    pub fn idempotency_key(self, key: impl AsRef<str>) -> Self {
        self.with("idempotency_key", key.as_ref())
    }

    /// Leaves it open: more root tasks are appended later, until it is sealed.
    pub fn open(self) -> Self {
        self.with("open", &true)
    }

    /// What the failures of its root tasks mean for it; any of them makes it fail by default.
    pub fn policy(self, policy: Policy) -> Self {
        self.with("policy", &policy)
    }

    /// What runs when its root tasks are settled and its policy is satisfied: the handler of that kind, which reads their
    /// outputs.
    pub fn join(self, join: impl Into<JoinDraft>) -> Self {
        self.with("join", &join.into())
    }

    /// How long it may take from its submission on, in milliseconds: 1 to 365 days. What is open then is cancelled.
    pub fn deadline_ms(self, ms: u64) -> Self {
        self.with("deadline_ms", &ms)
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`ValidationError`] with every issue.
    pub fn validate(&self) -> Result<NewRun, ValidationError> {
        let mut reader = Reader::new(&self.fields);
        let id = reader.text("id", RunId::from_str);
        let meta = reader.json("meta");
        let idempotency_key = reader.text("idempotency_key", IdempotencyKey::from_str);
        let open = reader.value("open", "true or false").unwrap_or(false);
        let policy = reader.value("policy", POLICY).unwrap_or_default();
        let join = reader.join("join");
        let deadline_ms = reader.integer("deadline_ms", 1..=MAX_DEADLINE_MS).map(i64::cast_unsigned);
        let tasks = check_tasks(&self.tasks, &mut reader);
        ValidationError::unless_empty(reader.finish(), || {
            // Only now: the hash follows the JSON down, which is known to end only once it was checked.
            let payload = idempotency_key.as_ref().map(|_| PayloadHash::of(&self.payload()));
            NewRun { id, meta, idempotency_key, open, policy, join, deadline_ms, tasks, payload }
        })
    }

    fn payload(&self) -> String {
        let tasks: Vec<String> = self.tasks.iter().map(|task| task.0.to_json()).collect();
        format!("[{},[{}]]", self.fields.to_json(), tasks.join(","))
    }
}

/// Checks root tasks, for a submission or an append to an open run.
fn check_tasks(drafts: &[TaskDraft], reader: &mut Reader<'_>) -> Vec<NewTask> {
    if drafts.len() > MAX_TASKS {
        let message = format!("must be at most {MAX_TASKS} at a time; use a fan-out, or append the others");
        reader.issue("tasks", Issue::new(IssueCode::TooBig, message));
        return Vec::new();
    }
    let mut tasks = Vec::with_capacity(drafts.len());
    let mut ids = std::collections::HashSet::new();
    for (i, draft) in drafts.iter().enumerate() {
        let place = format!("tasks[{i}]");
        match draft.validate() {
            Ok(task) => {
                if task.id().is_some_and(|id| !ids.insert(id)) {
                    let message = "is the id of an earlier task of this call too";
                    reader.issue(&place, Issue::new(IssueCode::Conflict, message).at("id"));
                }
                tasks.push(task);
            }
            Err(invalid) => invalid.into_issues().into_iter().for_each(|issue| reader.issue(&place, issue)),
        }
    }
    tasks
}

/// A run that may be submitted: every value in it is a valid one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RunDraft")]
pub struct NewRun {
    id: Option<RunId>,
    meta: Option<Json>,
    idempotency_key: Option<IdempotencyKey>,
    open: bool,
    policy: Policy,
    join: Option<NewJoin>,
    deadline_ms: Option<u64>,
    tasks: Vec<NewTask>,
    payload: Option<PayloadHash>,
}

impl NewRun {
    /// The id that the caller chose.
    pub fn id(&self) -> Option<RunId> {
        self.id
    }

    /// What to remember with it.
    pub fn meta(&self) -> Option<&Json> {
        self.meta.as_ref()
    }

    /// The key under which it is submitted once.
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.idempotency_key.as_ref()
    }

    /// Whether more root tasks may be appended.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What the failures of its root tasks mean for it.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// What runs after its root tasks.
    pub fn join(&self) -> Option<&NewJoin> {
        self.join.as_ref()
    }

    /// How long it may take from its submission on, in milliseconds.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    /// Its root tasks.
    pub fn tasks(&self) -> &[NewTask] {
        &self.tasks
    }

    /// The hash of what the caller gave under an idempotency key; without a key nobody compares it, and there is none.
    pub fn payload(&self) -> Option<PayloadHash> {
        self.payload
    }

    /// How many ids its submission needs at most.
    pub fn ids_needed(&self) -> u32 {
        let tasks = self.tasks.iter().map(NewTask::ids_needed).sum::<u32>();
        1 + u32::from(self.join.is_some()) + tasks
    }
}

impl TryFrom<RunDraft> for NewRun {
    type Error = ValidationError;

    fn try_from(draft: RunDraft) -> Result<Self, ValidationError> {
        draft.validate()
    }
}

impl FromStr for NewRun {
    type Err = ValidationError;

    /// Reads the JSON of a [`RunDraft`] and checks it.
    fn from_str(json: &str) -> Result<Self, ValidationError> {
        let draft: RunDraft = serde_json::from_str(json).map_err(|error| {
            Issue::new(IssueCode::InvalidFormat, format!("is not the JSON of a run: {error}"))
        })?;
        draft.validate()
    }
}
