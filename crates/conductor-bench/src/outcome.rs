//! The result type of the benches.

/// A result with any error.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
