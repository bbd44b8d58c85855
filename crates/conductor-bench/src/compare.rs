//! What became better or worse since an earlier run.

use crate::figure::Figure;
use std::fmt::Write as _;

/// How much better each figure is than the earlier one of the same bench, size and durability.
///
/// The machine's speed drifts from day to day, and meets the floor as well: so the second number compares the ratios
/// to the floor.
pub(crate) fn table(earlier: &[Figure], figures: &[Figure]) -> String {
    if !figures.iter().any(|figure| earlier.iter().any(|before| before.is_of(figure))) {
        return "\nNothing of this was measured at the same size before.\n".into();
    }
    let mut table = format!(
        "\n{:<32} {:>9} {:>6} {:>10} {:>16}\n",
        "1 is as before, 2 twice as good", "n", "sync", "alone", "beside its floor"
    );
    for figure in figures {
        let Some(before) = earlier.iter().find(|before| before.is_of(figure)) else { continue };
        let alone = better(before, figure);
        let beside = before.ratio.zip(figure.ratio).map(|(before, now)| now / before);
        let Figure { bench, n, sync, .. } = figure;
        let beside = beside.map_or(String::new(), |beside| format!("{beside:.2}"));
        // Writing into a string does not fail.
        let _ = writeln!(table, "{bench:<32} {n:>9} {sync:>6} {alone:>10.2} {beside:>16}");
    }
    table
}

fn better(before: &Figure, now: &Figure) -> f64 {
    if now.is_rate() { now.value / before.value } else { before.value / now.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, unit: &str, ratio: f64) -> Figure {
        Figure {
            bench: "drain".into(),
            n: 10,
            sync: "FULL".into(),
            value,
            unit: unit.into(),
            floor: None,
            ratio: Some(ratio),
            rss_mb: None,
            bytes_per_task: None,
            spread: 1.0,
        }
    }

    #[test]
    fn a_higher_rate_and_a_shorter_time_are_better() {
        assert!((better(&figure(10.0, "tasks/s", 1.0), &figure(20.0, "tasks/s", 1.0)) - 2.0).abs() < 1e-9);
        assert!((better(&figure(10.0, "ms", 1.0), &figure(20.0, "ms", 1.0)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn only_what_was_measured_both_times_is_compared() {
        let table_of_nothing = table(&[figure(10.0, "tasks/s", 0.5)], &[figure(1.0, "ms", 1.0)]);
        let table =
            table(&[figure(10.0, "tasks/s", 0.5)], &[figure(20.0, "tasks/s", 0.6), figure(1.0, "ms", 1.0)]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows.len(), 1);
        assert!(table_of_nothing.contains("Nothing"));
        assert!(rows[0].ends_with("2.00             1.20"), "{table}");
    }
}
