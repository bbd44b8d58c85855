//! The dependencies between crates: model ← store ← {conformance, workers} ← origin-conductor ← demo, and no I/O in the model.

use std::collections::BTreeSet;

use crate::cargo;

/// The crates that one crate, built with certain features, may and may not use.
struct Rule {
    package: &'static str,
    features: &'static str,
    /// The crates of this workspace that it may use.
    allowed: &'static [&'static str],
    /// The crates of crates.io that it must not use, also not through others.
    refused: &'static [&'static str],
}

const ALL: &str = "--all-features";
const NONE: &str = "--no-default-features";
const SQLITE: [&str; 4] = ["rusqlite", "libsqlite3-sys", "refinery", "refinery-core"];

const RULES: [Rule; 8] = [
    Rule {
        package: "conductor-model",
        features: ALL,
        allowed: &[],
        refused: &[
            "rusqlite",
            "libsqlite3-sys",
            "refinery",
            "refinery-core",
            "tokio",
            "mio",
            "getrandom",
            "rand",
            "tempfile",
            "postgres",
        ],
    },
    Rule {
        package: "conductor-store",
        features: ALL,
        allowed: &["conductor-model"],
        refused: &["tokio", "mio"],
    },
    Rule { package: "conductor-store", features: NONE, allowed: &["conductor-model"], refused: &SQLITE },
    Rule {
        package: "conductor-conformance",
        features: ALL,
        allowed: &["conductor-model", "conductor-store"],
        refused: &SQLITE,
    },
    Rule {
        package: "conductor-workers",
        features: ALL,
        allowed: &["conductor-model", "conductor-store"],
        refused: &[],
    },
    Rule {
        package: "origin-conductor",
        features: ALL,
        allowed: &["conductor-model", "conductor-store", "conductor-workers"],
        refused: &[],
    },
    Rule {
        package: "origin-conductor",
        features: NONE,
        allowed: &["conductor-model", "conductor-store", "conductor-workers"],
        refused: &SQLITE,
    },
    Rule {
        package: "conductor-demo",
        features: ALL,
        allowed: &["conductor-model", "conductor-store", "conductor-workers", "origin-conductor"],
        refused: &[],
    },
];

/// Compares every rule with the output of `cargo tree`.
pub(super) fn check() -> Vec<String> {
    RULES.iter().flat_map(ask).collect()
}

fn ask(rule: &Rule) -> Vec<String> {
    let Rule { package, features, .. } = rule;
    let args =
        ["tree", "--package", package, "--edges", "normal", features, "--prefix", "none", "--format", "{p}"];
    match cargo::capture(args) {
        Ok(tree) => complaints(rule, &tree),
        Err(error) => vec![format!("`cargo {}` failed: {error}", args.join(" "))],
    }
}

/// Returns a complaint about each crate of the tree that the rule does not allow.
fn complaints(rule: &Rule, tree: &str) -> Vec<String> {
    let used: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if !used.contains(rule.package) {
        return vec![format!("`cargo tree` does not print {}: correct its arguments.", rule.package)];
    }
    let is_wrong = |name: &&&str| {
        let is_ours = name.starts_with("conductor-") || **name == "origin-conductor";
        rule.refused.contains(*name) || is_ours && **name != rule.package && !rule.allowed.contains(*name)
    };
    let complaint = |name: &&str| {
        let Rule { package, features, .. } = rule;
        format!(
            "{package} ({features}) must not use {name}: remove the path that \
             `cargo tree -p {package} -e normal {features} -i {name}` shows."
        )
    };
    used.iter().filter(is_wrong).map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> String {
        names.iter().flat_map(|name| [name, " v1.0.0 (*)\n"]).collect()
    }

    #[test]
    fn allowed_crates_are_accepted() {
        for rule in &RULES {
            let names = [&[rule.package, "serde"], rule.allowed].concat();
            assert_eq!(complaints(rule, &tree(&names)), [""; 0], "{}", rule.package);
        }
    }

    #[test]
    fn each_refused_crate_is_reported() {
        for rule in &RULES {
            for name in rule.refused {
                let complaints = complaints(rule, &tree(&[rule.package, name]));
                assert_eq!(complaints.len(), 1, "{} uses {name}", rule.package);
                assert!(complaints[0].contains(&format!("must not use {name}:")), "{}", complaints[0]);
            }
        }
    }

    #[test]
    fn each_higher_crate_is_reported() {
        for rule in &RULES {
            let crates =
                ["conductor-bench", "conductor-cli"].into_iter().chain(RULES.map(|rule| rule.package));
            let higher = crates.filter(|name| *name != rule.package && !rule.allowed.contains(name));
            for name in higher.collect::<BTreeSet<_>>() {
                let complaints = complaints(rule, &tree(&[rule.package, name]));
                assert_eq!(complaints.len(), 1, "{} → {name}", rule.package);
            }
        }
    }

    #[test]
    fn rules_allow_no_circle() {
        for a in &RULES {
            for b in RULES.iter().filter(|b| a.allowed.contains(&b.package)) {
                assert!(!b.allowed.contains(&a.package), "{} ↔ {}", a.package, b.package);
            }
        }
    }

    #[test]
    fn each_wrong_crate_is_reported_once() {
        let tree = tree(&["conductor-model", "rusqlite", "tokio", "tokio"]);
        assert_eq!(complaints(&RULES[0], &tree).len(), 2);
    }

    #[test]
    fn empty_tree_is_reported() {
        assert_eq!(complaints(&RULES[0], "").len(), 1);
    }
}
