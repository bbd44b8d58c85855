//! The scenarios, one per file.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "a handler has one form: it is given its input and its context, and may fail"
)]

mod s1_all_succeed;
mod s2_one_fails;
mod s3_partial_completion;
mod s4_retry_then_success;
mod s5_retries_exhausted;
mod s6_monitoring;
mod s7_nested_fanout;
mod s8_crash;
mod s9_count_words;
mod scenario;

pub(crate) use s8_crash::crash_worker;
pub(crate) use s9_count_words::has_unfinished_count;
pub(crate) use scenario::Scenario;

/// The seven scenarios of the TypeScript version, and two more.
const ALL: [Scenario; 9] = [
    s1_all_succeed::SCENARIO,
    s2_one_fails::SCENARIO,
    s3_partial_completion::SCENARIO,
    s4_retry_then_success::SCENARIO,
    s5_retries_exhausted::SCENARIO,
    s6_monitoring::SCENARIO,
    s7_nested_fanout::SCENARIO,
    s8_crash::SCENARIO,
    s9_count_words::SCENARIO,
];

/// The number of scenarios.
pub(crate) const COUNT: i64 = 9;

/// The number of the scenario that counts words. It can be interrupted and continued.
pub(crate) const COUNTING: u8 = 9;

/// Returns the numbers of the scenarios.
pub(crate) fn numbers() -> impl Iterator<Item = u8> {
    (1..).take(ALL.len())
}

/// Returns the scenarios with their numbers.
pub(crate) fn numbered() -> impl Iterator<Item = (u8, &'static Scenario)> {
    numbers().zip(&ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_number_equals_count() {
        assert_eq!(numbers().last().map(i64::from), Some(COUNT));
    }
}
