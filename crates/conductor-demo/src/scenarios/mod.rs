//! The scenarios, one file each.

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

use crate::{failure::Failure, stage::Stage};

pub(crate) use s8_crash::crash_worker;
pub(crate) use s9_count_words::is_counting;

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What it is called.
    pub(crate) title: &'static str,
    /// What it does, in a line or two.
    pub(crate) about: &'static str,
    /// Does it, and checks what came of it.
    pub(crate) play: fn(&Stage) -> Result<(), Failure>,
}

/// The scenarios of the original, then three of our own.
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

/// How many there are, and the number of the last one.
pub(crate) const COUNT: i64 = 9;

/// The number of the one that counts words, which may be interrupted and gone on with.
pub(crate) const COUNTING: u8 = 9;

/// Their numbers.
pub(crate) fn numbers() -> impl Iterator<Item = u8> {
    (1..).take(ALL.len())
}

/// The scenarios with their numbers.
pub(crate) fn numbered() -> impl Iterator<Item = (u8, &'static Scenario)> {
    numbers().zip(&ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_is_the_count() {
        assert_eq!(numbers().last().map(i64::from), Some(COUNT));
    }
}
