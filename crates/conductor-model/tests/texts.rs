//! Error texts and progress.

use conductor_model::{ErrorText, MAX_ERROR_BYTES, MAX_PROGRESS_MESSAGE_BYTES, Progress, ProgressMessage};

#[test]
fn message_within_limit_is_kept() {
    for text in ["", "half of it", "ä\n\u{1F600}", &"x".repeat(MAX_PROGRESS_MESSAGE_BYTES)] {
        assert_eq!(ProgressMessage::from(text).as_str(), text);
    }
}

#[test]
fn overlong_message_is_truncated_and_nul_replaced() {
    for character in ["x", "ä", "\u{1F600}"] {
        let message = ProgressMessage::from(character.repeat(MAX_PROGRESS_MESSAGE_BYTES + 1));
        let text = message.as_str();
        assert!(text.ends_with('…') && text.len() <= MAX_PROGRESS_MESSAGE_BYTES, "{}", text.len());
        assert!(text.len() > MAX_PROGRESS_MESSAGE_BYTES - 8, "{}", text.len());
    }
    assert_eq!(ProgressMessage::from("a\0b").as_str(), "a\u{FFFD}b");
}

#[test]
fn progress_survives_json() {
    let progress = Progress { done: u64::MAX, total: None, message: "a\0b".into() };
    let json = serde_json::to_string(&progress).unwrap();
    assert_eq!(json, "{\"done\":18446744073709551615,\"total\":null,\"message\":\"a\u{FFFD}b\"}");
    assert_eq!(serde_json::from_str::<Progress>(&json).unwrap(), progress);
    // A message from JSON is truncated as well.
    let long = format!(r#"{{"done":1,"total":2,"message":"{}"}}"#, "x".repeat(5000));
    let read: Progress = serde_json::from_str(&long).unwrap();
    assert_eq!(read.message.as_str().len(), MAX_PROGRESS_MESSAGE_BYTES);
}

#[test]
fn error_text_is_truncated_and_never_rejected() {
    assert_eq!(ErrorText::from("a\0b").as_str(), "a\u{FFFD}b");
    assert_eq!(ErrorText::from("").as_str(), "");
    assert_eq!(ErrorText::from("x".repeat(MAX_ERROR_BYTES)).as_str().len(), MAX_ERROR_BYTES);
    for long in
        ["x".repeat(MAX_ERROR_BYTES + 1), "é".repeat(MAX_ERROR_BYTES), "\u{1F980}".repeat(MAX_ERROR_BYTES)]
    {
        let truncated = ErrorText::from(long.clone());
        assert!(
            truncated.as_str().len() <= MAX_ERROR_BYTES && truncated.as_str().len() > MAX_ERROR_BYTES - 8
        );
        assert!(long.starts_with(truncated.as_str().strip_suffix('…').unwrap()));
        assert_eq!(ErrorText::from(truncated.as_str()), truncated, "truncating again changes nothing");
    }
}
