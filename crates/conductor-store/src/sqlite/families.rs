//! What a verification compares family by family: joins, sweeps, and decisions.

use super::audit::Audit;
use super::compare::is_joined;
use super::sql::Sql;
use super::verify::{Cure, Inspected};
use crate::{Aspect, Fault};
use conductor_model::{Decision, Joining, Standing, State};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashSet};

impl Inspected {
    /// Whether no leaf is open that the sweep of a marked family passed.
    pub(super) fn compare_sweeps(&mut self, connection: &Connection) -> Result<(), Fault> {
        let told = &self.audit.told;
        let is_swept = |state: State, standing: Standing| standing.mark.is_some() && !state.is_terminal();
        let run_is_swept = told.run().is_some_and(|(state, standing, _)| is_swept(state, standing));
        let parent_is_swept = |number| {
            told.task(number)
                .is_some_and(|task| task.standing.is_some_and(|standing| is_swept(task.state, standing)))
        };
        // By parent: the first leaf that is open.
        let mut open: BTreeMap<Option<u32>, u32> = BTreeMap::new();
        for task in (0..told.len()).filter_map(|number| told.task(number)) {
            let is_open = !task.state.is_terminal() || task.retry_due;
            if is_open
                && task.standing.is_none()
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
                let task = parent.map(|parent| self.audit.task_id(connection, parent)).transpose()?.flatten();
                let cure = Cure::Sweep(if parent.is_some() { key } else { 0 });
                let said = format!("its children are swept up to {swept}");
                self.note(task, cure, (Aspect::Mark, said, format!("an open child {first}")));
            }
        }
        Ok(())
    }

    /// Whether a row says which join every head has that has one, and none else.
    pub(super) fn compare_joins(&mut self, connection: &Connection) -> Result<(), Fault> {
        let noted: Vec<i64> =
            connection
                .all("SELECT task FROM conductor_joins WHERE run = ?1", [self.audit.run], |row| row.get(0))?;
        let mut noted: HashSet<i64> = noted.into_iter().collect();
        let run = self.audit.told.run().map(|(_, standing, _)| standing);
        let run = (is_joined(run), Some(0), None);
        let parents = (0..self.audit.told.len()).filter_map(|number| {
            let task = self.audit.told.task(number)?;
            is_joined(task.standing).then(|| (true, self.audit.keys.key_of(number), Some(number)))
        });
        let missing: Vec<_> = std::iter::once(run)
            .chain(parents)
            .filter(|(joined, key, _)| *joined && !key.is_some_and(|key| noted.remove(&key)))
            .collect();
        for (_, _, number) in missing {
            let task = match number {
                Some(number) => self.audit.task_id(connection, number)?,
                None => None,
            };
            let why = Cure::None("what was to be run is noted nowhere else");
            self.note(task, why, (Aspect::Join, "nothing is noted of it".into(), "a join".into()));
        }
        for key in noted {
            let said = format!("one is noted for the task with row key {key}");
            self.note(None, Cure::Join(key), (Aspect::Join, said, "no join".into()));
        }
        Ok(())
    }

    /// Whether each family has ended whose join has: the end of a join decides its family in the same transaction.
    pub(super) fn compare_decisions(&mut self, connection: &Connection) -> Result<(), Fault> {
        let parents = (0..self.audit.told.len()).map(Some);
        for family in std::iter::once(None).chain(parents) {
            let Some((_, end)) = undecided(&self.audit, family) else { continue };
            let task = family.map(|parent| self.audit.task_id(connection, parent)).transpose()?.flatten();
            let said = (Aspect::Events, "no decision, though its join has ended".into(), end.to_string());
            self.note(task, Cure::Decide(family), said);
        }
        Ok(())
    }
}

/// How the join stands of a parent, or of the run, that its join should have decided, and the state in which that ends.
pub(super) fn undecided(audit: &Audit, family: Option<u32>) -> Option<(Joining, State)> {
    let (state, standing) = match family {
        None => audit.told.run().map(|(state, standing, _)| (state, standing))?,
        Some(parent) => {
            let parent = audit.told.task(parent)?;
            (parent.state, parent.standing?)
        }
    };
    match standing.decide() {
        Decision::Settle(end) if matches!(standing.joining, Joining::Ended(_)) && !state.is_terminal() => {
            Some((standing.joining, end))
        }
        _ => None,
    }
}

const SWEPT_OF_RUN: &str = "SELECT swept FROM conductor_runs WHERE key = ?1";
const SWEPT_OF_PARENT: &str = "SELECT swept FROM conductor_tasks WHERE key = ?1";
