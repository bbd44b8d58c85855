//! Whether something above a task is marked, so that nothing below it may begin.

use super::damage::readable;
use super::ledger::Place;
use super::sql::Sql;
use super::write::Write;
use crate::StoreError;
use std::collections::HashMap;

/// What is known of the marks of parents and runs: each is read once.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// By parent: whether it, or anything above it, is marked.
    parents: HashMap<i64, bool>,
    /// How many marks the transaction had set when that was found out.
    set: u32,
}

impl Marks {
    /// Whether something above this place is marked.
    pub(super) fn is_doomed(&mut self, write: &mut Write<'_>, place: Place) -> Result<bool, StoreError> {
        let (tx, ledger, _) = write.parts();
        if ledger.marks != self.set {
            // What was below no mark may be below one now.
            self.parents.retain(|_, is_doomed| *is_doomed);
            self.set = ledger.marks;
        }
        let (mut parent, mut climbed) = (place.parent, Vec::new());
        let is_doomed = loop {
            if parent == 0 {
                // What cannot be read is not marked.
                let run = readable(ledger.run(tx, place.run))?;
                break run.is_some_and(|run| run.head.standing.cancel_cause.is_some());
            }
            if let Some(known) = self.parents.get(&parent) {
                break *known;
            }
            climbed.push(parent);
            let row = tx.first(SELECT_MARK, [parent], |row| Ok((row.get(0)?, row.get::<_, bool>(1)?)))?;
            // Whose parent is gone is below nothing that could be marked.
            let (above, stored) = row.unwrap_or((0, false));
            if ledger.is_marked(parent).unwrap_or(stored) {
                break true;
            }
            parent = above;
        };
        self.parents.extend(climbed.into_iter().map(|parent| (parent, is_doomed)));
        Ok(is_doomed)
    }
}

const SELECT_MARK: &str = "SELECT parent, mark IS NOT NULL FROM conductor_tasks WHERE key = ?1";
