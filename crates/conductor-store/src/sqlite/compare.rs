//! What rows say, beside what the events say.

use super::audit::Audit;
use super::rows::{self, joining_code, mark_code, policy_text, state_code};
use super::sql::{Sql, id_blob};
use crate::{DivergenceKind, StoreError};
use conductor_model::{ChildCounts, JoinStatus, ParentStatus, RunReplayTask, State, TaskId, Timestamp};
use rusqlite::{Connection, Row};

/// A row that diverges: in what, what it says, and what follows from the events.
pub(super) type Difference = (DivergenceKind, String, String);

/// A task's row, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) key: i64,
    /// `None` if it is none.
    pub(super) id: Option<TaskId>,
    pub(super) place: (i64, i64),
    pub(super) state: i64,
    pub(super) due_at: Option<i64>,
    pub(super) attempt: i64,
    pub(super) retry_count: i64,
    pub(super) lease_until: Option<i64>,
    pub(super) holder: Option<i64>,
    pub(super) head: StoredHead,
}

/// What a row says of a parent, or of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredHead {
    pub(super) sealed: Option<bool>,
    /// Fanout, children, open, failed, cancelled.
    pub(super) numbers: [Option<i64>; 5],
    pub(super) policy: Option<String>,
    pub(super) mark: Option<i64>,
    pub(super) joining: Option<bool>,
}

impl StoredHead {
    /// Nine columns: sealed, fanout, children, open, failed, cancelled, policy, mark, joining.
    fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let mut numbers = [None; 5];
        for (nth, number) in numbers.iter_mut().enumerate() {
            *number = row.get(column + 1 + nth)?;
        }
        Ok(Self {
            sealed: row.get(column)?,
            numbers,
            policy: rows::any_text(row, column + 6)?,
            mark: row.get(column + 7)?,
            joining: row.get(column + 8)?,
        })
    }

    /// What follows from the events; a leaf has no standing.
    pub(super) fn of(standing: Option<ParentStatus>) -> Result<Self, StoreError> {
        let Some(ParentStatus { counts: numbers, policy, cancel_cause: mark, join: joining }) = standing
        else {
            return Ok(Self { sealed: None, numbers: [None; 5], policy: None, mark: None, joining: None });
        };
        let ChildCounts { total, created: children, open, failed, cancelled } = numbers;
        let counted = [children, open, failed, cancelled].map(|number| Some(i64::from(number)));
        Ok(Self {
            sealed: Some(total.is_some()),
            numbers: [total.map(i64::from), counted[0], counted[1], counted[2], counted[3]],
            policy: policy_text(policy)?,
            mark: mark.map(mark_code),
            joining: joining_code(joining),
        })
    }

    fn differences(&self, told: &Self, found: &mut Vec<Difference>) {
        if self == told {
            return;
        }
        let mut differ = |what, differs: bool, show: &dyn Fn(&Self) -> String| {
            if differs {
                found.push((what, show(self), show(told)));
            }
        };
        let numbers = |head: &Self| (head.sealed, head.numbers);
        differ(DivergenceKind::ChildCounts, numbers(self) != numbers(told), &|head| head.numbers_in_words());
        differ(DivergenceKind::Policy, self.policy != told.policy, &|head| {
            head.policy.clone().unwrap_or_else(|| "the default".into())
        });
        differ(DivergenceKind::CancelCause, self.mark != told.mark, &|head| match head.mark {
            None => "no cancel cause".into(),
            Some(code) => match rows::mark_of(code) {
                Some(mark) => format!("{mark:?}"),
                None => format!("cancel cause {code}"),
            },
        });
        differ(DivergenceKind::JoinStatus, self.joining != told.joining, &|head| match head.joining {
            None => "no join".into(),
            Some(true) => "an open join".into(),
            Some(false) => "a join that is not open".into(),
        });
    }

    fn numbers_in_words(&self) -> String {
        let Some(sealed) = self.sealed else { return "a leaf".into() };
        let number = |nth: usize| self.numbers[nth].map_or_else(|| "?".into(), |number| number.to_string());
        let total = if sealed { number(0) } else { "open".into() };
        format!(
            "{} children of {total}, {} open, {} failed, {} cancelled",
            number(1),
            number(2),
            number(3),
            number(4)
        )
    }
}

impl Stored {
    /// How many columns [`Stored::read`] reads, from the first on.
    pub(super) const COLUMNS: &str = "key, id, parent, ordinal, state, due_at, attempt, retry_count, lease_until, holder, \
        sealed, fanout, children, open_children, failed_children, cancelled_children, policy, mark, joining, kind";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<(Self, i64)> {
        let stored = Self {
            key: row.get(0)?,
            id: rows::id(row, 1).ok().map(TaskId::from_u128),
            place: (row.get(2)?, row.get(3)?),
            state: row.get(4)?,
            due_at: row.get(5)?,
            attempt: row.get(6)?,
            retry_count: row.get(7)?,
            lease_until: row.get(8)?,
            holder: row.get(9)?,
            head: StoredHead::read(row, 10)?,
        };
        Ok((stored, row.get(19)?))
    }

