//! ULIDs of runs, tasks and engines, and blocks of consecutive ids.

use crate::issue::{Issue, IssueCode, quoted};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use ulid::Ulid;

fn parse(text: &str) -> Result<Ulid, Issue> {
    let invalid = |reason: &str| {
        let value = quoted(text);
        let message = format!("must be a ULID (26 Crockford base-32 characters), but is {value}: {reason}");
        Issue::new(IssueCode::InvalidFormat, message)
    };
    let ulid = Ulid::from_string(text).map_err(|error| invalid(&error.to_string()))?;
    // 26 characters encode 130 bits; the `ulid` crate silently drops the upper two.
    if text.as_bytes()[0] > b'7' {
        return Err(invalid("the first character may not be above 7"));
    }
    Ok(ulid)
}

macro_rules! id {
    ($name:ident, $label:literal, $owner:literal) => {
        #[doc = concat!("The id of ", $owner, ": a ULID.")]
        ///
        /// Parsing accepts upper and lower case; the text form is upper case. Ids sort like their texts.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// Creates the id from 128 bits: 48 bits of milliseconds since 1970, then 80 random bits.
            pub fn from_u128(bits: u128) -> Self {
                Self(Ulid::from(bits))
            }

            /// Returns the 128 bits of the id.
            pub fn as_u128(self) -> u128 {
                self.0.into()
            }

            /// Parses the text. An issue does not name the value, because the caller adds its path.
            pub(crate) fn parse_member(text: &str) -> Result<Self, Issue> {
                parse(text).map(Self)
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
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.0.array_to_str(&mut [0; ulid::ULID_LEN]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id!(RunId, "run id", "a run");
id!(TaskId, "task id", "a task");
id!(EngineId, "engine id", "a registered engine");

/// A block of consecutive ids, reserved before the transaction that uses them.
///
/// The length of the block bounds a step: with a block of 10,000 ids, a fan-out step creates at most 10,000 children.
/// Unused ids of a block are discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlock {
    first: u128,
    len: u32,
}

impl IdBlock {
    /// Creates the block of `len` ids that starts at `first`.
    ///
    /// Returns `None` if the block would exceed the largest ULID.
    pub fn new(first: u128, len: u32) -> Option<Self> {
        first.checked_add(u128::from(len))?;
        Some(Self { first, len })
    }

    /// Returns the number of ids left in the block.
    pub fn len(self) -> u32 {
        self.len
    }

    /// Returns whether no id is left in the block.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Returns the first id of the block as a task id, without taking it.
    pub fn first_task(self) -> TaskId {
        TaskId::from_u128(self.first)
    }

    /// Takes the first `count` ids off the block.
    ///
    /// Returns `None`, and takes nothing, if the block holds fewer.
    pub fn take(&mut self, count: u32) -> Option<Self> {
        let len = self.len.checked_sub(count)?;
        let taken = Self { first: self.first, len: count };
        *self = Self { first: self.first + u128::from(count), len };
        Some(taken)
    }

    /// Takes one id off the block for a run.
    pub fn take_run(&mut self) -> Option<RunId> {
        self.take(1).map(|block| RunId::from_u128(block.first))
    }

    /// Takes one id off the block for an engine.
    pub fn take_engine(&mut self) -> Option<EngineId> {
        self.take(1).map(|block| EngineId::from_u128(block.first))
    }

    /// Takes one id off the block for a task.
    pub fn take_task(&mut self) -> Option<TaskId> {
        self.take(1).map(|block| TaskId::from_u128(block.first))
    }
}
