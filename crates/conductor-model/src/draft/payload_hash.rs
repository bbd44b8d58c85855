//! What an idempotency key stands for: a hash of what the caller gave.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The version of the hash, stored beside it: two hashes are compared only under the same version.
pub const PAYLOAD_HASH_VERSION: u8 = 1;

/// SHA-256 of what the caller gave: JSON with sorted keys and without white space; no generated ids, no
/// resolved times, no defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadHash(pub [u8; 32]);

impl PayloadHash {
    pub(crate) fn of(json: &str) -> Self {
        let mut canonical = String::with_capacity(json.len());
        write(json, &mut canonical);
        Self(Sha256::digest(canonical).into())
    }
}

/// Writes the JSON with its keys sorted. Numbers keep their digits, so that no two of them fall together.
fn write(json: &str, out: &mut String) {
    match json.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
            out.push('{');
            for (i, (key, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::String(key).to_string());
                out.push(':');
                write(value.get(), out);
            }
            out.push('}');
        }
        Some(b'[') => {
            out.push('[');
            for (i, item) in crate::json::elements(json).unwrap_or_default().into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        // The same text has several escapes; read and written again it has one.
        Some(b'"') => match serde_json::from_str::<serde_json::Value>(json) {
            Ok(text) => out.push_str(&text.to_string()),
            Err(_) => out.push_str(json),
        },
        _ => out.push_str(json),
    }
}

#[cfg(test)]
mod tests {
    use super::PayloadHash;

    #[test]
    fn the_order_of_keys_the_white_space_and_the_escapes_do_not_matter() {
        let one = PayloadHash::of(r#"{"a":[1, 2],"b":"é"}"#);
        assert_eq!(one, PayloadHash::of("{\"b\" : \"\\u00e9\",\n \"a\":[1,2]}"));
    }

    #[test]
    fn every_other_difference_matters() {
        let numbers =
            ["1", "1.0", "12345678901234567890123", "12345678901234567890124", "\"1\"", "[1]", "null"];
        for (i, a) in numbers.iter().enumerate() {
            for (j, b) in numbers.iter().enumerate() {
                assert_eq!(PayloadHash::of(a) == PayloadHash::of(b), i == j, "{a} and {b}");
            }
        }
    }
}
