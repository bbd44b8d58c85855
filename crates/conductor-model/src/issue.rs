//! Validation issues: every one of them, each with its place, a code for programs and words for people.

use std::fmt;

/// What is wrong, for programs. The names follow the codes that Zod gave in the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IssueCode {
    /// A required value is absent.
    Required,
    /// The value has another type than the one that is asked for.
    InvalidType,
    /// The text does not have the form that is asked for (an id, a timestamp, a name).
    InvalidFormat,
    /// The number or the length is below its least value.
    TooSmall,
    /// The number or the length is above its greatest value.
    TooBig,
    /// The key is not one that belongs here.
    UnrecognizedKey,
    /// The key stands there twice.
    DuplicateKey,
    /// Two values that do not go together.
    Conflict,
}

impl IssueCode {
    /// The code as text, as in `too_big`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::InvalidType => "invalid_type",
            Self::InvalidFormat => "invalid_format",
            Self::TooSmall => "too_small",
            Self::TooBig => "too_big",
            Self::UnrecognizedKey => "unrecognized_key",
            Self::DuplicateKey => "duplicate_key",
            Self::Conflict => "conflict",
        }
    }
}

impl fmt::Display for IssueCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where: `tasks[2].input.fanout`. Empty for the value itself.
    pub path: String,
    /// What, for programs.
    pub code: IssueCode,
    /// What, for people, with what would be right.
    pub message: String,
}

impl Issue {
    /// An issue with the value itself; [`Issue::at`] says where the value stands.
    pub fn new(code: IssueCode, message: impl Into<String>) -> Self {
        Self { path: String::new(), code, message: message.into() }
    }

    /// The same issue, one level up: `prefix` is a key (`input`) or an index (`[3]`).
    pub fn at(mut self, prefix: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{prefix}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for Issue {}

/// How many issues are shown in one sentence; a program gets all of them.
const SHOWN: usize = 20;

/// Everything that is wrong with a value. Nothing was written.
///
/// There is always at least one issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError(Vec<Issue>);

impl ValidationError {
    /// The issues as one error. There is at least one.
    pub(crate) fn of(issues: Vec<Issue>) -> Self {
        debug_assert!(!issues.is_empty(), "an error without an issue");
        Self(issues)
    }

    /// `Ok(value)` when there is no issue, and all the issues otherwise.
    pub(crate) fn unless_empty<T>(issues: Vec<Issue>, value: impl FnOnce() -> T) -> Result<T, Self> {
        if issues.is_empty() { Ok(value()) } else { Err(Self(issues)) }
    }

    /// The issues: first duplicate keys, then the known keys in the order in which they are documented, then
    /// unknown keys.
    pub fn issues(&self) -> &[Issue] {
        &self.0
    }

    /// Puts `prefix` in front of the path of each issue.
    #[must_use]
    pub fn at(self, prefix: &str) -> Self {
        Self(self.0.into_iter().map(|issue| issue.at(prefix)).collect())
    }

    pub(crate) fn into_issues(self) -> Vec<Issue> {
        self.0
    }
}

impl From<Issue> for ValidationError {
    fn from(issue: Issue) -> Self {
        Self(vec![issue])
    }
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            many => {
                write!(f, "{} issues: ", many.len())?;
                for (i, issue) in many.iter().take(SHOWN).enumerate() {
                    if i > 0 {
                        f.write_str("; ")?;
                    }
                    issue.fmt(f)?;
                }
                if many.len() > SHOWN {
                    write!(f, "; and {} more", many.len() - SHOWN)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ValidationError {}
