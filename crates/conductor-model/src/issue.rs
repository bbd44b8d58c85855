//! Validation issues: each has a path, a code for programs and a message for people.

use std::fmt;

/// The code of an issue, for programs. The names follow the codes of Zod, which the TypeScript version uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IssueCode {
    /// A required value is missing.
    Required,
    /// The value has the wrong type.
    InvalidType,
    /// The text does not have the required form, for instance that of an id, a timestamp or a name.
    InvalidFormat,
    /// The number or the length is below its minimum.
    TooSmall,
    /// The number or the length is above its maximum.
    TooBig,
    /// The object has an unknown key.
    UnrecognizedKey,
    /// The object has the same key twice.
    DuplicateKey,
    /// Two values exclude each other.
    Conflict,
}

impl IssueCode {
    /// Returns the code as text, for instance `too_big`.
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

/// One problem of a value that failed validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The path of the value, for instance `tasks[2].input.fanout`. Empty for the root value.
    pub path: String,
    /// The code, for programs.
    pub code: IssueCode,
    /// The message, for people. It says which values are valid.
    pub message: String,
}

impl Issue {
    /// Creates an issue with an empty path; [`Issue::at`] adds the path.
    pub fn new(code: IssueCode, message: impl Into<String>) -> Self {
        Self { path: String::new(), code, message: message.into() }
    }

    /// Puts the name of the value in front of the message, for a value without a path.
    pub(crate) fn of_value(self, name: &str) -> Self {
        Self { message: format!("{name} {}", self.message), ..self }
    }

    /// Puts `prefix` in front of the path: a key (`input`) or an index (`[3]`).
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

/// How many characters of an invalid value a message shows.
const SHOWN_CHARS: usize = 60;

/// Returns the first characters of a text, and whether characters are missing.
fn truncated(text: &str) -> (&str, bool) {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

/// Quotes an invalid text for a message, and truncates it.
pub(crate) fn quoted(text: &str) -> String {
    let (shown, is_truncated) = truncated(text);
    format!("{shown:?}{}", if is_truncated { "…" } else { "" })
}

/// Returns an invalid JSON value for a message: on one line, and truncated.
pub(crate) fn shown_json(json: &str) -> String {
    let (shown, is_truncated) = truncated(json);
    let shown: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shown + if is_truncated { "…" } else { "" }
}

/// How many issues the message shows. [`ValidationError::issues`] returns all of them.
const SHOWN: usize = 20;

/// The error of validation: all issues of a value, at least one. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError(Vec<Issue>);

impl ValidationError {
    /// Creates the error from at least one issue.
    pub(crate) fn of(issues: Vec<Issue>) -> Self {
        debug_assert!(!issues.is_empty(), "a validation error needs an issue");
        Self(issues)
    }

    /// Returns `Ok(value())` if there is no issue, and all issues otherwise.
    pub(crate) fn unless_empty<T>(issues: Vec<Issue>, value: impl FnOnce() -> T) -> Result<T, Self> {
        if issues.is_empty() { Ok(value()) } else { Err(Self(issues)) }
    }

    /// Returns the issues: first duplicate keys, then known keys in their documented order, then unknown keys.
    pub fn issues(&self) -> &[Issue] {
        &self.0
    }

    /// Collects the values of the results, or the issues of all errors.
    ///
    /// # Errors
    /// [`ValidationError`] with all issues, in their order.
    pub fn collect<T>(results: impl IntoIterator<Item = Result<T, Self>>) -> Result<Vec<T>, Self> {
        let (mut values, mut issues) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(value) => values.push(value),
                Err(error) => issues.extend(error.0),
            }
        }
        Self::unless_empty(issues, || values)
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
            [issue] => issue.fmt(f),
            issues => {
                write!(f, "{} issues: ", issues.len())?;
                for (i, issue) in issues.iter().take(SHOWN).enumerate() {
                    if i > 0 {
                        f.write_str("; ")?;
                    }
                    issue.fmt(f)?;
                }
                if issues.len() > SHOWN {
                    write!(f, "; and {} more", issues.len() - SHOWN)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ValidationError {}
