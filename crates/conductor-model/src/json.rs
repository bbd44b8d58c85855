//! JSON as it was given: checked once, kept as text.

use crate::issue::{Issue, IssueCode};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::{fmt, str::FromStr, sync::Arc};

/// The largest JSON text that is stored for a task or a run, in bytes.
pub const MAX_JSON_BYTES: usize = 1 << 20;
/// How deep arrays and objects may nest.
pub const MAX_JSON_DEPTH: usize = 64;

/// A JSON value of at most 1 MiB and at most 64 levels, without duplicate keys.
///
/// It is kept as the text that was given, so that a number comes back digit by digit, and cloning is cheap.
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
    /// The JSON of a serializable value.
    ///
    /// # Errors
    /// An [`Issue`] when the value has no JSON form, is larger than 1 MiB or nests deeper than 64.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Issue> {
        let text = serde_json::to_string(value)
            .map_err(|e| Issue::new(IssueCode::InvalidType, format!("has no JSON form: {e}")))?;
        text.parse()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, read into a type of the caller's.
    ///
    /// # Errors
    /// serde's, when the JSON does not fit the type.
    pub fn to<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    /// What each child of a counted fan-out gets: this object without its key `fanout`.
    pub fn without_fanout(&self) -> Self {
        let Ok(mut members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&self.0) else {
            return self.clone();
        };
        members.remove("fanout");
        // A map of raw JSON under string keys always has a JSON form.
        serde_json::to_string(&members).map_or_else(|_| self.clone(), |text| Self(text.into()))
    }

    /// The items of the array under the key `fanout`, as texts; empty when there is none.
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
        Checked { depth: 0 }.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| {
            let message = error.to_string();
            let code = if message.starts_with(DUPLICATE) {
                IssueCode::DuplicateKey
            } else if message.starts_with(TOO_DEEP) {
                IssueCode::TooBig
            } else {
                IssueCode::InvalidFormat
            };
            Issue::new(code, format!("is not accepted as JSON: {message}"))
        })?;
        Ok(Self(text.into()))
    }
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

/// Reads a member that is there: `null` is a value, and only an absent member is `None`.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

const DUPLICATE: &str = "the key ";
const TOO_DEEP: &str = "arrays and objects nest deeper";

/// Walks a JSON text once, builds nothing, and refuses depth and duplicate keys.
#[derive(Clone, Copy)]
struct Checked {
    depth: usize,
}

impl Checked {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_JSON_DEPTH {
            return Err(E::custom(format_args!("{TOO_DEEP} than {MAX_JSON_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
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
        let inside = self.inside()?;
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            map.next_value_seed(inside)?;
            if let Some(twice) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("{DUPLICATE}{twice:?} stands there twice")));
            }
        }
        Ok(())
    }
}

/// The text of one member of a JSON object; `None` when the text is no object or has no such key.
pub(crate) fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    if !text.starts_with('{') {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    Member { key }.deserialize(&mut reader).ok().flatten().map(RawValue::get)
}

/// The texts of a JSON array's elements; `None` when the text is no array.
pub(crate) fn elements(text: &str) -> Option<Vec<&str>> {
    if !text.starts_with('[') {
        return None;
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

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
