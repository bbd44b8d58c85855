//! The tables of the TypeScript version.

use rusqlite::Connection;

/// Its tables.
pub(crate) const LEGACY: [&str; 3] = ["runs", "tasks", "events"];
/// The same tables, after they were renamed to make room for ours.
pub(crate) const RENAMED: [&str; 3] =
    ["conductor_original_runs", "conductor_original_tasks", "conductor_original_events"];
/// Tables of migration tools, which stay in the file.
pub(crate) const MIGRATION_TABLES: [&str; 3] = ["migrations", "_migrations", "schema_migrations"];

/// The columns of each table. The columns of the third migration may be missing.
const COLUMNS: [&[&str]; 3] = [
    &["id", "created_at", "updated_at", "state", "meta"],
    &["id", "run_id", "parent_task_id", "name", "state", "created_at", "updated_at", "input", "output"],
    &["id", "run_id", "task_id", "name", "at", "payload"],
];
const RETRY_COLUMNS: [(&str, &str); 3] = [("retry_count", "0"), ("max_retries", "3"), ("last_error", "NULL")];

/// Columns that are missing, or that the TypeScript version does not have: `tasks.owner`.
pub(crate) fn other_columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut others = Vec::new();
    for (table, expected) in LEGACY.into_iter().zip(COLUMNS) {
        let found = columns(connection, table)?;
        let missing = expected.iter().filter(|name| !found.iter().any(|column| column == *name));
        others.extend(missing.map(|name| format!("{table} without {name}")));
        let may_exist =
            |name: &str| table == "tasks" && RETRY_COLUMNS.iter().any(|(retry, _)| *retry == name);
        let unknown = found.iter().filter(|name| !expected.contains(&name.as_str()) && !may_exist(name));
        others.extend(unknown.map(|name| format!("{table}.{name}")));
    }
    Ok(others)
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}

/// Selects all columns of a task, with the defaults of the columns that may be missing.
pub(super) fn tasks_sql(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let found = columns(connection, table)?;
    let retry_columns = RETRY_COLUMNS.map(|(name, default)| {
        if found.iter().any(|column| column == name) { name.into() } else { format!("{default} AS {name}") }
    });
    let retry_columns = retry_columns.join(", ");
    Ok(format!(
        "SELECT id, run_id, parent_task_id, name, state, created_at, updated_at, input, output, {retry_columns} \
         FROM {table} ORDER BY upper(id)"
    ))
}
