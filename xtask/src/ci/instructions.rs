//! The instructions of one fan-out, one claim and one settlement, which callgrind counts, compared with CHANGELOG.md.
//!
//! A count can be repeated, unlike a time. The record is in the changelog, because a higher cost needs a reason there.

use crate::cargo::{self, Failure};

/// The counted steps, by the names that `conductor-bench` uses.
const NAMES: [&str; 3] = ["fan_out", "claim", "settle"];
/// The accepted increase over the record, in percent.
const LEEWAY: u64 = 5;
/// The beginning of the line of the changelog that contains the record.
const RECORD: &str = "- Instructions";

pub(crate) fn run() -> Result<(), Failure> {
    let changelog = std::fs::read_to_string(cargo::root().join("CHANGELOG.md"))
        .map_err(|error| Failure::Message(format!("CHANGELOG.md: {error}")))?;
    let counts = NAMES.map(|name| Ok((name, count(name)?)));
    let counts: Vec<(&str, u64)> = counts.into_iter().collect::<Result<_, Failure>>()?;
    let mut complaints = Vec::new();
    for (name, counted) in &counts {
        let recorded = recorded(&changelog, name);
        let beside = recorded.map_or("no record".to_owned(), grouped);
        println!("  {name:8} {:>14} instructions, recorded {beside}", grouped(*counted));
        if recorded.is_none_or(|recorded| exceeds(*counted, recorded)) {
            complaints.push(*name);
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    let line = counts.iter().map(|(name, count)| format!("`{name}` {}", grouped(*count)));
    Err(Failure::Message(format!(
        "{} takes over {LEEWAY} % more instructions than CHANGELOG.md records, or has no record; make it cheaper, or \
         record `{RECORD} …: {}` there with the reason",
        complaints.join(" and "),
        line.collect::<Vec<_>>().join(", ")
    )))
}

fn exceeds(counted: u64, recorded: u64) -> bool {
    counted * 100 > recorded * (100 + LEEWAY)
}

/// Returns the newest record of one count.
fn recorded(changelog: &str, name: &str) -> Option<u64> {
    let line = changelog.split_once(RECORD)?.1.split("\n- ").next()?;
    let number = line.split_once(&format!("`{name}` "))?.1;
    let digits: String =
        number.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',').collect();
    digits.parse().ok()
}

/// Formats a number with a comma after every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// Runs one step under callgrind, which counts only inside of the function `counted`.
fn count(name: &str) -> Result<u64, Failure> {
    let runner = "target.'cfg(all())'.runner = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null', \
        '--log-fd=1', '--toggle-collect=conductor_bench::instructions::counted*']";
    let args = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "conductor-bench",
        "--config",
        runner,
        "--",
        "count",
        name,
    ];
    let printed = cargo::capture(args).map_err(|error| {
        Failure::Message(format!("callgrind failed for `{name}`; install valgrind if it is missing: {error}"))
    })?;
    let counted = printed.lines().find_map(|line| line.split_once("Collected : "));
    match counted.and_then(|(_, number)| number.trim().parse().ok()) {
        Some(counted) if counted > 0 => Ok(counted),
        _ => Err(Failure::Message(format!("callgrind counted nothing for `{name}`:\n{printed}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str =
        "- One\n- Instructions (callgrind): `fan_out` 1,234,567 for\n  4,000, `claim` 1,000.\n- `settle` 5";

    #[test]
    fn record_is_read_from_its_line() {
        assert_eq!(recorded(CHANGELOG, "fan_out"), Some(1_234_567));
        assert_eq!(recorded(CHANGELOG, "claim"), Some(1000));
        assert_eq!(recorded(CHANGELOG, "settle"), None);
    }

    #[test]
    fn increase_of_five_percent_is_accepted() {
        assert!(!exceeds(1050, 1000));
        assert!(exceeds(1051, 1000));
    }

    #[test]
    fn numbers_have_groups_of_three_digits() {
        assert_eq!([7, 1000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
    }
}
