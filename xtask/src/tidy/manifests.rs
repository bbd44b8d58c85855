//! Conventions of the manifests: common keys come from the workspace, and each of its dependencies is used.

use crate::tidy::files::{File, Files};

/// The keys that every crate takes from the workspace: section and key.
const INHERITED: [(&str, &str); 4] = [
    ("package", "edition.workspace"),
    ("package", "rust-version.workspace"),
    ("package", "license.workspace"),
    ("lints", "workspace"),
];

/// The package that uses the project as a user does: its manifest, and the only crate of the workspace that it may name.
const FACADE: (&str, &str) = ("crates/conductor-demo/Cargo.toml", "origin-conductor");

/// One `key = value` of a manifest, on one line.
struct Entry<'a> {
    section: &'a str,
    key: &'a str,
    value: &'a str,
}

/// Checks every manifest, and the workspace's dependencies against all of them.
pub(crate) fn check(files: &Files) -> Vec<String> {
    let (workspace, crates): (Vec<&File>, Vec<&File>) =
        files.iter().filter(|file| is_manifest(&file.path)).partition(|file| file.path == "Cargo.toml");
    let mut complaints: Vec<String> = crates.iter().flat_map(|file| inherited(file)).collect();
    let used: Vec<&str> = crates.iter().flat_map(|file| dependencies(&file.text)).collect();
    complaints
        .extend(crates.iter().filter(|file| file.path == FACADE.0).flat_map(|file| past_the_facade(file)));
    complaints.extend(workspace.iter().flat_map(|file| unused(&file.text, &used)));
    complaints
}

fn is_manifest(path: &str) -> bool {
    path == "Cargo.toml" || path.ends_with("/Cargo.toml")
}

/// Returns a complaint about each key that a crate does not take from the workspace.
fn inherited(File { path, text }: &File) -> Vec<String> {
    let entries = entries(text);
    let lacks = |(section, key): &&(&str, &str)| {
        !entries.iter().any(|entry| entry.section == *section && entry.key == *key && entry.value == "true")
    };
    let complaint =
        |(section, key): &(&str, &str)| format!("{path} lacks `{key} = true` in [{section}]: add it.");
    INHERITED.iter().filter(lacks).map(complaint).collect()
}

/// Returns a complaint about each crate of the workspace that the package uses directly, besides the facade.
fn past_the_facade(File { path, text }: &File) -> Vec<String> {
    let direct = dependencies(text).into_iter().filter(|name| name.starts_with("conductor-"));
    direct.map(|name| format!("{path}: use {} instead of {name}, as a user does.", FACADE.1)).collect()
}

/// Returns a complaint about each dependency of the workspace that no crate uses.
fn unused(workspace: &str, used: &[&str]) -> Vec<String> {
    let names = entries(workspace).into_iter().filter(|entry| entry.section == "workspace.dependencies");
    let unused = names.map(|entry| entry.key).filter(|name| !used.contains(name));
    unused
        .map(|name| format!("Cargo.toml: no crate uses `{name}`: remove it from [workspace.dependencies]."))
        .collect()
}

/// Returns the dependencies that a crate takes from the workspace.
fn dependencies<'m>(manifest: &'m str) -> Vec<&'m str> {
    let taken = |Entry { section, key, value }: Entry<'m>| {
        let from_workspace = key.strip_suffix(".workspace");
        let name = from_workspace.or_else(|| value.contains("workspace = true").then_some(key));
        name.filter(|_| section.ends_with("dependencies"))
    };
    entries(manifest).into_iter().filter_map(taken).collect()
}

/// Reads the entries of a manifest with one `key = value` on each line.
fn entries(manifest: &str) -> Vec<Entry<'_>> {
    let mut section = "";
    let mut entries = Vec::new();
    for line in manifest.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim_matches(['[', ']']);
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push(Entry { section, key: key.trim(), value: value.trim() });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRATE: &str = "[package]\nname = \"a\"\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\n\n[dependencies]\nserde.workspace = true\n\
        rusqlite = { workspace = true, optional = true }\n\n[target.'cfg(unix)'.dev-dependencies]\n\
        tempfile.workspace = true\n\n[lints]\nworkspace = true\n";

    #[test]
    fn crate_that_inherits_every_key_is_accepted() {
        assert!(check(&Files::from([("crates/a/Cargo.toml", CRATE)])).is_empty());
    }

    #[test]
    fn each_key_that_is_not_inherited_is_reported() {
        for (section, key) in INHERITED {
            let manifest = CRATE.replacen(&format!("\n{key} = true"), "", 1);
            let complaints = check(&Files::from([("crates/a/Cargo.toml", &*manifest)]));
            assert_eq!(complaints.len(), 1, "{section} {key}: {complaints:?}");
            assert!(complaints[0].contains(&format!("`{key} = true` in [{section}]")), "{complaints:?}");
        }
        assert_eq!(check(&Files::from([("xtask/Cargo.toml", "[package]\nedition = \"2024\"\n")])).len(), 4);
    }

    #[test]
    fn demo_without_the_facade_is_reported() {
        let manifest = format!("{CRATE}\n[dev-dependencies]\nconductor-store.workspace = true\n");
        let complaints = check(&Files::from([(FACADE.0, &*manifest)]));
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains("instead of conductor-store"), "{complaints:?}");
        let manifest = format!("{CRATE}\n[dev-dependencies]\norigin-conductor.workspace = true\n");
        assert!(check(&Files::from([(FACADE.0, &*manifest)])).is_empty());
    }

    #[test]
    fn unused_workspace_dependency_is_reported() {
        let workspace = "[workspace.dependencies]\n# serde = for JSON\nserde = \"1\"\nrusqlite = { version = \"0.41\" }\n\
            tempfile = \"3\"\nrand = \"0.10\"\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
        let complaints = check(&Files::from([("Cargo.toml", workspace), ("crates/a/Cargo.toml", CRATE)]));
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains("no crate uses `rand`"), "{complaints:?}");
    }
}