    /// The differences between the row and the events of its task.
    pub(super) fn differences(
        &self,
        audit: &Audit,
        number: u32,
        told: &RunReplayTask,
    ) -> Result<Vec<Difference>, StoreError> {
        let mut found = Vec::new();
        let id = audit.keys.id_of(number);
        if self.id.is_none_or(|stored| id.is_some_and(|id| id != stored)) {
            let show = |id: Option<TaskId>, none: &str| id.map_or_else(|| none.into(), |id| id.to_string());
            found.push((DivergenceKind::Id, show(self.id, "no id"), show(id, "an id")));
        }
        let place = place(audit, told);
        if self.place != place {
            let show = |(parent, ordinal): (i64, i64)| match parent {
                0 => format!("root task {ordinal}"),
                parent => format!("child {ordinal} of the task with row key {parent}"),
            };
            found.push((DivergenceKind::Position, show(self.place), show(place)));
        }
        if self.state != state_code(told.state) {
            found.push((DivergenceKind::State, state_in_words(self.state), told.state.to_string()));
        }
        if let Some((stored, computed)) = self.due_difference(told) {
            found.push((DivergenceKind::DueAt, stored, computed));
        }
        let mut count = |what, stored: i64, computed: u32| {
            if stored != i64::from(computed) {
                found.push((what, stored.to_string(), computed.to_string()));
            }
        };
        count(DivergenceKind::RetryCount, self.retry_count, told.retry_count);
        let is_running_leaf = told.status.is_none() && told.state == State::Running;
        if told.status.is_none() {
            count(DivergenceKind::Attempt, self.attempt, told.attempt);
        }
        if !is_running_leaf && (self.lease_until.is_some() || self.holder.is_some()) {
            found.push((
                DivergenceKind::Lease,
                "a claim".into(),
                format!("no claim in state {}", told.state),
            ));
        }
        self.head.differences(&StoredHead::of(told.status)?, &mut found);
        Ok(found)
    }

    /// When the row must be looked at again, and when the events say so, if these differ.
    fn due_difference(&self, told: &RunReplayTask) -> Option<(String, String)> {
        let computed = told.due_at.map(Timestamp::as_millis);
        let agrees = match told.state {
            // A delayed start is no event.
            State::Pending if may_be_delayed(told) => true,
            // An adopted retry is due, and no event says when.
            State::Failed if told.retry_scheduled && computed.is_none() => self.due_at.is_some(),
            _ => self.due_at == computed,
        };
        let show = |due_at: Option<i64>| match due_at {
            None => "no due time".into(),
            Some(millis) => Timestamp::from_millis(millis)
                .map_or_else(|_| format!("{millis} ms"), |due_at| due_at.to_string()),
        };
        let some_time = told.retry_scheduled && computed.is_none();
        let computed = if some_time { "a due time".into() } else { show(computed) };
        (!agrees).then(|| (show(self.due_at), computed))
    }
}

/// Whether a task that is PENDING may have to wait for its time: a root task that was submitted so and never started. What
/// comes into being by itself, below a parent or as a join, begins at once.
pub(super) fn may_be_delayed(told: &RunReplayTask) -> bool {
    told.attempt == 0 && told.retry_count == 0 && told.parent.is_none() && told.index > 0
}

/// Where a task stands: the key of its parent (0 for a root task, -1 if it is unknown), and its ordinal.
pub(super) fn place(audit: &Audit, told: &RunReplayTask) -> (i64, i64) {
    let parent = told.parent.map_or(0, |parent| audit.keys.key_of(parent).unwrap_or(-1));
    (parent, i64::from(told.index))
}

fn state_in_words(code: i64) -> String {
    let known = usize::try_from(code).ok().and_then(|code| State::ALL.get(code));
    known.map_or_else(|| format!("state {code}"), ToString::to_string)
}

/// The differences between the row of a run and its events; `None` if one of the two is missing.
pub(super) fn run_differences(
    connection: &Connection,
    audit: &Audit,
) -> Result<Option<Vec<Difference>>, StoreError> {
    let stored = connection.first(SELECT_RUN, [audit.run], |row| {
        let tally = [row.get(10)?, row.get(11)?, row.get(12)?, row.get(13)?, row.get(14)?];
        Ok((row.get::<_, i64>(0)?, StoredHead::read(row, 1)?, tally))
    })?;
    let Some((state, head, tally)) = stored else { return Ok(None) };
    let Some(run) = audit.told.run() else { return Ok(None) };
    let mut found = Vec::new();
    if state != state_code(run.state) {
        found.push((DivergenceKind::State, state_in_words(state), run.state.to_string()));
    }
    head.differences(&StoredHead::of(Some(run.status))?, &mut found);
    let told_tally = State::ALL.map(|state| run.state_counts.of(state).cast_signed());
    if tally != told_tally {
        found.push((DivergenceKind::StateCounts, tally_in_words(tally), tally_in_words(told_tally)));
    }
    Ok(Some(found))
}

/// How many tasks are in each state, in the order of the states.
fn tally_in_words(tally: [i64; 5]) -> String {
    let counts = tally.iter().zip(State::ALL).map(|(count, state)| format!("{count} {state}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// Whether a head has a join, so that a row says which.
pub(super) fn is_joined(standing: Option<ParentStatus>) -> bool {
    standing.is_some_and(|standing| standing.join != JoinStatus::None)
}

/// The row of a task by its key, in any run; with the key of that run.
pub(super) fn stored(connection: &Connection, key: i64) -> Result<Option<(Stored, i64)>, StoreError> {
    let sql = format!("SELECT {}, run FROM conductor_tasks WHERE key = ?1", Stored::COLUMNS);
    connection.first(&sql, [key], |row| Ok((Stored::read(row)?.0, row.get(20)?)))
}

/// Whether another row has that id.
pub(super) fn id_is_taken(connection: &Connection, id: TaskId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM conductor_tasks WHERE id = ?1";
    Ok(connection.first(sql, [id_blob(id.as_u128())], |_| Ok(()))?.is_some())
}

const SELECT_RUN: &str = "SELECT state, sealed, fanout, children, open_children, failed_children, cancelled_children, \
    policy, mark, joining, pending, running, succeeded, failed, cancelled FROM conductor_runs WHERE key = ?1";
