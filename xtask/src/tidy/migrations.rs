//! Migrations are named `V<n>__<snake_case>.sql` and numbered without a gap, for each database.

use std::collections::BTreeMap;

use crate::tidy::files::Files;

/// Checks every file directly below a folder of `migrations/`.
pub(crate) fn check(files: &Files) -> Vec<String> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("migrations/")) {
        if let Some((folder, name)) = file.path.rsplit_once('/') {
            folders.entry(folder).or_default().push(name);
        }
    }
    folders.into_iter().flat_map(|(folder, names)| complaints(folder, &names)).collect()
}

fn complaints(folder: &str, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut numbers = Vec::new();
    for name in names {
        match number(name) {
            Some(number) => numbers.push(number),
            None => found.push(format!("{folder}/{name}: name it V<n>__<snake_case>.sql.")),
        }
    }
    numbers.sort_unstable();
    if !numbers.iter().copied().eq(1..=numbers.len()) {
        found.push(format!("{folder} has migrations {numbers:?}: number them 1, 2, 3 … without a gap."));
    }
    found
}

/// Returns the number of a migration with a correct name.
fn number(name: &str) -> Option<usize> {
    let (number, words) = name.strip_prefix('V')?.strip_suffix(".sql")?.split_once("__")?;
    let snake = words.split('_').all(|word| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    if snake && plain { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(names: &[&str]) -> usize {
        complaints("migrations/sqlite", names).len()
    }

    #[test]
    fn names_have_version_and_snake_case() {
        assert_eq!(number("V12__lean_layout_2.sql"), Some(12));
        for name in [
            "V1_lean.sql",
            "V1__Lean.sql",
            "V1__lean-layout.sql",
            "V1__lean__layout.sql",
            "V1__.sql",
            "V01__lean.sql",
            "V+1__lean.sql",
            "V__lean.sql",
            "U1__lean.sql",
            "V1__lean.txt",
            "001_lean.sql",
        ] {
            assert_eq!(number(name), None, "{name}");
            assert_eq!(count(&[name]), 1, "{name}");
        }
    }

    #[test]
    fn gaps_and_duplicate_numbers_are_reported() {
        assert_eq!(count(&["V1__a.sql", "V10__j.sql", "V2__b.sql"]), 1);
        assert_eq!(count(&["V1__a.sql", "V1__b.sql"]), 1);
        assert_eq!(count(&["V2__a.sql"]), 1);
        assert_eq!(count(&["V2__b.sql", "V1__a.sql"]), 0);
    }

    #[test]
    fn databases_are_numbered_separately() {
        let files = Files::from([
            ("migrations/postgres/V1__a.sql", ""),
            ("migrations/sqlite/V1__a.sql", ""),
            ("migrations/sqlite/V2__b.sql", ""),
            ("crates/conductor-store/tests/fixtures/migrations/001_seed.sql", ""),
        ]);
        assert!(check(&files).is_empty());
        assert_eq!(check(&Files::from([("migrations/sqlite/notes.md", "")])).len(), 1);
    }
}
