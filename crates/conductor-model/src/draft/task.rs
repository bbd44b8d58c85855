//! A task that somebody wants to submit: as it was written, and what remains of it once checked.

use crate::fanout::Fanout;
use crate::fields::{Fields, Reader};
use crate::id::TaskId;
use crate::issue::{Issue, IssueCode, ValidationError};
use crate::join::{JoinDraft, NewJoin};
use crate::json::Json;
use crate::name::{Kind, TaskName};
use crate::numbers::ChildCounts;
use crate::policy::Policy;
use crate::retry::{Backoff, BackoffDraft, MAX_BACKOFF_MS, MaxRetries};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A task that somebody wants to submit, unchecked.
///
/// As JSON it is an object with `name` and, if wanted, `id`, `kind`, `input`, `max_retries`, `backoff`,
/// `timeout_ms`, `priority`, `due_at`, `open`, `policy` and `join`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct TaskDraft(pub(crate) Fields);

impl TaskDraft {
    /// A task with that name: 1 to 255 bytes, no control characters, no `#`.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Fields::default().with("name", name.as_ref()))
    }

    /// Chooses the id instead of having one generated.
    pub fn id(self, id: TaskId) -> Self {
        Self(self.0.with("id", &id))
    }

    /// Which handler runs it; its name by default.
    pub fn kind(self, kind: impl AsRef<str>) -> Self {
        Self(self.0.with("kind", kind.as_ref()))
    }

    /// What it works on: anything with a JSON form of at most 1 MiB. An object with a key `fanout` makes the
    /// task a parent: an integer N for N children, an array for one child per item.
    pub fn input<T: Serialize>(self, input: T) -> Self {
        Self(self.0.with("input", &input))
    }

    /// How often it is retried: 0 to 1000, 3 by default.
    pub fn max_retries(self, retries: i64) -> Self {
        Self(self.0.with("max_retries", &retries))
    }

    /// How long it waits for a retry; not at all by default.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self(self.0.with("backoff", &backoff))
    }

    /// How long an attempt may take, in milliseconds: 1 to seven days; without a limit by default.
    pub fn timeout_ms(self, ms: u32) -> Self {
        Self(self.0.with("timeout_ms", &ms))
    }

    /// Makes it a parent with one child per item, whose input is that item: `input({"fanout": items})` in short, so that the
    /// last of the two calls counts.
    pub fn fan_out<T: Serialize>(self, items: impl IntoIterator<Item = T>) -> Self {
        #[derive(Serialize)]
        struct Items<T> {
            fanout: Vec<T>,
        }
        self.input(Items { fanout: items.into_iter().collect() })
    }

    /// Higher is claimed first within the run; 0 by default.
    pub fn priority(self, priority: i16) -> Self {
        Self(self.0.with("priority", &priority))
    }

    /// Not to be started before that moment.
    pub fn due_at(self, at: Timestamp) -> Self {
        Self(self.0.with("due_at", &at))
    }

    /// Makes it a parent whose children are appended later, until it is sealed.
    pub fn open(self) -> Self {
        Self(self.0.with("open", &true))
    }

    /// What the failures of its children mean for it; any of them makes it fail by default.
    pub fn policy(self, policy: Policy) -> Self {
        Self(self.0.with("policy", &policy))
    }

    /// What runs when its children are settled and its policy is satisfied: the handler of that kind, which reads their
    /// outputs; its output is the parent's.
    pub fn join(self, join: impl Into<JoinDraft>) -> Self {
        Self(self.0.with("join", &join.into()))
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`ValidationError`] with every issue.
    pub fn validate(&self) -> Result<NewTask, ValidationError> {
        let mut reader = Reader::new(&self.0);
        let name = reader.text("name", TaskName::root);
        // Unless the name is wrong, or nothing was there that could have had one.
        if name.is_none() && !reader.issues.iter().any(|issue| ["", "name"].contains(&issue.path.as_str())) {
            reader.issue("name", Issue::new(IssueCode::Required, "is required"));
        }
        let id = reader.text("id", TaskId::from_str);
        let kind = reader.text("kind", Kind::from_str);
        let input = reader.json("input");
        let (max_retries, backoff, timeout_ms) = reader.attempts();
        let priority = reader.integer("priority", i64::from(i16::MIN)..=i64::from(i16::MAX));
        let priority = priority.and_then(|n| i16::try_from(n).ok());
        let due_at = reader.text("due_at", Timestamp::from_str);
        let open = reader.value("open", "true or false").unwrap_or(false);
        let (policy, join) = (reader.value("policy", POLICY), reader.join("join"));
        let fanout = match input.as_ref().map(Fanout::of) {
            Some(Ok(fanout)) => fanout,
            Some(Err(invalid)) => {
                invalid.into_issues().into_iter().for_each(|issue| reader.issue("input", issue));
                None
            }
            None => None,
        };
        if open && fanout.is_some() {
            let message = "an open fan-out gets its children by append, not from `input.fanout`";
            reader.issue("open", Issue::new(IssueCode::Conflict, message));
        }
        if open && due_at.is_some() {
            let message = "an open fan-out starts with its first append: delay the appends instead";
            reader.issue("due_at", Issue::new(IssueCode::Conflict, message));
        }
        for (key, is_given) in [("policy", policy.is_some()), ("join", join.is_some())] {
            if is_given && !open && fanout.is_none() && reader.issues.is_empty() {
                let message = "is about children: give the task a fan-out, or make it `open`";
                reader.issue(key, Issue::new(IssueCode::Conflict, message));
            }
        }
        let issues = reader.finish();
        let (Some(name), true) = (name, issues.is_empty()) else { return Err(ValidationError::of(issues)) };
        let kind = match kind {
            Some(kind) => kind,
            None => Kind::from_str(name.as_str())?,
        };
        let numbers = match (open, fanout) {
            (true, _) => Some(ChildCounts::open()),
            (false, fanout) => fanout.map(|fanout| ChildCounts::sealed(fanout.total())),
        };
        let (priority, policy) = (priority.unwrap_or(0), policy.unwrap_or_default());
        Ok(NewTask {
            id,
            name,
            kind,
            input,
            max_retries,
            backoff,
            timeout_ms,
            priority,
            due_at,
            numbers,
            policy,
            join,
        })
    }
}

