//! JSON values: checked once, stored as the text of the caller.

use crate::issue::{Issue, IssueCode};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::{fmt, str::FromStr, sync::Arc};

/// The largest JSON text of a task or a run, in bytes: 1 MiB.
pub const MAX_JSON_BYTES: usize = 1 << 20;
/// The deepest nesting of arrays and objects.
pub const MAX_JSON_DEPTH: usize = 64;

/// A JSON value of at most 1 MiB and at most 64 levels, without duplicate keys.
///
/// It keeps the original text, so numbers keep all their digits. Cloning is cheap.
///
/// ```
/// use conductor_model::Json;
///
/// let json: Json = r#"{"big": 12345678901234567890123}"#.parse()?;
/// assert_eq!(json.as_str(), r#"{"big": 12345678901234567890123}"#);
/// assert!(r#"{"a": 1, "a": 2}"#.parse::<Json>().is_err());
/// # Ok::<(), conductor_model::Issue>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// Serializes a value to JSON.
    ///
    /// # Errors
    /// Returns an [`Issue`] if the value has no JSON form, is larger than 1 MiB or nests deeper than 64 levels.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Issue> {
        let text = serde_json::to_string(value)
            .map_err(|error| Issue::new(IssueCode::InvalidType, format!("has no JSON form: {error}")))?;
        text.parse()
    }

    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Deserializes the value.
    ///
    /// # Errors
    /// Returns the error of `serde_json` if the JSON does not fit the type.
    pub fn to<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    /// Returns this object without its key `fanout`: the input of each child of a counted fan-out.
    ///
    /// A value that is not an object is returned unchanged.
    pub fn without_fanout(&self) -> Self {
        let Ok(mut members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&self.0) else {
            return self.clone();
        };
        members.remove("fanout");
        // Serializing a map of raw JSON with string keys cannot fail.
        serde_json::to_string(&members).map_or_else(|_| self.clone(), |text| Self(text.into()))
    }

    /// Returns the texts of the items under the key `fanout`; empty if `fanout` is not an array.
    pub fn fanout_items(&self) -> Vec<&str> {
        member(&self.0, "fanout").and_then(elements).unwrap_or_default()
    }
}

impl FromStr for Json {
    type Err = Issue;

    fn from_str(text: &str) -> Result<Self, Issue> {
        if text.len() > MAX_JSON_BYTES {
            let message = format!("must be at most {MAX_JSON_BYTES} bytes of JSON, but has {}", text.len());
            return Err(Issue::new(IssueCode::TooBig, message));
        }
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        let mut reader = serde_json::Deserializer::from_str(text);
        Checker { depth: 0 }
            .deserialize(&mut reader)
            .and_then(|()| reader.end())
            .map_err(|error| rejected(&error))?;
        Ok(Self(text.into()))
    }
}

/// Converts the error of [`Checker`] or of the JSON parser.
fn rejected(error: &serde_json::Error) -> Issue {
    let message = error.to_string();
    let code = if message.starts_with(DUPLICATE) {
        IssueCode::DuplicateKey
    } else if message.starts_with(TOO_DEEP) {
        IssueCode::TooBig
    } else {
        IssueCode::InvalidFormat
    };
    Issue::new(code, format!("is not accepted as JSON: {message}"))
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        raw.get().parse().map_err(D::Error::custom)
    }
}

/// Deserializes a member that exists: `null` is a value, and only a missing member is `None`.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

const DUPLICATE: &str = "duplicate key ";
const TOO_DEEP: &str = "arrays and objects nest deeper";

/// Reads a JSON text once without building a value, and rejects excessive depth and duplicate keys.
#[derive(Clone, Copy)]
struct Checker {
    depth: usize,
}

impl Checker {
    fn nested<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_JSON_DEPTH {
            return Err(E::custom(format_args!("{TOO_DEEP} than {MAX_JSON_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Checker {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checker {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let nested = self.nested()?;
        while seq.next_element_seed(nested)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let nested = self.nested()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            map.next_value_seed(nested)?;
            if let Some(duplicate) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("{DUPLICATE}{duplicate:?}")));
            }
        }
        Ok(())
    }
}

/// Returns the text of one member of a JSON object; `None` if the text is not an object or lacks the key.
pub(crate) fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    if !text.starts_with('{') {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    Member { key }.deserialize(&mut reader).ok().flatten().map(RawValue::get)
}

/// Returns the texts of the elements of a JSON array; `None` if the text is not an array.
pub(crate) fn elements(text: &str) -> Option<Vec<&str>> {
    if !text.starts_with('[') {
        return None;
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// Finds one member of an object and skips the others.
struct Member<'k> {
    key: &'k str,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.key {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
