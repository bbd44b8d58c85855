//! The table for people.

use crate::report::Record;

/// Returns the header of the table.
pub(crate) fn header() -> String {
    let line = format!(
        "{:<24} {:>9} {:>6} {:>12} {:>12} {:>6} {:>6} {:>8} {:>8}",
        "bench", "n", "sync", "value", "baseline", "ratio", "spread", "rss MB", "bytes"
    );
    format!("{line}  unit\n{}", "-".repeat(line.len() + 14))
}

/// Returns the row of one record.
pub(crate) fn row(record: &Record) -> String {
    let Record { bench, n, sync, value, unit, baseline, ratio, rss_mb, bytes_per_task, spread } = record;
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    let (rss, bytes) = (whole(*rss_mb), whole(*bytes_per_task));
    let (value, baseline) = (number(*value), baseline.map_or(String::new(), number));
    format!(
        "{bench:<24} {n:>9} {sync:>6} {value:>12} {baseline:>12} {ratio:>6} {spread:>6.2} {rss:>8} {bytes:>8}  {unit}"
    )
}

fn whole(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.0}"))
}

/// Returns a number with its significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_significant_digits() {
        assert_eq!([123_456.7, 12.34, 0.01234].map(number), ["123457", "12.3", "0.012"]);
    }
}
