//! The environment of a scenario: a database file, the environment of the library, and an output.

use crate::{failure::Failure, interrupt::Interrupt, output::Output, tree};
use origin_conductor::store::Query;
use origin_conductor::{Environment, RunId, SqliteStore};
use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

/// The surroundings of a scenario.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// The database file.
    pub(crate) database: PathBuf,
    /// The folder whose words scenario 9 counts.
    pub(crate) input: PathBuf,
    /// Whether to continue the word count in the database.
    pub(crate) resume: bool,
    /// The output.
    pub(crate) output: Output,
    /// The Ctrl-C handler, which stops an engine.
    pub(crate) interrupt: Interrupt,
}

impl Fixture {
    /// Opens the database with an environment, as another process would.
    pub(crate) fn open(&self) -> Result<(SqliteStore, Environment), Failure> {
        open(&self.database)
    }

    /// Opens the database for an engine, which has an environment of its own.
    pub(crate) fn store(&self) -> Result<SqliteStore, Failure> {
        Ok(self.open()?.0)
    }

    /// Prints an indented line.
    pub(crate) fn say(&self, text: impl Display) {
        self.output.line(format_args!("   {text}"));
    }

    /// Prints an empty line.
    pub(crate) fn gap(&self) {
        self.output.line("");
    }

    /// Prints the tree of a run and its tasks.
    pub(crate) fn show(&self, store: &(impl Query + ?Sized), run: RunId) -> Result<(), Failure> {
        let lines = tree::of(store, run)?;
        for line in tree::painted(&lines, &self.output) {
            self.say(line);
        }
        Ok(())
    }
}

/// Opens a database. The error names the path.
pub(crate) fn open(database: &Path) -> Result<(SqliteStore, Environment), Failure> {
    let store = SqliteStore::open(database)
        .map_err(|error| Failure::from(error).during(format_args!("{}", database.display())))?;
    Ok((store, Environment::system()))
}
