//! The error type of the demo.

use std::{error::Error, fmt};

/// The reason why a scenario, or the demo itself, failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    /// Returns a failure with this message.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Returns the same failure, with the action that failed in front.
    pub(crate) fn during(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes over the message of an error and of all its sources.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut sentence = error.to_string();
        let mut source = error.source();
        while let Some(behind) = source {
            let more = behind.to_string();
            // Some errors repeat the message of their source.
            if !sentence.contains(&more) {
                sentence = format!("{sentence}: {more}");
            }
            source = behind.source();
        }
        Self(sentence)
    }
}

/// Fails unless both values are equal. `what` is the subject of the message.
pub(crate) fn check<T: PartialEq + fmt::Display + Copy>(
    what: &str,
    is: T,
    expected: T,
) -> Result<(), Failure> {
    if is == expected { Ok(()) } else { Err(Failure(format!("{what} is {is} and should be {expected}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_check_shows_both_values() {
        assert_eq!(check("the number of children", 3, 3), Ok(()));
        let failure = check("the number of children", 2, 3).unwrap_err();
        assert_eq!(failure.to_string(), "the number of children is 2 and should be 3");
    }

    #[test]
    fn failure_message_contains_each_source_once() {
        let io = std::io::Error::other("the disk is full");
        let fault = origin_conductor::store::StoreError::Io(Box::new(io));
        let told = Failure::from(fault).during("scenario 1").to_string();
        assert_eq!(told, "scenario 1: cannot read or write the database; check the disk: the disk is full");
    }
}
