//! The members of a JSON object, read without stopping at the first issue.

use crate::issue::{Issue, IssueCode, shown_json};
use crate::json::Json;
use crate::state::{Backoff, BackoffDraft, MAX_BACKOFF_MS, MAX_RETRIES, MAX_TIMEOUT_MS, MaxRetries, Policy};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

const BACKOFF: &str =
    "an object: {\"fixed_ms\": 500}, or {\"first_ms\": 100, \"cap_ms\": 60000, \"jitter\": 0.2}";
const POLICY: &str =
    "\"fail\", \"ignore\", \"fail_fast\", {\"tolerate\": n}, or {\"tolerate_percent\": n} with n up to 100";

/// A JSON object with one unchecked JSON text per key.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) members: BTreeMap<String, Box<RawValue>>,
    pub(super) issues: Vec<Issue>,
}

impl Fields {
    pub(super) fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        match serde_json::value::to_raw_value(value) {
            Ok(raw) => {
                self.members.insert(key.into(), raw);
            }
            Err(error) => {
                let message = format!("has no JSON form: {error}");
                self.issues.push(Issue::new(IssueCode::InvalidType, message).at(key));
            }
        }
    }

    pub(super) fn with<T: Serialize + ?Sized>(mut self, key: &str, value: &T) -> Self {
        self.set(key, value);
        self
    }

    /// Returns the JSON of the object, for the payload hash.
    ///
    /// A `null` counts as a missing member, except under keys that accept any JSON.
    pub(super) fn to_json(&self) -> String {
        let counts = |key: &str, raw: &RawValue| raw.get() != "null" || matches!(key, "input" | "meta");
        let members: BTreeMap<_, _> = self.members.iter().filter(|(key, raw)| counts(key, raw)).collect();
        // Serializing a map of raw JSON with string keys cannot fail.
        serde_json::to_string(&members).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.members.contains_key(&key) {
                        let duplicate = Issue::new(IssueCode::DuplicateKey, "duplicate key");
                        fields.issues.push(duplicate.at(&key));
                    }
                    fields.members.insert(key, value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// How often, and for how long, a task or a join is attempted.
pub(super) struct AttemptLimits {
    pub(super) max_retries: MaxRetries,
    pub(super) backoff: Backoff,
    pub(super) timeout_ms: Option<u32>,
}

/// Takes the members of an object one by one, and collects their issues.
pub(super) struct Reader<'f> {
    members: BTreeMap<&'f str, &'f RawValue>,
    /// The keys that were taken, whether or not the object has them.
    known_keys: Vec<&'static str>,
    issues: Vec<Issue>,
}

impl<'f> Reader<'f> {
    pub(super) fn new(fields: &'f Fields) -> Self {
        let members = fields.members.iter().map(|(key, raw)| (key.as_str(), &**raw)).collect();
        Self { members, known_keys: Vec::new(), issues: fields.issues.clone() }
    }

    /// Takes the JSON text of the member.
    fn take(&mut self, key: &'static str) -> Option<&'f str> {
        self.known_keys.push(key);
        self.members.remove(key).map(RawValue::get)
    }

    /// Takes the JSON text of the member; `null` counts as missing.
    fn take_value(&mut self, key: &'static str) -> Option<&'f str> {
        self.take(key).filter(|raw| *raw != "null")
    }

    /// Makes a key known that the caller reads elsewhere.
    pub(super) fn knows(&mut self, key: &'static str) {
        self.known_keys.push(key);
    }

    /// Returns whether the member is a JSON string. Does not take it.
    pub(super) fn is_string(&self, key: &str) -> bool {
        self.members.get(key).is_some_and(|raw| raw.get().starts_with('"'))
    }

    /// Takes the member as a deserializable type; `null` counts as missing.
    pub(super) fn value<T: Deserialize<'f>>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        let raw = self.take_value(key)?;
        if let Ok(value) = serde_json::from_str(raw) {
            Some(value)
        } else {
            self.unexpected(key, expected, raw);
            None
        }
    }

    fn unexpected(&mut self, key: &str, expected: &str, raw: &str) {
        let message = format!("must be {expected}, but is {}", shown_json(raw));
        self.issue(key, Issue::new(IssueCode::InvalidType, message));
    }

    /// Takes the member as an integer in this range.
    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let raw = self.take_value(key)?;
        let (min, max) = (*range.start(), *range.end());
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        let code = match raw.parse::<i64>() {
            Ok(number) if number < min => IssueCode::TooSmall,
            Ok(number) if number > max => IssueCode::TooBig,
            Ok(number) => return Some(number),
            Err(_) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => IssueCode::InvalidType,
            Err(_) if raw.starts_with('-') => IssueCode::TooSmall,
            Err(_) => IssueCode::TooBig,
        };
        let message = format!("must be an integer in {min}..={max}, but is {}", shown_json(raw));
        self.issue(key, Issue::new(code, message));
        None
    }

    /// Takes the member as an object, whose own members `read` takes. Paths of its issues begin with `key`.
    pub(super) fn object<T: Default>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        let Some(raw) = self.take_value(key) else {
            return T::default();
        };
        let Ok(fields) = serde_json::from_str::<Fields>(raw) else {
            self.unexpected(key, expected, raw);
            return T::default();
        };
        let mut inner = Reader::new(&fields);
        let value = read(&mut inner);
        self.issues_at(key, inner.finish());
        value
    }

    /// Takes the member as a string, and parses it.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Issue>,
    ) -> Option<T> {
        let expected = if self.is_string(key) { "a string of valid Unicode" } else { "a string" };
        let text: String = self.value(key, expected)?;
        self.ok_or_issue(key, parse(&text))
    }

    /// Takes the member as any JSON; `null` is a value.
    pub(super) fn json(&mut self, key: &'static str) -> Option<Json> {
        let parsed = self.take(key)?.parse();
        self.ok_or_issue(key, parsed)
    }

    /// Takes `open`. Default: false.
    pub(super) fn open(&mut self) -> bool {
        self.value("open", "true or false").unwrap_or(false)
    }

    /// Takes `policy`.
    pub(super) fn policy(&mut self) -> Option<Policy> {
        self.value("policy", POLICY)
    }

    /// Takes `max_retries`, `backoff` and `timeout_ms`.
    pub(super) fn attempt_limits(&mut self) -> AttemptLimits {
        let max_retries = self.integer("max_retries", 0..=i64::from(MAX_RETRIES));
        let max_retries = max_retries.and_then(|n| self.ok_or_issue("max_retries", MaxRetries::try_from(n)));
        let backoff = self.object("backoff", BACKOFF, read_backoff);
        let timeout_ms = self.integer("timeout_ms", 1..=i64::from(MAX_TIMEOUT_MS));
        let timeout_ms = timeout_ms.and_then(|ms| u32::try_from(ms).ok());
        AttemptLimits { max_retries: max_retries.unwrap_or_default(), backoff, timeout_ms }
    }

    fn ok_or_issue<T>(&mut self, key: &str, result: Result<T, Issue>) -> Option<T> {
        result.map_err(|issue| self.issue(key, issue)).ok()
    }

    pub(super) fn issue(&mut self, key: &str, issue: Issue) {
        self.issues.push(issue.at(key));
    }

    pub(super) fn issues_at(&mut self, key: &str, issues: Vec<Issue>) {
        self.issues.extend(issues.into_iter().map(|issue| issue.at(key)));
    }

    /// Adds the issue of a missing member, unless an issue explains why it is missing.
    ///
    /// Such an issue has the path of the member, or the empty path if the value is not an object.
    pub(super) fn require<T>(&mut self, key: &str, value: Option<&T>) {
        if value.is_none() && !self.issues.iter().any(|issue| ["", key].contains(&issue.path.as_str())) {
            self.issue(key, Issue::new(IssueCode::Required, "is required"));
        }
    }

    pub(super) fn has_issues(&self) -> bool {
        !self.issues.is_empty()
    }

    /// Returns all issues. Members that were not taken are unknown keys.
    pub(super) fn finish(mut self) -> Vec<Issue> {
        let known = self.known_keys.join(", ");
        for key in std::mem::take(&mut self.members).into_keys() {
            let message = format!("unknown key; the known keys are {known}");
            self.issue(key, Issue::new(IssueCode::UnrecognizedKey, message));
        }
        self.issues
    }
}

fn read_backoff(reader: &mut Reader<'_>) -> Backoff {
    let mut delay = |key: &'static str| {
        let ms = reader.integer(key, 0..=i64::try_from(MAX_BACKOFF_MS).unwrap_or(i64::MAX));
        ms.and_then(|ms| u64::try_from(ms).ok())
    };
    let (fixed_ms, first_ms, cap_ms) = (delay("fixed_ms"), delay("first_ms"), delay("cap_ms"));
    let jitter = reader.value("jitter", "a number between 0.0 and 1.0");
    if reader.has_issues() {
        return Backoff::NONE;
    }
    match Backoff::try_from(BackoffDraft { fixed_ms, first_ms, cap_ms, jitter }) {
        Ok(backoff) => backoff,
        Err(issue) => {
            reader.issues.push(issue);
            Backoff::NONE
        }
    }
}
