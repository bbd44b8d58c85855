//! The steps of validating a task: read the members, check them against each other, build the task.

use super::fanout::Fanout;
use super::join::NewJoin;
use super::new_task::NewTask;
use super::reader::{AttemptLimits, Reader};
use crate::id::TaskId;
use crate::issue::{Issue, IssueCode, ValidationError};
use crate::json::Json;
use crate::name::{Kind, TaskName};
use crate::state::{ChildCounts, Policy};
use crate::time::Timestamp;
use std::str::FromStr;

/// The members of a task that are valid on their own; invalid ones are missing.
pub(super) struct RawTask {
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
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
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

    pub(super) fn cross_check(&self, reader: &mut Reader<'_>) {
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
    pub(super) fn build(self, issues: Vec<Issue>) -> Result<NewTask, ValidationError> {
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
