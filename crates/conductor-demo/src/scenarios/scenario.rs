//! The description of a scenario.

use crate::{failure::Failure, fixture::Fixture};

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The title.
    pub(crate) title: &'static str,
    /// What the scenario does, in two or three lines.
    pub(crate) about: &'static str,
    /// Runs the scenario and checks its result.
    pub(crate) play: fn(&Fixture) -> Result<(), Failure>,
}
