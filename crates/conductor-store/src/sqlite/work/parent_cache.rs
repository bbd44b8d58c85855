//! Parents and runs of one transaction: each is read once, and written once, if it changed.

use crate::backend::{
    CorruptParent, CountChange, Counted, ParentKey, ParentRow, ParentWrite, ReadParent, RunKey, TaskKey,
};
use crate::sqlite::connection::sql::Result;
use crate::sqlite::rows::parents;
use conductor_model::Timestamp;
use rusqlite::Connection;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The rows of parents and runs, as they will be written.
#[derive(Debug, Default)]
pub(crate) struct ParentCache {
    runs: HashMap<RunKey, Cached>,
    tasks: HashMap<TaskKey, Cached>,
}

/// A row as it was read, and as it will be written.
#[derive(Debug)]
struct Cached {
    read: ParentRow,
    write: ParentWrite,
}

impl Cached {
    fn new(row: ParentRow) -> Self {
        let write = ParentWrite { row, is_corrupt: false, output: None, clears_output: false, error: None };
        Self { read: row, write }
    }

    fn is_changed(&self) -> bool {
        let ParentWrite { row, output, clears_output, error, .. } = &self.write;
        *row != self.read || output.is_some() || *clears_output || error.is_some()
    }

    /// Whether nothing changed but the counts: those of its children, and those of a run.
    fn has_new_counts_only(&self) -> bool {
        let ParentWrite { row, output, clears_output, error, .. } = &self.write;
        let mut counted = self.read;
        let total = counted.status.counts.total;
        (counted.status.counts, counted.state_counts) = (row.status.counts, row.state_counts);
        counted.status.counts.total = total;
        *row == counted && output.is_none() && !*clears_output && error.is_none()
    }
}

impl ParentCache {
    /// A run whose row was inserted in this transaction.
    pub(crate) fn insert_run(&mut self, row: ParentRow) {
        self.runs.insert(row.node.key.run, Cached::new(row));
    }

    /// A parent or a run that was read just now; or as it will be written.
    pub(crate) fn current(&mut self, row: ParentRow) -> ParentRow {
        let cached = match row.node.key.task {
            Some(task) => self.tasks.entry(task).or_insert_with(|| Cached::new(row)),
            None => self.runs.entry(row.node.key.run).or_insert_with(|| Cached::new(row)),
        };
        cached.write.row
    }

    /// Reads a parent or a run at its first use.
    pub(crate) fn load(&mut self, connection: &Connection, key: ParentKey) -> Result<ReadParent> {
        Ok(self.cached(connection, key)?.map(|cached| cached.write.row))
    }

    /// A parent, if this transaction knows it.
    pub(crate) fn task(&self, task: TaskKey) -> Option<&ParentRow> {
        self.tasks.get(&task).map(|cached| &cached.write.row)
    }

    fn cached(
        &mut self,
        connection: &Connection,
        key: ParentKey,
    ) -> Result<Result<&mut Cached, CorruptParent>> {
        Ok(match key.task {
            Some(task) => match self.tasks.entry(task) {
                Entry::Occupied(known) => Ok(known.into_mut()),
                Entry::Vacant(unknown) => {
                    parents::parent(connection, key)?.map(|row| unknown.insert(Cached::new(row)))
                }
            },
            None => match self.runs.entry(key.run) {
                Entry::Occupied(known) => Ok(known.into_mut()),
                Entry::Vacant(unknown) => {
                    parents::run(connection, key.run)?.map(|row| unknown.insert(Cached::new(row)))
                }
            },
        })
    }

    /// Takes a write of a row without its counts.
    pub(crate) fn write(&mut self, connection: &Connection, write: &ParentWrite) -> Result<()> {
        let Ok(cached) = self.cached(connection, write.row.node.key)? else { return Ok(()) };
        let (mut row, present) = (write.row, &mut cached.write);
        let total = row.status.counts.total;
        (row.status.counts, row.state_counts) = (present.row.status.counts, present.row.state_counts);
        row.status.counts.total = total;
        present.row = row;
        if write.clears_output {
            (present.clears_output, present.output) = (true, None);
        }
        if write.output.is_some() {
            present.output.clone_from(&write.output);
        }
        if write.error.is_some() {
            present.error.clone_from(&write.error);
        }
        Ok(())
    }

    /// Adds changes to the counts.
    pub(crate) fn count(&mut self, connection: &Connection, changes: &[CountChange]) -> Result<Counted> {
        let (mut parents, mut corrupt_runs) = (Vec::new(), Vec::new());
        for CountChange { parent, delta } in changes {
            match self.cached(connection, ParentKey::run(parent.run))? {
                Ok(run) => run.write.row.state_counts.add(delta),
                Err(corrupt) => corrupt_runs.push(corrupt),
            }
            if delta.children == [0; 4] {
                continue;
            }
            let row = self.cached(connection, *parent)?;
            parents.push(row.map(|cached| {
                cached.write.row.status.counts.add(delta);
                cached.write.row
            }));
        }
        Ok(Counted::Now { parents, corrupt_runs })
    }

    /// Writes the rows that changed, in the order of their keys, so that the same work writes the same pages.
    pub(crate) fn flush(&mut self, connection: &Connection, now: Timestamp) -> Result<()> {
        let tasks = self.tasks.values_mut();
        let mut changed: Vec<&mut Cached> =
            tasks.chain(self.runs.values_mut()).filter(|cached| cached.is_changed()).collect();
        // Parents before runs.
        changed.sort_unstable_by_key(|cached| {
            let key = cached.read.node.key;
            (key.task.is_none(), key)
        });
        for cached in changed {
            if cached.has_new_counts_only() {
                parents::write_counts(connection, &cached.write.row, now)?;
            } else {
                parents::write(connection, &cached.write, now)?;
            }
            *cached = Cached::new(cached.write.row);
        }
        Ok(())
    }
}
