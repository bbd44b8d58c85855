//! The arrows of the house: model ← store ← workers ← demo, and no I/O below the model.

use std::collections::BTreeSet;

use crate::cargo;

/// What one crate, built with certain features, may and may not reach.
struct Rule {
    package: &'static str,
    features: &'static str,
    /// The crates of the house that it may use.
    house: &'static [&'static str],
    /// Crates from outside that it must not reach.
    outside: &'static [&'static str],
}

const RULES: [Rule; 4] = [
    Rule {
        package: "conductor-model",
        features: "--all-features",
        house: &[],
        outside: &[
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
        features: "--all-features",
        house: &["conductor-model"],
        outside: &["tokio", "mio"],
    },
    Rule {
        package: "conductor-store",
        features: "--no-default-features",
        house: &["conductor-model"],
        outside: &["rusqlite", "libsqlite3-sys", "refinery", "refinery-core"],
    },
    Rule {
        package: "conductor-workers",
        features: "--all-features",
        house: &["conductor-model", "conductor-store"],
        outside: &[],
    },
];

/// Asks `cargo tree` about every rule.
pub(crate) fn check() -> Vec<String> {
    RULES.iter().flat_map(ask).collect()
}

fn ask(rule: &Rule) -> Vec<String> {
    let args = [
        "tree",
        "--package",
        rule.package,
        "--edges",
        "normal",
        rule.features,
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    match cargo::capture(args) {
        Ok(tree) => judge(rule, &tree),
        Err(error) => vec![format!("`cargo {}` must run, but says: {error}", args.join(" "))],
    }
}

/// Complains about every crate in the tree that the rule keeps out.
fn judge(rule: &Rule, tree: &str) -> Vec<String> {
    let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if !reached.contains(rule.package) {
        return vec![format!("{} is not in its own tree: make `cargo tree` print it.", rule.package)];
    }
    let wrong = |name: &&&str| {
        let ours = name.starts_with("conductor-") && **name != rule.package;
        rule.outside.contains(*name) || ours && !rule.house.contains(*name)
    };
    let complaint = |name: &&str| {
        let Rule { package, features, .. } = rule;
        format!(
            "{package} ({features}) must not reach {name}: cut the path that \
             `cargo tree -p {package} -e normal {features} -i {name}` shows."
        )
    };
    reached.iter().filter(wrong).map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &Rule = &RULES[0];
    const STORE: &Rule = &RULES[1];
    const STORE_ALONE: &Rule = &RULES[2];
    const WORKERS: &Rule = &RULES[3];

    fn tree(names: &[&str]) -> String {
        names.iter().flat_map(|name| [name, " v1.0.0 (*)\n"]).collect()
    }

    #[test]
    fn arrows_that_point_down_are_fine() {
        assert!(judge(MODEL, &tree(&["conductor-model", "serde", "ulid"])).is_empty());
        assert!(judge(STORE, &tree(&["conductor-store", "conductor-model", "rusqlite", "rand"])).is_empty());
        assert!(judge(STORE_ALONE, &tree(&["conductor-store", "conductor-model", "rand"])).is_empty());
        let workers = tree(&["conductor-workers", "conductor-store", "conductor-model", "rusqlite"]);
        assert!(judge(WORKERS, &workers).is_empty());
    }

    #[test]
    fn every_forbidden_crate_is_named() {
        for rule in &RULES {
            for name in rule.outside {
                let complaints = judge(rule, &tree(&[rule.package, name]));
                assert_eq!(complaints.len(), 1, "{} reaches {name}", rule.package);
                assert!(complaints[0].contains(&format!("must not reach {name}:")), "{}", complaints[0]);
            }
        }
    }

    #[test]
    fn an_arrow_that_points_up_is_named() {
        for (rule, above) in [
            (MODEL, &["conductor-store", "conductor-workers", "conductor-demo", "conductor-cli"][..]),
            (STORE, &["conductor-workers", "conductor-demo"]),
            (STORE_ALONE, &["conductor-workers", "conductor-demo"]),
            (WORKERS, &["conductor-demo", "conductor-server"]),
        ] {
            for name in above {
                assert_eq!(judge(rule, &tree(&[rule.package, name])).len(), 1, "{} → {name}", rule.package);
            }
        }
    }

    #[test]
    fn every_wrong_crate_of_one_tree_is_reported() {
        assert_eq!(judge(MODEL, &tree(&["conductor-model", "rusqlite", "tokio", "tokio"])).len(), 2);
    }

    #[test]
    fn an_empty_tree_proves_nothing() {
        assert_eq!(judge(MODEL, "").len(), 1);
    }
}
