//! What did not hold, in a sentence.

use std::{error::Error, fmt};

/// Why a scenario, or the demo itself, did not come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure in these words.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// The same failure, with what was being done.
    pub(crate) fn during(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every error of the library, with everything that lies behind it.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut sentence = error.to_string();
        let mut source = error.source();
        while let Some(behind) = source {
            let more = behind.to_string();
            // Some errors repeat what lies behind them.
            if !sentence.contains(&more) {
                sentence = format!("{sentence}: {more}");
            }
            source = behind.source();
        }
        Self(sentence)
    }
}

/// Holds if both are equal; `what` begins the sentence that says that they are not.
pub(crate) fn check<T: PartialEq + fmt::Display + Copy>(
    what: &str,
    is: T,
    should_be: T,
) -> Result<(), Failure> {
    if is == should_be { Ok(()) } else { Err(Failure(format!("{what} is {is} and should be {should_be}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_does_not_hold_says_both() {
        assert_eq!(check("the number of children", 3, 3), Ok(()));
        let failure = check("the number of children", 2, 3).unwrap_err();
        assert_eq!(failure.to_string(), "the number of children is 2 and should be 3");
    }

    #[test]
    fn everything_behind_an_error_is_told_once() {
        let io = std::io::Error::other("the disk is full");
        let fault = conductor_store::StoreError::Io(Box::new(io));
        let told = Failure::from(fault).during("scenario 1").to_string();
        assert_eq!(told, "scenario 1: cannot read or write the database; check the disk: the disk is full");
    }
}
