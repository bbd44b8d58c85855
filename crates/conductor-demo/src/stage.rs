//! The stage that every scenario stands on: a database file, the library's view of time and chance, a screen.

use crate::{failure::Failure, interrupt::Interrupt, screen::Screen, tree};
use conductor_model::RunId;
use conductor_store::{Environment, Query, SqliteStore};
use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

/// What a scenario is given.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The database file.
    pub(crate) database: PathBuf,
    /// The folder whose words are counted.
    pub(crate) input: PathBuf,
    /// Whether to go on with the counting that is in the database.
    pub(crate) resume: bool,
    /// Where to print.
    pub(crate) screen: Screen,
    /// What stops an engine before its work is done.
    pub(crate) interrupt: Interrupt,
}

impl Stage {
    /// Opens the database, as a process of its own would.
    pub(crate) fn open(&self) -> Result<(SqliteStore, Environment), Failure> {
        open(&self.database)
    }

    /// The same for whoever leaves time and chance to an engine.
    pub(crate) fn store(&self) -> Result<SqliteStore, Failure> {
        Ok(self.open()?.0)
    }

    /// Says something in the course of a scenario.
    pub(crate) fn say(&self, text: impl Display) {
        self.screen.line(format_args!("   {text}"));
    }

    /// Leaves a line free.
    pub(crate) fn gap(&self) {
        self.screen.line("");
    }

    /// Shows a run and its tasks.
    pub(crate) fn show(&self, store: &(impl Query + ?Sized), run: RunId) -> Result<(), Failure> {
        let lines = tree::of(store, run)?;
        for line in tree::painted(&lines, &self.screen) {
            self.say(line);
        }
        Ok(())
    }
}

/// Opens a database, and says which one it is that cannot be opened.
pub(crate) fn open(database: &Path) -> Result<(SqliteStore, Environment), Failure> {
    let store = SqliteStore::open(database)
        .map_err(|error| Failure::from(error).during(format_args!("{}", database.display())))?;
    Ok((store, Environment::system()))
}
