//! No circles: in each folder, the files and the folders use each other in one direction.
//!
//! An arrow between two files counts in the folder that contains both, as an arrow between the two entries of that folder
//! which contain one of them each. Without a circle in any folder there is none between files either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tidy::{
    arrows::modules::{Arrow, Modules},
    files::Files,
};

/// The arrows inside one folder: for each two entries, the arrow between files that shows it.
type Entries<'a> = BTreeMap<String, BTreeMap<String, &'a Arrow>>;

/// Checks every crate.
pub(crate) fn check(files: &Files) -> Vec<String> {
    sources(files).iter().flat_map(|src| circles(src, &Modules::read(src, files).arrows())).collect()
}

/// Returns the folders `src/` of all crates.
fn sources(files: &Files) -> BTreeSet<String> {
    let roots = files.iter().filter_map(|file| {
        let path = file.path.strip_suffix("lib.rs").or_else(|| file.path.strip_suffix("main.rs"))?;
        path.ends_with("/src/").then(|| path.to_owned())
    });
    roots.collect()
}

fn circles(src: &str, arrows: &[Arrow]) -> Vec<String> {
    let mut folders: BTreeMap<String, Entries<'_>> = BTreeMap::new();
    let parents: BTreeSet<&str> =
        arrows.iter().flat_map(|arrow| [&arrow.from, &arrow.to]).filter_map(|file| folder(file)).collect();
    for arrow in arrows {
        let (folder, from, to) =
            entries(&entry_path(&arrow.from, &parents), &entry_path(&arrow.to, &parents));
        let folder = format!("{src}{folder}");
        folders.entry(folder).or_default().entry(from).or_default().entry(to).or_insert(arrow);
    }
    folders.iter().flat_map(|(folder, entries)| complaints(src, folder, entries)).collect()
}

fn folder(file: &str) -> Option<&str> {
    file.rsplit_once('/').map(|(folder, _)| folder)
}

/// Returns the path of a file, where `a.rs` beside a folder `a/` counts as `a/mod.rs`.
fn entry_path(file: &str, folders: &BTreeSet<&str>) -> String {
    match file.strip_suffix(".rs") {
        Some(stem) if folders.contains(stem) => format!("{stem}/mod.rs"),
        _ => file.to_owned(),
    }
}

/// Returns the deepest folder that contains two files, and its entries which contain one of them each.
fn entries(from: &str, to: &str) -> (String, String, String) {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let entry = |path: &[&str]| path.get(common).copied().unwrap_or_default().to_owned();
    (from[..common].join("/"), entry(&from), entry(&to))
}

/// Describes a shortest circle through each entry that is in one, without an entry that an earlier circle names.
fn complaints(src: &str, folder: &str, entries: &Entries<'_>) -> Vec<String> {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    let mut complaints = Vec::new();
    for start in entries.keys() {
        let Some(circle) =
            circle(entries, start).filter(|way| !way.iter().any(|entry| named.contains(entry)))
        else {
            continue;
        };
        let step = |(from, to): (&&str, &&str)| {
            let Arrow { from: file, line, to: used } = entries[*from][*to];
            format!("{from} → {to} ({src}{file}:{line} uses {used})")
        };
        let next = circle.iter().cycle().skip(1);
        let steps: Vec<String> = circle.iter().zip(next).map(step).collect();
        let folder = folder.trim_end_matches('/');
        complaints.push(format!("{folder} has a circle: {}. Remove one of these uses.", steps.join(", ")));
        named.extend(circle);
    }
    complaints
}

/// Finds a shortest way from an entry back to itself.
fn circle<'a>(entries: &'a Entries<'_>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut queue = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = queue.pop_front() {
        let next = way.last().and_then(|last| entries.get(*last)).into_iter().flat_map(BTreeMap::keys);
        for next in next {
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                queue.push_back([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let lib = ("crates/a/src/lib.rs", "mod b;\npub use b::B;");
        let files: Vec<(&str, &str)> = [lib].into_iter().chain(files.iter().copied()).collect();
        check(&Files::of(&files))
    }

    #[test]
    fn one_direction_is_allowed() {
        let files = [
            ("crates/a/src/b.rs", "use crate::c::C;\nuse crate::d::e::E;\npub struct B;"),
            ("crates/a/src/c.rs", "use crate::d::E;\npub struct C;"),
            ("crates/a/src/d/mod.rs", "mod e;\npub use e::E;"),
            ("crates/a/src/d/e.rs", "pub struct E;"),
        ];
        assert_eq!(complaints(&files), [""; 0]);
    }

    #[test]
    fn circle_of_files_is_reported_once() {
        let files = [
            ("crates/a/src/b.rs", "\nuse crate::c::C;\npub struct B;"),
            ("crates/a/src/c.rs", "use crate::d::D;\npub struct C;"),
            ("crates/a/src/d.rs", "use crate::B;\npub struct D;"),
        ];
        let expected = "crates/a/src has a circle: b.rs → c.rs (crates/a/src/b.rs:2 uses c.rs), c.rs → d.rs \
             (crates/a/src/c.rs:1 uses d.rs), d.rs → b.rs (crates/a/src/d.rs:1 uses b.rs). Remove one of these uses.";
        assert_eq!(complaints(&files), [expected]);
    }

    #[test]
    fn circle_of_folders_only_is_reported() {
        let files = [
            ("crates/a/src/b/mod.rs", ""),
            ("crates/a/src/c/mod.rs", ""),
            ("crates/a/src/b/x.rs", "use crate::c::y::Y;"),
            ("crates/a/src/c/y.rs", "pub struct Y;"),
            ("crates/a/src/c/z.rs", "use crate::b::w::W;"),
            ("crates/a/src/b/w.rs", "pub struct W;"),
        ];
        let complaints = complaints(&files);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(
            complaints[0].starts_with("crates/a/src has a circle: b → c (crates/a/src/b/x.rs:1 uses c/y.rs)")
        );
    }

    #[test]
    fn circle_of_folder_and_file_is_reported() {
        for module in ["crates/a/src/b/mod.rs", "crates/a/src/b.rs"] {
            let files = [
                (module, "mod x;\nuse x::X;\npub struct B;"),
                ("crates/a/src/b/x.rs", "use super::B;\nstruct X;"),
            ];
            let complaints = complaints(&files);
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            assert!(
                complaints[0].starts_with("crates/a/src/b has a circle: mod.rs → x.rs"),
                "{complaints:?}"
            );
        }
    }
}
