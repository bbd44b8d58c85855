//! That the published crates can be published: each packs, and the store's package carries its migrations.

use std::fs;

use crate::cargo::{self, Failure};

/// Packs the crates that others depend on.
///
/// Offline, because everything is there after a fetch; together, because the store's package resolves only
/// beside the model's as long as neither is on crates.io. Not verified by a build: from the second time on,
/// cargo builds the store against the model that it unpacked the first time (seen with cargo 1.95).
pub(crate) fn run() -> Result<(), Failure> {
    cargo::at_root(["fetch", "--quiet"], vec![])?;
    cargo::at_root(
        [
            "package",
            "--offline",
            "--allow-dirty",
            "--no-verify",
            "--package",
            "conductor-model",
            "--package",
            "conductor-store",
        ],
        vec![],
    )?;
    let list = ["package", "--offline", "--allow-dirty", "--list", "--package", "conductor-store"];
    let packed = cargo::capture(list).map_err(Failure::Say)?;
    let missing = missing(&packed, &migrations().map_err(Failure::Say)?);
    if missing.is_empty() { Ok(()) } else { Err(Failure::Say(missing.join("\nxtask: "))) }
}

/// The names of the store's migrations in the repository.
fn migrations() -> Result<Vec<String>, String> {
    let folder = cargo::root().join("migrations/sqlite");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    names.collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", folder.display()))
}

/// A sentence for every migration that is not among the packed paths.
fn missing(packed: &str, migrations: &[String]) -> Vec<String> {
    let is_packed =
        |name: &&String| packed.lines().any(|path| path.rsplit('/').next() == Some(name.as_str()));
    let complaint = |name: &String| {
        format!(
            "`cargo package -p conductor-store` leaves out migrations/sqlite/{name}: let a folder inside the \
             crate lead to it, or the published crate will not build."
        )
    };
    migrations.iter().filter(|name| !is_packed(name)).map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_is_not_packed_is_named() {
        let migrations = ["V1__lean.sql".to_owned(), "V2__views.sql".to_owned()];
        let packed = "Cargo.toml\nmigrations/sqlite/V1__lean.sql\nsrc/lib.rs\n";
        let complaints = missing(packed, &migrations);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("migrations/sqlite/V2__views.sql"), "{}", complaints[0]);
        assert!(missing("migrations/V1__lean.sql\nsql/V2__views.sql", &migrations).is_empty());
    }
}
