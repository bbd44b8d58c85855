//! The views `runs`, `tasks` and `events`, which show our tables as the tables of the TypeScript version.
//!
//! Opening a standalone file creates them. They are not part of the migrations, because in a database of the caller these
//! names belong to the caller. Any program with SQLite 3.40 or later can read them: they call no function of ours.
//!
//! A view reads its rows from a subquery with cheap columns, and computes the others outside of it. So the columns that a
//! query does not ask for cost nothing, and a condition on `run_id` reaches each part of the subquery. CROSS JOIN keeps the
//! order of the tables: from the run to its blocks, to the keys of a block.

use rusqlite::{Connection, TransactionBehavior};

/// The name of a view, and the statement that creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) name: &'static str,
    sql: &'static str,
}

impl View {
    /// The statement as SQLite keeps it: without the comments in front of it and the semicolon.
    pub(super) fn statement(&self) -> &'static str {
        let begin = self.sql.find("CREATE VIEW").unwrap_or(0);
        self.sql[begin..].trim_end().trim_end_matches(';')
    }
}

/// All views of this program.
pub(super) static ALL: [View; 3] = [
    View { name: "runs", sql: include_str!("views/runs.sql") },
    View { name: "tasks", sql: include_str!("views/tasks.sql") },
    View { name: "events", sql: include_str!("views/events.sql") },
];

/// Creates these views, or replaces them, in one transaction.
pub(super) fn create(connection: &mut Connection, views: &[View]) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for view in views {
        tx.execute_batch(&format!("DROP VIEW IF EXISTS {}; {}", view.name, view.statement()))?;
    }
    tx.commit()
}
