//! What a verification compares family by family: joins, sweeps, and decisions.

use super::audit::Audit;
use super::compare::is_joined;
use super::sql::Sql;
use super::verify::{Cure, Inspected};
use crate::{DivergenceKind, StoreError};
use conductor_model::{Decision, JoinStatus, ParentStatus, State, TaskId};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap, HashSet};

impl Inspected {
    /// Whether no leaf is open that the sweep of a marked family passed.
    pub(super) fn compare_sweeps(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let told = &self.audit.told;
        let is_swept =
            |state: State, standing: ParentStatus| standing.cancel_cause.is_some() && !state.is_terminal();
        let run_is_swept = told.run().is_some_and(|run| is_swept(run.state, run.status));
        let parent_is_swept = |number| {
            told.task(number)
                .is_some_and(|task| task.status.is_some_and(|standing| is_swept(task.state, standing)))
        };
        // By parent: the first leaf that is open.
        let mut open: BTreeMap<Option<u32>, u32> = BTreeMap::new();
        for task in (0..told.len()).filter_map(|number| told.task(number)) {
            let is_open = !task.state.is_terminal() || task.retry_scheduled;
            if is_open
                && task.status.is_none()
                && task.index > 0
                && task.parent.map_or(run_is_swept, parent_is_swept)
            {
                let first = open.entry(task.parent).or_insert(task.index);
                *first = task.index.min(*first);
            }
        }
        for (parent, first) in open {
            let (sql, key) = match parent {
                None => (SWEPT_OF_RUN, Some(self.audit.run)),
                Some(parent) => (SWEPT_OF_PARENT, self.audit.keys.key_of(parent)),
            };
            let Some(key) = key else { continue };
            let swept: Option<i64> = connection.first(sql, [key], |row| row.get(0))?.flatten();
            if let Some(swept) = swept.filter(|swept| *swept >= i64::from(first)) {
                let task = self.head_id(connection, parent)?;
                let cure = Cure::Sweep(if parent.is_some() { key } else { 0 });
                let said = format!("children swept up to index {swept}");
                self.note(
                    task,
                    cure,
                    (DivergenceKind::CancelCause, said, format!("child {first} still open")),
                );
            }
        }
        Ok(())
    }

    /// Whether a row says which join every head has that has one, of a kind that exists, and none else.
    pub(super) fn compare_joins(
        &mut self,
        connection: &Connection,
        kinds: &HashSet<i64>,
    ) -> Result<(), StoreError> {
        let noted = "SELECT task, kind FROM conductor_joins WHERE run = ?1";
        let noted: Vec<(i64, i64)> =
            connection.all(noted, [self.audit.run], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut noted: HashMap<i64, i64> = noted.into_iter().collect();
        for family in self.families() {
            let Some((_, standing)) = head(&self.audit, family) else { continue };
            if !is_joined(Some(standing)) {
                continue;
            }
            let key = family.map_or(Some(0), |number| self.audit.keys.key_of(number));
            let (why, said) = match key.and_then(|key| noted.remove(&key)) {
                Some(kind) if kinds.contains(&kind) => continue,
                Some(kind) => {
                    let said = (DivergenceKind::Kind, format!("the join kind {kind}"), "a known kind".into());
                    ("the kind of its join is stored only in this row", said)
                }
                None => {
                    let said = (DivergenceKind::JoinPlan, "no join plan".into(), "a join plan".into());
                    ("the join plan was stored only in the missing row", said)
                }
            };
            let task = self.head_id(connection, family)?;
            self.note(task, Cure::None(why), said);
        }
        for key in noted.into_keys() {
            let said = format!("a join plan of the task with row key {key}");
            self.note(None, Cure::Join(key), (DivergenceKind::JoinPlan, said, "no join plan".into()));
        }
        Ok(())
    }

    /// The run (`None`), and each task that may be a parent.
    fn families(&self) -> impl Iterator<Item = Option<u32>> + use<> {
        std::iter::once(None).chain((0..self.audit.told.len()).map(Some))
    }

    /// The id of a parent; none for the run.
    fn head_id(&self, connection: &Connection, family: Option<u32>) -> Result<Option<TaskId>, StoreError> {
        Ok(family.map(|parent| self.audit.task_id(connection, parent)).transpose()?.flatten())
    }

    /// Whether each family has ended whose join has: the end of a join decides its family in the same transaction.
    pub(super) fn compare_decisions(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for family in self.families() {
            let Some((_, end)) = undecided(&self.audit, family) else { continue };
            let task = self.head_id(connection, family)?;
            let said =
                (DivergenceKind::Events, "no decision after the end of its join".into(), end.to_string());
            self.note(task, Cure::Decide(family), said);
        }
        Ok(())
    }
}

/// How the join stands of a parent, or of the run, that its join should have decided, and the state in which that ends.
pub(super) fn undecided(audit: &Audit, family: Option<u32>) -> Option<(JoinStatus, State)> {
    let (state, standing) = head(audit, family)?;
    match standing.decide() {
        Decision::Settle(end) if matches!(standing.join, JoinStatus::Settled(_)) && !state.is_terminal() => {
            Some((standing.join, end))
        }
        _ => None,
    }
}

/// The state of a parent, or of the run, and what its decision depends on.
fn head(audit: &Audit, family: Option<u32>) -> Option<(State, ParentStatus)> {
    let Some(parent) = family else {
        return audit.told.run().map(|run| (run.state, run.status));
    };
    let parent = audit.told.task(parent)?;
    Some((parent.state, parent.status?))
}

const SWEPT_OF_RUN: &str = "SELECT swept FROM conductor_runs WHERE key = ?1";
const SWEPT_OF_PARENT: &str = "SELECT swept FROM conductor_tasks WHERE key = ?1";
