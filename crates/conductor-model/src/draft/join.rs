//! What runs after the children of a parent.

use crate::draft::{BACKOFF, read_backoff};
use crate::fields::{Fields, Reader};
use crate::issue::{Issue, IssueCode};
use crate::name::Kind;
use crate::retry::{Backoff, MAX_RETRIES, MAX_TIMEOUT_MS, MaxRetries};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A join that somebody wants, unchecked: a kind, or a kind with attempts and a timeout of its own.
///
/// As JSON it is the kind, or an object with `kind` and, if wanted, `max_retries`, `backoff` and `timeout_ms`.
#[derive(Clone, Debug, Default)]
pub struct JoinDraft(Fields);

impl JoinDraft {
    /// A join that the handler of this kind runs.
    pub fn new(kind: impl AsRef<str>) -> Self {
        Self(Fields::default().with("kind", kind.as_ref()))
    }

    /// How often it is retried: 0 to 1000, 3 by default.
    pub fn max_retries(self, retries: i64) -> Self {
        Self(self.0.with("max_retries", &retries))
    }

    /// How long it waits for a retry; not at all by default.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self(self.0.with("backoff", &backoff))
    }

    /// How long an attempt may take, in milliseconds: 1 to seven days; without a limit by default.
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

/// A join that may be run: every value in it is a valid one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJoin {
    /// Which handler runs it.
    pub kind: Kind,
    /// How often it is retried.
    pub max_retries: MaxRetries,
    /// How long it waits for a retry.
    pub backoff: Backoff,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: Option<u32>,
}

impl Reader<'_> {
    /// The member as a join.
    pub(crate) fn join(&mut self, key: &str) -> Option<NewJoin> {
        let raw = self.members.get(key)?.get();
        if raw.starts_with('"') {
            let kind = self.text(key, Kind::from_str)?;
            let (max_retries, backoff) = (MaxRetries::default(), Backoff::NONE);
            return Some(NewJoin { kind, max_retries, backoff, timeout_ms: None });
        }
        self.object(key, "a kind, or an object: {\"kind\": \"report\", \"max_retries\": 3}", |join| {
            let kind = join.text("kind", Kind::from_str);
            if kind.is_none() && !join.issues.iter().any(|issue| issue.path == "kind") {
                join.issue("kind", Issue::new(IssueCode::Required, "is required"));
            }
            let (max_retries, backoff, timeout_ms) = join.attempts();
            kind.map(|kind| NewJoin { kind, max_retries, backoff, timeout_ms })
        })
    }

    /// The members that say how often, and for how long, something is tried.
    pub(crate) fn attempts(&mut self) -> (MaxRetries, Backoff, Option<u32>) {
        let max_retries = self.integer("max_retries", 0..=i64::from(MAX_RETRIES));
        let max_retries = max_retries.and_then(|n| self.checked("max_retries", MaxRetries::try_from(n)));
        let backoff = self.object("backoff", BACKOFF, read_backoff);
        let timeout_ms = self.integer("timeout_ms", 1..=i64::from(MAX_TIMEOUT_MS));
        let timeout_ms = timeout_ms.and_then(|ms| u32::try_from(ms).ok());
        (max_retries.unwrap_or_default(), backoff, timeout_ms)
    }
}
