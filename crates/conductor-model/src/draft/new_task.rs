//! A valid task, and the steps that validate one: read the members, check them against each other, build the task.

use super::fanout::Fanout;
use super::join::NewJoin;
use super::reader::{AttemptLimits, Fields, Reader};
use crate::id::TaskId;
use crate::issue::{Issue, IssueCode, ValidationError};
use crate::json::Json;
use crate::name::{Kind, TaskName};
use crate::state::{Backoff, ChildCounts, MaxRetries, Policy};
use crate::time::Timestamp;
use std::str::FromStr;

/// A task that may be submitted: all its values are valid.
#[derive(Clone, Debug, PartialEq)]
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
    child_counts: Option<ChildCounts>,
    policy: Policy,
    join: Option<NewJoin>,
}

impl NewTask {
    /// Validates all members of a draft.
    pub(super) fn of(draft: &Fields) -> Result<Self, ValidationError> {
        let mut reader = Reader::new(draft);
        let task = RawTask::read(&mut reader);
        task.cross_check(&mut reader);
        task.build(reader.finish())
    }

    /// Returns the id that the caller chose.
    pub fn id(&self) -> Option<TaskId> {
        self.id
    }

    /// Returns the name.
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// Returns the kind, which selects the handler.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns the input.
    pub fn input(&self) -> Option<&Json> {
        self.input.as_ref()
    }

    /// Returns the number of retries.
    pub fn max_retries(&self) -> MaxRetries {
        self.max_retries
    }

    /// Returns the delay before a retry.
    pub fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// Returns the time limit of an attempt, in milliseconds; `None` for no limit.
    pub fn timeout_ms(&self) -> Option<u32> {
        self.timeout_ms
    }

    /// Returns the priority. Within a run, higher priorities are claimed first.
    pub fn priority(&self) -> i16 {
        self.priority
    }

    /// Returns the earliest start.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due_at
    }

    /// Returns the initial counts of its children; `None` on a leaf.
    pub fn child_counts(&self) -> Option<ChildCounts> {
        self.child_counts
    }

    /// Returns how failures of its children count.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Returns the join that runs after its children.
    pub fn join(&self) -> Option<&NewJoin> {
        self.join.as_ref()
    }

    /// Returns the largest number of ids that its submission needs: its own, and that of its join.
    pub fn ids_needed(&self) -> u32 {
        1 + u32::from(self.join.is_some())
    }
}

/// The members of a task that are valid on their own; invalid ones are missing.
struct RawTask {
    name: Option<TaskName>,
    id: Option<TaskId>,
    kind: Option<Kind>,
    input: Option<Json>,
    limits: AttemptLimits,
    priority: Option<i16>,
    due_at: Option<Timestamp>,
    open: bool,
    policy: Option<Policy>,
    join: Option<NewJoin>,
    fanout: Option<Fanout>,
}

impl RawTask {
    fn read(reader: &mut Reader<'_>) -> Self {
        let name = reader.text("name", TaskName::parse_root_member);
        reader.require("name", name.as_ref());
        let id = reader.text("id", TaskId::parse_member);
        let kind = reader.text("kind", Kind::parse_member);
        let input = reader.json("input");
        let limits = reader.attempt_limits();
        let priority = reader.integer("priority", i64::from(i16::MIN)..=i64::from(i16::MAX));
        let priority = priority.and_then(|n| i16::try_from(n).ok());
        let due_at = reader.text("due_at", Timestamp::parse_member);
        let (open, policy, join) = (reader.open(), reader.policy(), NewJoin::read(reader));
        let fanout = input.as_ref().and_then(|input| read_fanout(input, reader));
        Self { name, id, kind, input, limits, priority, due_at, open, policy, join, fanout }
    }

    fn cross_check(&self, reader: &mut Reader<'_>) {
        let mut conflict = |key, message| reader.issue(key, Issue::new(IssueCode::Conflict, message));
        if self.open && self.fanout.is_some() {
            conflict("open", "an open fan-out gets its children by append, not from `input.fanout`");
        }
        if self.open && self.due_at.is_some() {
            conflict("due_at", "an open fan-out starts with its first append: delay the appends instead");
        }
        for (key, is_given) in [("policy", self.policy.is_some()), ("join", self.join.is_some())] {
            // A task whose `fanout` is invalid is not a leaf by intention.
            if is_given && !self.open && self.fanout.is_none() && !reader.has_issues() {
                let message = "applies to children: give the task a fan-out, or make it `open`";
                reader.issue(key, Issue::new(IssueCode::Conflict, message));
            }
        }
    }

    /// Applies the defaults.
    fn build(self, issues: Vec<Issue>) -> Result<NewTask, ValidationError> {
        let (Some(name), true) = (self.name, issues.is_empty()) else {
            return Err(ValidationError::of(issues));
        };
        let kind = match self.kind {
            Some(kind) => kind,
            None => Kind::from_str(name.as_str())?,
        };
        let child_counts = match (self.open, self.fanout) {
            (true, _) => Some(ChildCounts::open()),
            (false, fanout) => fanout.map(|fanout| ChildCounts::sealed(fanout.total())),
        };
        let AttemptLimits { max_retries, backoff, timeout_ms } = self.limits;
        Ok(NewTask {
            id: self.id,
            name,
            kind,
            input: self.input,
            max_retries,
            backoff,
            timeout_ms,
            priority: self.priority.unwrap_or(0),
            due_at: self.due_at,
            child_counts,
            policy: self.policy.unwrap_or_default(),
            join: self.join,
        })
    }
}

fn read_fanout(input: &Json, reader: &mut Reader<'_>) -> Option<Fanout> {
    Fanout::of(input).unwrap_or_else(|invalid| {
        reader.issues_at("input", invalid.into_issues());
        None
    })
}
