//! Joins: the task that runs after the children of a parent, or after the root tasks of a run.

use super::reader::{AttemptLimits, Fields, Reader};
use crate::name::Kind;
use crate::state::{Backoff, MaxRetries};
use serde::{Deserialize, Serialize};

const JOIN: &str = "a kind, or an object: {\"kind\": \"report\", \"max_retries\": 3}";

/// An unchecked join: a kind, and the limits of its attempts.
///
/// As JSON: the kind, or an object with `kind` and optionally `max_retries`, `backoff` and `timeout_ms`.
#[derive(Clone, Debug, Default)]
pub struct JoinDraft(Fields);

impl JoinDraft {
    /// Creates a join that the handler of this kind executes.
    pub fn new(kind: impl AsRef<str>) -> Self {
        Self(Fields::default().with("kind", kind.as_ref()))
    }

    /// Sets the number of retries: 0 to 1000. Default: 3.
    pub fn max_retries(self, retries: i64) -> Self {
        Self(self.0.with("max_retries", &retries))
    }

    /// Sets the delay before a retry. Default: none.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self(self.0.with("backoff", &backoff))
    }

    /// Sets the time limit of an attempt, in milliseconds: 1 ms to seven days. Default: no limit.
    pub fn timeout_ms(self, ms: u32) -> Self {
        Self(self.0.with("timeout_ms", &ms))
    }
}

impl<K: AsRef<str>> From<K> for JoinDraft {
    fn from(kind: K) -> Self {
        Self::new(kind)
    }
}

impl Serialize for JoinDraft {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.members.serialize(serializer)
    }
}

/// A valid join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJoin {
    /// The kind, which selects the handler.
    pub kind: Kind,
    /// The number of retries.
    pub max_retries: MaxRetries,
    /// The delay before a retry.
    pub backoff: Backoff,
    /// The time limit of an attempt, in milliseconds; `None` for no limit.
    pub timeout_ms: Option<u32>,
}

impl NewJoin {
    /// Takes the member `join`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.is_string("join") {
            let kind = reader.text("join", Kind::parse_member)?;
            let (max_retries, backoff) = (MaxRetries::default(), Backoff::NONE);
            return Some(Self { kind, max_retries, backoff, timeout_ms: None });
        }
        reader.object("join", JOIN, |join| {
            let kind = join.text("kind", Kind::parse_member);
            join.require("kind", kind.as_ref());
            let AttemptLimits { max_retries, backoff, timeout_ms } = join.attempt_limits();
            kind.map(|kind| Self { kind, max_retries, backoff, timeout_ms })
        })
    }
}
