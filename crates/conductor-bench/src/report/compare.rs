//! The comparison with an earlier run.

use crate::report::Record;
use std::fmt::Write as _;

/// Returns a table with the change of each record since the earlier record of the same bench, size and durability.
///
/// The speed of a machine changes from day to day, also for the baseline. The second number therefore compares the ratios to
/// the baseline.
pub(crate) fn table(earlier: &[Record], records: &[Record]) -> String {
    if !records.iter().any(|record| earlier.iter().any(|before| before.is_same_measurement(record))) {
        return "\nThe earlier run has no record of the same bench and size.\n".into();
    }
    let mut table = format!(
        "\n{:<32} {:>9} {:>6} {:>10} {:>16}\n",
        "1 is as before, 2 twice as good", "n", "sync", "alone", "to baseline"
    );
    for record in records {
        let Some(before) = earlier.iter().find(|before| before.is_same_measurement(record)) else { continue };
        let alone = better(before, record);
        let beside = before.ratio.zip(record.ratio).map(|(before, now)| now / before);
        let Record { bench, n, sync, .. } = record;
        let beside = beside.map_or(String::new(), |beside| format!("{beside:.2}"));
        // Writing into a string does not fail.
        let _ = writeln!(table, "{bench:<32} {n:>9} {sync:>6} {alone:>10.2} {beside:>16}");
    }
    table
}

fn better(before: &Record, now: &Record) -> f64 {
    if now.is_rate() { now.value / before.value } else { before.value / now.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: f64, unit: &str, ratio: f64) -> Record {
        Record {
            bench: "drain".into(),
            n: 10,
            sync: "FULL".into(),
            value,
            unit: unit.into(),
            baseline: None,
            ratio: Some(ratio),
            rss_mb: None,
            bytes_per_task: None,
            spread: 1.0,
        }
    }

    #[test]
    fn higher_rate_and_shorter_time_are_better() {
        assert!((better(&record(10.0, "tasks/s", 1.0), &record(20.0, "tasks/s", 1.0)) - 2.0).abs() < 1e-9);
        assert!((better(&record(10.0, "ms", 1.0), &record(20.0, "ms", 1.0)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn only_common_records_are_compared() {
        let table_of_nothing = table(&[record(10.0, "tasks/s", 0.5)], &[record(1.0, "ms", 1.0)]);
        let table =
            table(&[record(10.0, "tasks/s", 0.5)], &[record(20.0, "tasks/s", 0.6), record(1.0, "ms", 1.0)]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows.len(), 1);
        assert!(table_of_nothing.contains("has no record"));
        assert!(rows[0].ends_with("2.00             1.20"), "{table}");
    }
}
