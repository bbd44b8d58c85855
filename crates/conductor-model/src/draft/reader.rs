//! The members of an object as they were written, and how they are read without stopping at the first mistake.

use crate::issue::{Issue, IssueCode};
use crate::json::Json;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// A JSON object as it was written, one unchecked text per key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) members: BTreeMap<String, Box<RawValue>>,
    pub(crate) issues: Vec<Issue>,
}

impl Fields {
    pub(crate) fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        match serde_json::value::to_raw_value(value) {
            Ok(raw) => {
                self.members.insert(key.into(), raw);
            }
            Err(e) => {
                self.issues
                    .push(Issue::new(IssueCode::InvalidType, format!("has no JSON form: {e}")).at(key));
            }
        }
    }

    pub(crate) fn with<T: Serialize + ?Sized>(mut self, key: &str, value: &T) -> Self {
        self.set(key, value);
        self
    }

    /// The JSON of the whole, for the payload's hash. A key that is `null` says as much as an absent one, but for
    /// those that hold any JSON.
    pub(crate) fn to_json(&self) -> String {
        let says = |key: &str, raw: &RawValue| raw.get() != "null" || matches!(key, "input" | "meta");
        let members: BTreeMap<_, _> = self.members.iter().filter(|(key, raw)| says(key, raw)).collect();
        // A map of raw JSON under string keys always has a JSON form.
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
                        let twice = Issue::new(IssueCode::DuplicateKey, "this key stands there twice");
                        fields.issues.push(twice.at(&key));
                    }
                    fields.members.insert(key, value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Takes the members of an object one by one, and collects what is wrong with them.
pub(crate) struct Reader<'f> {
    pub(crate) members: BTreeMap<&'f str, &'f RawValue>,
    pub(crate) issues: Vec<Issue>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(fields: &'f Fields) -> Self {
        let members = fields.members.iter().map(|(key, raw)| (key.as_str(), &**raw)).collect();
        Self { members, issues: fields.issues.clone() }
    }

    /// The member as a type of serde's; `null` counts as absent.
    pub(crate) fn value<T: Deserialize<'f>>(&mut self, key: &str, expected: &str) -> Option<T> {
        let raw = self.members.remove(key)?.get();
        if raw == "null" {
            return None;
        }
        if let Ok(value) = serde_json::from_str(raw) {
            Some(value)
        } else {
            self.issue(key, Issue::new(IssueCode::InvalidType, format!("must be {expected}")));
            None
        }
    }

    /// The member as an integer between these bounds.
    pub(crate) fn integer(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let raw = self.members.remove(key)?.get();
        if raw == "null" {
            return None;
        }
        let (least, greatest) = (*range.start(), *range.end());
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        let code = match raw.parse::<i64>() {
            Ok(number) if number < least => IssueCode::TooSmall,
            Ok(number) if number > greatest => IssueCode::TooBig,
            Ok(number) => return Some(number),
            Err(_) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => IssueCode::InvalidType,
            Err(_) if raw.starts_with('-') => IssueCode::TooSmall,
            Err(_) => IssueCode::TooBig,
        };
        self.issue(key, Issue::new(code, format!("must be an integer in {least}..={greatest}")));
        None
    }

    /// The member as an object whose own members are read by `read`; its issues are told below its key.
    pub(crate) fn object<T: Default>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        let Some(raw) = self.members.remove(key).filter(|raw| raw.get() != "null") else {
            return T::default();
        };
        let Ok(fields) = serde_json::from_str::<Fields>(raw.get()) else {
            self.issue(key, Issue::new(IssueCode::InvalidType, format!("must be {expected}")));
            return T::default();
        };
        let mut reader = Reader::new(&fields);
        let value = read(&mut reader);
        for issue in reader.finish() {
            self.issue(key, issue);
        }
        value
    }

    /// The member as a text that has a form of its own.
    pub(crate) fn text<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, Issue>) -> Option<T> {
        let text: String = self.value(key, "a text")?;
        self.checked(key, parse(&text))
    }

    /// The member as JSON that is kept.
    pub(crate) fn json(&mut self, key: &str) -> Option<Json> {
        let parsed = self.members.remove(key)?.get().parse();
        self.checked(key, parsed)
    }

    pub(crate) fn checked<T>(&mut self, key: &str, result: Result<T, Issue>) -> Option<T> {
        result.map_err(|issue| self.issue(key, issue)).ok()
    }

    pub(crate) fn issue(&mut self, key: &str, issue: Issue) {
        self.issues.push(issue.at(key));
    }

    pub(crate) fn finish(mut self) -> Vec<Issue> {
        for key in std::mem::take(&mut self.members).into_keys() {
            self.issue(key, Issue::new(IssueCode::UnrecognizedKey, "is not a key that belongs here"));
        }
        self.issues
    }
}
