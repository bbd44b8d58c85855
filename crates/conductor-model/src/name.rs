//! Names of tasks and kinds, and idempotency keys.

use crate::issue::{Issue, IssueCode, quoted};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The longest name of a root task, kind or idempotency key, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

fn check_label(text: &str, max_bytes: usize) -> Result<(), Issue> {
    if text.is_empty() {
        return Err(Issue::new(IssueCode::TooSmall, "must not be empty"));
    }
    if text.len() > max_bytes {
        let message = format!("must be at most {max_bytes} bytes, but has {}", text.len());
        return Err(Issue::new(IssueCode::TooBig, message));
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        let message = format!(
            "must not contain control characters, but {} contains U+{:04X}",
            quoted(text),
            u32::from(control)
        );
        return Err(Issue::new(IssueCode::InvalidFormat, message));
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $label:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Parses the text. An issue does not name the value, because the caller adds its path.
            pub(crate) fn parse_member(text: &str) -> Result<Self, Issue> {
                let check: fn(&str) -> Result<(), Issue> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl FromStr for $name {
            type Err = Issue;

            fn from_str(text: &str) -> Result<Self, Issue> {
                Self::parse_member(text).map_err(|issue| issue.of_value($label))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Issue;

            fn try_from(text: String) -> Result<Self, Issue> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.as_str().fmt(f)
            }
        }
    };
}

label! {
    /// The name of a task.
    ///
    /// The caller names a root task: 1 to 255 bytes without control characters and without `#`. The name of a child is
    /// derived from its parent's name and its index: `NAME#3`, and below that `NAME#3#1`. Parsing accepts both forms;
    /// [`TaskName::root`] accepts only the name of a root task.
    TaskName, "task name", |text| {
        // Each level of the tree adds an index to the name; inputs nest at most 64 deep.
        check_label(text, 4 * MAX_NAME_BYTES)
    }
}

impl TaskName {
    /// Parses the name of a root task.
    ///
    /// # Errors
    /// Returns an [`Issue`] if the name is empty, longer than 255 bytes, or contains a control character or `#`.
    pub fn root(text: &str) -> Result<Self, Issue> {
        Self::parse_root_member(text).map_err(|issue| issue.of_value("task name"))
    }

    /// Parses the name of a root task. An issue does not name the value, because the caller adds its path.
    pub(crate) fn parse_root_member(text: &str) -> Result<Self, Issue> {
        check_label(text, MAX_NAME_BYTES)?;
        if text.contains('#') {
            let message = format!(
                "must not contain `#`, which separates a child's name from its index, but is {}",
                quoted(text)
            );
            return Err(Issue::new(IssueCode::InvalidFormat, message));
        }
        Ok(Self(text.into()))
    }

    /// Returns the name of the child with this index, which starts at 1.
    pub fn child(&self, index: u32) -> Self {
        Self(format!("{}#{index}", self.0).into())
    }
}

label! {
    /// The kind of a task, which selects its handler: 1 to 255 bytes without control characters.
    Kind, "kind", |text| check_label(text, MAX_NAME_BYTES)
}

label! {
    /// The key under which a caller submits a run at most once: 1 to 255 bytes without control characters.
    IdempotencyKey, "idempotency key", |text| check_label(text, MAX_NAME_BYTES)
}