pub(crate) const BACKOFF: &str =
    "an object: {\"fixed_ms\": 500}, or {\"first_ms\": 100, \"cap_ms\": 60000, \"jitter\": 0.2}";

pub(crate) fn read_backoff(reader: &mut Reader<'_>) -> Backoff {
    let mut wait = |key: &str| {
        let ms = reader.integer(key, 0..=i64::try_from(MAX_BACKOFF_MS).unwrap_or(i64::MAX));
        ms.and_then(|ms| u64::try_from(ms).ok())
    };
    let (fixed_ms, first_ms, cap_ms) = (wait("fixed_ms"), wait("first_ms"), wait("cap_ms"));
    let jitter = reader.value("jitter", "a number between 0.0 and 1.0");
    if !reader.issues.is_empty() {
        return Backoff::NONE;
    }
    match Backoff::try_from(BackoffDraft { fixed_ms, first_ms, cap_ms, jitter }) {
        Ok(backoff) => backoff,
        Err(issue) => {
            reader.issues.push(issue);
            Backoff::NONE
        }
    }
}

pub(crate) const POLICY: &str =
    "\"fail\", \"ignore\", \"fail_fast\", {\"tolerate\": n}, or {\"tolerate_percent\": n} with n up to 100";

/// A task that may be submitted: every value in it is a valid one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "TaskDraft")]
pub struct NewTask {
    id: Option<TaskId>,
    name: TaskName,
    kind: Kind,
    input: Option<Json>,
    max_retries: MaxRetries,
    backoff: Backoff,
    timeout_ms: Option<u32>,
    priority: i16,
    due_at: Option<Timestamp>,
    numbers: Option<ChildCounts>,
    policy: Policy,
    join: Option<NewJoin>,
}

impl NewTask {
    /// The id that the caller chose.
    pub fn id(&self) -> Option<TaskId> {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// Which handler runs it.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What it works on.
    pub fn input(&self) -> Option<&Json> {
        self.input.as_ref()
    }

    /// How often it is retried.
    pub fn max_retries(&self) -> MaxRetries {
        self.max_retries
    }

    /// How long it waits for a retry.
    pub fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// How long an attempt may take, in milliseconds.
    pub fn timeout_ms(&self) -> Option<u32> {
        self.timeout_ms
    }

    /// Higher is claimed first, within a run.
    pub fn priority(&self) -> i16 {
        self.priority
    }

    /// When it may start at the earliest.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due_at
    }

    /// The numbers that it begins with; `None` on a leaf.
    pub fn child_counts(&self) -> Option<ChildCounts> {
        self.numbers
    }

    /// What the failures of its children mean for it.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// What runs after its children.
    pub fn join(&self) -> Option<&NewJoin> {
        self.join.as_ref()
    }

    /// How many ids it needs at most: its own, and its join's.
    pub fn ids_needed(&self) -> u32 {
        1 + u32::from(self.join.is_some())
    }
}

impl TryFrom<TaskDraft> for NewTask {
    type Error = ValidationError;

    fn try_from(draft: TaskDraft) -> Result<Self, ValidationError> {
        draft.validate()
    }
}
