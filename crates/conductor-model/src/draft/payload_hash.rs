//! The hash of a draft, which identifies a submission under an idempotency key.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The version of the hash, which is stored with it. Only hashes of the same version are compared.
pub const PAYLOAD_HASH_VERSION: u8 = 1;

/// The SHA-256 hash of a draft: of its JSON with sorted keys and without white space.
///
/// It excludes generated ids, resolved times and defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadHash(pub [u8; 32]);

impl PayloadHash {
    pub(crate) fn of(json: &str) -> Self {
        let mut canonical = String::with_capacity(json.len());
        write_canonical(json, &mut canonical);
        Self(Sha256::digest(canonical).into())
    }
}

/// Writes the JSON with sorted keys. Numbers keep their digits, so different numbers stay different.
fn write_canonical(json: &str, out: &mut String) {
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
                write_canonical(value.get(), out);
            }
            out.push('}');
        }
        Some(b'[') => {
            out.push('[');
            for (i, item) in crate::json::elements(json).unwrap_or_default().into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        // Different escapes of the same string become equal when it is parsed and serialized again.
        Some(b'"') => match serde_json::from_str::<serde_json::Value>(json) {
            Ok(string) => out.push_str(&string.to_string()),
            Err(_) => out.push_str(json),
        },
        _ => out.push_str(json),
    }
}

#[cfg(test)]
mod tests {
    use super::PayloadHash;

    #[test]
    fn key_order_white_space_and_escapes_are_ignored() {
        let one = PayloadHash::of(r#"{"a":[1, 2],"b":"é"}"#);
        assert_eq!(one, PayloadHash::of("{\"b\" : \"\\u00e9\",\n \"a\":[1,2]}"));
    }

    #[test]
    fn other_differences_change_hash() {
        let numbers =
            ["1", "1.0", "12345678901234567890123", "12345678901234567890124", "\"1\"", "[1]", "null"];
        for (i, a) in numbers.iter().enumerate() {
            for (j, b) in numbers.iter().enumerate() {
                assert_eq!(PayloadHash::of(a) == PayloadHash::of(b), i == j, "{a} and {b}");
            }
        }
    }
}
