//! Reads the rows of the TypeScript version, and plans how they continue.

use super::read;
use crate::ops::import::{ImportPlan, Problems};
use crate::sqlite::open::error::OpenError;
use rusqlite::Connection;
use std::path::Path;

/// Plans the import of these tables.
pub(super) fn plan(path: &Path, connection: &Connection, tables: [&str; 3]) -> Result<ImportPlan, OpenError> {
    let mut problems = Problems::default();
    let rows =
        read::read(connection, tables, &mut problems).map_err(|error| OpenError::of_sqlite(path, error))?;
    let plan = ImportPlan::new(rows, &mut problems);
    if problems.is_empty() {
        return Ok(plan);
    }
    let Problems { shown, more } = problems;
    Err(OpenError::LegacyDataInvalid { path: path.into(), problems: shown, more })
}
