//! The published crates can be packed, and their packages are complete.
//!
//! Without network, cargo can resolve and pack the crates, but not publish them: `cargo publish --dry-run` asks the registry for
//! the versions that exist. The packed crates are not compiled either. From the second time on, cargo would compile the
//! store against the model that it unpacked the first time (seen with cargo 1.95).

use std::fs;

use crate::cargo::{self, Failure};

/// The published crates, in the order of publishing: each needs only crates before it.
const CRATES: [&str; 5] =
    ["conductor-model", "conductor-store", "conductor-conformance", "conductor-workers", "origin-conductor"];

/// The files that each package contains.
const REQUIRED: [&str; 5] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"];

/// The folders and files that a package may contain besides.
const ALLOWED: [&str; 7] =
    ["src/", "examples/", "migrations/", "build.rs", "Cargo.lock", "Cargo.toml.orig", ".cargo_vcs_info.json"];

/// Packs the crates together, because a crate resolves only beside those that it needs while they are not published.
pub(crate) fn run() -> Result<(), Failure> {
    cargo::at_root(["fetch", "--quiet"], vec![])?;
    let packages = CRATES.iter().flat_map(|name| ["--package".into(), name.into()]).collect();
    cargo::at_root(["package", "--offline", "--allow-dirty", "--no-verify"], packages)?;
    let migrations = migrations().map_err(Failure::Message)?;
    let mut complaints = Vec::new();
    for package in CRATES {
        let list = ["package", "--offline", "--allow-dirty", "--list", "--package", package];
        let packed = cargo::capture(list).map_err(Failure::Message)?;
        let mut required: Vec<&str> = REQUIRED.to_vec();
        if package == "conductor-store" {
            required.extend(migrations.iter().map(String::as_str));
        }
        complaints.extend(check(package, &packed, &required));
    }
    if complaints.is_empty() { Ok(()) } else { Err(Failure::Message(complaints.join("\nxtask: "))) }
}

/// Returns the paths of the store's migrations, as its package contains them.
fn migrations() -> Result<Vec<String>, String> {
    let folder = cargo::root().join("migrations/sqlite");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| format!("migrations/{}", entry.file_name().display())));
    paths.collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", folder.display()))
}

/// Returns a complaint about each file that a package lacks, and about each that it should not contain.
fn check(package: &str, packed: &str, required: &[&str]) -> Vec<String> {
    let lacks = required.iter().filter(|path| !packed.lines().any(|line| line == **path));
    let lacks = lacks.map(|path| {
        format!("the package {package} lacks {path}; add it to `include` in the manifest, and a link if it is outside")
    });
    let is_allowed =
        |path: &str| REQUIRED.contains(&path) || ALLOWED.iter().any(|start| path.starts_with(start));
    let others = packed.lines().filter(|path| !is_allowed(path));
    let others = others.map(|path| {
        format!("the package {package} contains {path}; exclude it with `include` in the manifest")
    });
    lacks.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKED: &str = "Cargo.lock\nCargo.toml\nCargo.toml.orig\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nbuild.rs\n\
        migrations/V1__lean.sql\nsrc/claim.rs\nsrc/lib.rs\n";

    #[test]
    fn complete_package_is_accepted() {
        let required = [&REQUIRED[..], &["migrations/V1__lean.sql"]].concat();
        assert_eq!(check("a", PACKED, &required), [""; 0]);
    }

    #[test]
    fn missing_file_is_reported() {
        for path in REQUIRED {
            let complaints = check("a", &PACKED.replace(&format!("{path}\n"), ""), &REQUIRED);
            assert_eq!(complaints.len(), 1, "{path}: {complaints:?}");
            assert!(complaints[0].contains(&format!("lacks {path};")), "{complaints:?}");
        }
        assert_eq!(check("a", PACKED, &["migrations/V2__views.sql"]).len(), 1);
    }

    #[test]
    fn other_file_is_reported() {
        for path in ["tests/crash.rs", "notes.md", "proptest-regressions/a.txt"] {
            let complaints = check("a", &format!("{PACKED}{path}\n"), &REQUIRED);
            assert_eq!(complaints.len(), 1, "{path}: {complaints:?}");
            assert!(complaints[0].contains(&format!("contains {path};")), "{complaints:?}");
        }
    }
}
