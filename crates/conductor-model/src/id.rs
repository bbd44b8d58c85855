//! ULIDs for runs and tasks, and blocks of consecutive ones.

use crate::issue::{Issue, IssueCode};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use ulid::Ulid;

fn parse(text: &str) -> Result<Ulid, Issue> {
    let wrong = |why: &str| {
        Issue::new(
            IssueCode::InvalidFormat,
            format!("must be a ULID (26 Crockford base-32 characters): {why}"),
        )
    };
    let ulid = Ulid::from_string(text).map_err(|error| wrong(&error.to_string()))?;
    // 26 characters hold 130 bits; the crate drops the two that do not fit.
    if text.as_bytes()[0] > b'7' {
        return Err(wrong("the first character may not be above 7"));
    }
    Ok(ulid)
}

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = concat!("The id of a ", $what, ": a ULID.")]
        ///
        /// Either case is accepted, upper case is written, and the order of ids is the order of their text.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// The id with these 128 bits: 48 of milliseconds since 1970, 80 of chance.
            pub fn from_u128(bits: u128) -> Self {
                Self(Ulid::from(bits))
            }

            /// The 128 bits of the id.
            pub fn as_u128(self) -> u128 {
                self.0.into()
            }
        }

        impl FromStr for $name {
            type Err = Issue;

            fn from_str(text: &str) -> Result<Self, Issue> {
                parse(text).map(Self)
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

id!(RunId, "run");
id!(TaskId, "task");
id!(EngineId, "working engine");

/// Consecutive ids, reserved from a generator before the transaction that uses them.
///
/// A block is also the bound of a step: a fan-out that is given a block of 10,000 creates at most 10,000
/// children. Ids of a block that are not used are never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlock {
    first: u128,
    len: u32,
}

impl IdBlock {
    /// The block of `len` ids from `first` on, or `None` if it would run past the last ULID.
    pub fn new(first: u128, len: u32) -> Option<Self> {
        first.checked_add(u128::from(len))?;
        Some(Self { first, len })
    }

    /// How many ids are left in the block.
    pub fn len(self) -> u32 {
        self.len
    }

    /// Whether no id is left in the block.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The first id of the block, as a task's.
    pub fn first_task(self) -> TaskId {
        TaskId::from_u128(self.first)
    }

    /// Takes the first `count` ids off the block, or `None` (and takes nothing) if it holds fewer.
    pub fn take(&mut self, count: u32) -> Option<Self> {
        let rest = self.len.checked_sub(count)?;
        let taken = Self { first: self.first, len: count };
        *self = Self { first: self.first + u128::from(count), len: rest };
        Some(taken)
    }

    /// Takes one id off the block for a run.
    pub fn take_run(&mut self) -> Option<RunId> {
        self.take(1).map(|one| RunId::from_u128(one.first))
    }

    /// Takes one id off the block for an engine.
    pub fn take_engine(&mut self) -> Option<EngineId> {
        self.take(1).map(|one| EngineId::from_u128(one.first))
    }

    /// Takes one id off the block for a task.
    pub fn take_task(&mut self) -> Option<TaskId> {
        self.take(1).map(|one| TaskId::from_u128(one.first))
    }
}
