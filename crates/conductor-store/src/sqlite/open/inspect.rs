//! Finds out what a file is and which setup step it needs. Nothing is written.

use super::OpenError;
use super::import::tables::{LEGACY, MIGRATION_TABLES, RENAMED, other_columns};
use super::layout::has_layout;
use super::migrations::{self, History};
use super::schema::Schema;
use super::views::{self, View};
use rusqlite::{Connection, Transaction};
use std::path::Path;

/// The next setup step of a file.
///
/// Opening repeats: inspect, execute the step, inspect again. So after a crash, the next open continues with the same step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SetupStep {
    /// Rename the tables of the TypeScript version.
    Rename,
    /// Set incremental vacuum and a write-ahead log.
    SetLayout,
    /// Run the missing migrations.
    Migrate,
    /// Copy the rows of the TypeScript version.
    CopyRows,
    /// Create these views, which are missing or of another version.
    CreateViews(Vec<View>),
    /// The file is ready.
    Done,
}

/// Returns the next setup step of a file, or why the file is rejected.
///
/// It takes a transaction, so that its queries and the later ones of the caller see one state of the file.
pub(super) fn inspect(path: &Path, snapshot: &Transaction<'_>) -> Result<SetupStep, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let schema = Schema::read(snapshot).map_err(sqlite)?;
    if schema.is_embedded() {
        return Err(OpenError::EmbeddedDatabase { path: path.into() });
    }
    if schema.has_table(migrations::TABLE) {
        return standalone(path, snapshot, &schema);
    }
    if RENAMED.iter().any(|name| schema.has_table(name)) {
        return interrupted_import(path, snapshot, &schema);
    }
    if schema.has_tables(LEGACY) {
        return legacy(path, snapshot, &schema);
    }
    if schema.has_table("conductor_runs") {
        let what = format!("its table `{}` is missing", migrations::TABLE);
        return Err(OpenError::Corrupt { path: path.into(), what });
    }
    let found = schema.others(&[]);
    if found.is_empty() { layout_or_migrate(path, snapshot) } else { Err(foreign(path, found)) }
}

fn foreign(path: &Path, found: Vec<String>) -> OpenError {
    OpenError::ForeignDatabase { path: path.into(), found }
}

/// A file with a migration history of ours.
fn standalone(path: &Path, connection: &Connection, schema: &Schema) -> Result<SetupStep, OpenError> {
    let applied = applied_migrations(path, connection, schema)?;
    let views = &views::ALL;
    if let Some(used) = views.iter().find(|view| schema.has_table(view.name)) {
        let what = format!("a table has the name of the view `{}`", used.name);
        return Err(OpenError::Corrupt { path: path.into(), what });
    }
    if !has_layout(connection).map_err(|error| OpenError::of_sqlite(path, error))? {
        return Ok(SetupStep::SetLayout);
    }
    if applied < migrations::count() {
        return Ok(SetupStep::Migrate);
    }
    if schema.has_tables(RENAMED) {
        return Ok(SetupStep::CopyRows);
    }
    let is_stale = |view: &&View| schema.sql(view.name) != Some(view.statement());
    let stale: Vec<_> = views.iter().filter(is_stale).cloned().collect();
    Ok(if stale.is_empty() { SetupStep::Done } else { SetupStep::CreateViews(stale) })
}

/// Returns how many migrations a file has, by its history. The tables of these migrations must exist.
pub(super) fn applied_migrations(
    path: &Path,
    connection: &Connection,
    schema: &Schema,
) -> Result<usize, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let corrupt = |what| Err(OpenError::Corrupt { path: path.into(), what });
    let applied = match migrations::read(connection).map_err(sqlite)? {
        History::Applied(applied) => applied,
        History::Newer { found, known } => {
            return Err(OpenError::SchemaTooNew { path: path.into(), found, known });
        }
        History::Divergent(what) => return Err(OpenError::MigrationMismatch { path: path.into(), what }),
    };
    if applied == 0 && schema.has_table("conductor_runs") {
        return corrupt(format!("its table `{}` is empty", migrations::TABLE));
    }
    let expected = migrations::objects_after(applied).map_err(sqlite)?;
    match expected.iter().find(|name| !schema.contains(name)) {
        Some(missing) => corrupt(format!("`{missing}` is missing")),
        None => Ok(applied),
    }
}

/// A file whose import was interrupted before it had tables of ours.
fn interrupted_import(path: &Path, connection: &Connection, schema: &Schema) -> Result<SetupStep, OpenError> {
    let found = schema.others(&[RENAMED.as_slice(), &MIGRATION_TABLES].concat());
    if found.is_empty() && schema.has_tables(RENAMED) {
        return layout_or_migrate(path, connection);
    }
    let what =
        format!("its import was interrupted, and another program has changed its tables since ({found:?})");
    Err(OpenError::Corrupt { path: path.into(), what })
}

/// A file with the three tables of the TypeScript version. It is rejected if an import would lose something.
fn legacy(path: &Path, connection: &Connection, schema: &Schema) -> Result<SetupStep, OpenError> {
    let mut found = schema.others(&[LEGACY.as_slice(), &MIGRATION_TABLES].concat());
    found.extend(other_columns(connection).map_err(|error| OpenError::of_sqlite(path, error))?);
    if found.is_empty() { Ok(SetupStep::Rename) } else { Err(foreign(path, found)) }
}

fn layout_or_migrate(path: &Path, connection: &Connection) -> Result<SetupStep, OpenError> {
    let has_layout = has_layout(connection).map_err(|error| OpenError::of_sqlite(path, error))?;
    Ok(if has_layout { SetupStep::Migrate } else { SetupStep::SetLayout })
}
