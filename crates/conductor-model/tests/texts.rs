//! What handlers report of their progress.

use conductor_model::{MAX_PROGRESS_MESSAGE_BYTES, Progress, ProgressMessage};

#[test]
fn a_message_is_kept_as_it_is_up_to_its_limit() {
    for text in ["", "half of it", "ä\n\u{1F600}", &"x".repeat(MAX_PROGRESS_MESSAGE_BYTES)] {
        assert_eq!(ProgressMessage::from(text).as_str(), text);
    }
}

#[test]
fn an_overlong_message_is_cut_between_characters_and_a_nul_is_replaced() {
    for character in ["x", "ä", "\u{1F600}"] {
        let message = ProgressMessage::from(character.repeat(MAX_PROGRESS_MESSAGE_BYTES + 1));
        let kept = message.as_str();
        assert!(kept.ends_with('…') && kept.len() <= MAX_PROGRESS_MESSAGE_BYTES, "{}", kept.len());
        assert!(kept.len() > MAX_PROGRESS_MESSAGE_BYTES - 8, "{}", kept.len());
    }
    assert_eq!(ProgressMessage::from("a\0b").as_str(), "a\u{FFFD}b");
}

#[test]
fn a_progress_survives_as_json() {
    let progress = Progress { done: u64::MAX, total: None, message: "a\0b".into() };
    let json = serde_json::to_string(&progress).unwrap();
    assert_eq!(json, "{\"done\":18446744073709551615,\"total\":null,\"message\":\"a\u{FFFD}b\"}");
    assert_eq!(serde_json::from_str::<Progress>(&json).unwrap(), progress);
    // The checks of a message hold for JSON too.
    let long = format!(r#"{{"done":1,"total":2,"message":"{}"}}"#, "x".repeat(5000));
    let read: Progress = serde_json::from_str(&long).unwrap();
    assert_eq!(read.message.as_str().len(), MAX_PROGRESS_MESSAGE_BYTES);
}
