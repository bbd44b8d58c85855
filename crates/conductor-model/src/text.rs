//! Texts that handlers supply: bounded in length, and never rejected.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest stored error text, in bytes: 64 KiB. Longer texts are truncated.
pub const MAX_ERROR_BYTES: usize = 64 * 1024;

/// The longest stored progress message, in bytes: 1 KiB. Longer messages are truncated.
pub const MAX_PROGRESS_MESSAGE_BYTES: usize = 1024;

/// Returns the text in at most `max_bytes` bytes, with U+FFFD in place of NUL.
///
/// Many readers of the database would take a NUL for the end of the text.
fn truncate_text(mut text: String, max_bytes: usize) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{FFFD}");
    }
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes - '…'.len_utf8()));
        text.push('…');
    }
    text
}

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max_bytes:ident) => {
        $(#[$doc])*
        ///
        #[doc = concat!("A text longer than [`", stringify!($max_bytes), "`] is truncated and ends in `…`; a NUL")]
        /// becomes U+FFFD.
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(truncate_text(text, $max_bytes))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                String::from(text).into()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded_text! {
    /// The error of a failed attempt, or the reason of a cancel, as text for people.
    ErrorText, MAX_ERROR_BYTES
}

bounded_text! {
    /// The message of a progress report. Default: empty.
    #[derive(Default)]
    ProgressMessage, MAX_PROGRESS_MESSAGE_BYTES
}
