//! Ids, blocks of ids and timestamps.

use conductor_model::{IdBlock, IssueCode, RunId, TaskId, Timestamp};
use proptest::prelude::*;

const CROCKFORD: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Returns the text of a ULID, computed digit by digit.
fn crockford(mut bits: u128) -> String {
    let mut digits = [0_u8; 26];
    for digit in digits.iter_mut().rev() {
        *digit = CROCKFORD.as_bytes()[usize::try_from(bits % 32).unwrap()];
        bits /= 32;
    }
    String::from_utf8(digits.to_vec()).unwrap()
}

fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis())
        .prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

proptest! {
    #[test]
    fn id_is_written_upper_case_and_read_either(bits in any::<u128>()) {
        let id = TaskId::from_u128(bits);
        let text = id.to_string();
        prop_assert_eq!(&text, &crockford(bits));
        prop_assert_eq!(text.parse::<TaskId>().unwrap(), id);
        prop_assert_eq!(text.to_lowercase().parse::<TaskId>().unwrap(), id);
        prop_assert_eq!(id.as_u128(), bits);
        prop_assert_eq!(text.parse::<RunId>().unwrap().to_string(), text);
    }

    #[test]
    fn id_survives_json(bits in any::<u128>()) {
        let (run, task) = (RunId::from_u128(bits), TaskId::from_u128(bits));
        let json = serde_json::to_string(&(run, task)).unwrap();
        prop_assert_eq!(&json, &format!("[\"{run}\",\"{task}\"]"));
        prop_assert_eq!(serde_json::from_str::<(RunId, TaskId)>(&json).unwrap(), (run, task));
    }

    #[test]
    fn ids_sort_like_their_texts(a in any::<u128>(), b in any::<u128>()) {
        let (a, b) = (TaskId::from_u128(a), TaskId::from_u128(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        prop_assert_eq!(a.cmp(&b), a.as_u128().cmp(&b.as_u128()));
    }

    #[test]
    fn any_text_is_id_or_rejected(text in "[0-9A-Za-z é]{24,28}") {
        match text.parse::<TaskId>() {
            Ok(id) => prop_assert_eq!(id.to_string(), text.to_uppercase()),
            Err(issue) => prop_assert_eq!(issue.code, IssueCode::InvalidFormat),
        }
    }

    #[test]
    fn block_hands_out_its_consecutive_ids(
        first in any::<u64>(), len in 0_u32..100, takes in prop::collection::vec(0_u32..30, 0..20),
    ) {
        let mut block = IdBlock::new(u128::from(first), len).unwrap();
        let mut next = u128::from(first);
        for count in takes {
            let before = block;
            match block.take(count) {
                None => {
                    prop_assert!(count > before.len());
                    prop_assert_eq!(block, before);
                }
                Some(mut taken) => {
                    prop_assert_eq!(taken.len(), count);
                    while let Some(id) = taken.take_task() {
                        prop_assert_eq!(id.as_u128(), next);
                        next += 1;
                    }
                    prop_assert!(taken.is_empty());
                }
            }
        }
        prop_assert_eq!(next - u128::from(first) + u128::from(block.len()), u128::from(len));
    }

    #[test]
    fn timestamp_survives_text_and_json(timestamp in any_timestamp()) {
        let text = timestamp.to_string();
        prop_assert_eq!(text.len(), "2026-03-01T12:00:00.000Z".len());
        prop_assert!(text.ends_with('Z'));
        prop_assert_eq!(text.parse::<Timestamp>().unwrap(), timestamp);
        let json = serde_json::to_string(&timestamp).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), timestamp);
    }

    #[test]
    fn timestamps_sort_like_their_texts(a in any_timestamp(), b in any_timestamp()) {
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn timestamp_arithmetic_stays_in_range(timestamp in any_timestamp(), millis in any::<u64>()) {
        let (later, earlier) = (timestamp.plus_millis(millis), timestamp.minus_millis(millis));
        prop_assert!(earlier <= timestamp && timestamp <= later);
        prop_assert!(later == Timestamp::MAX || later.millis_since(timestamp) == millis);
        prop_assert!(earlier == Timestamp::MIN || timestamp.millis_since(earlier) == millis);
        prop_assert_eq!(earlier.millis_since(later), 0);
    }

    #[test]
    fn offset_is_converted_to_utc(
        timestamp in 0_i64..4_000_000_000_000, minutes in -1439_i64..=1439,
    ) {
        let local = Timestamp::from_millis(timestamp + minutes * 60_000).unwrap().to_string();
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
        let text = format!("{}{sign}{hours:02}:{rest:02}", local.trim_end_matches('Z'));
        prop_assert_eq!(text.parse::<Timestamp>().unwrap().as_millis(), timestamp, "{}", text);
    }
}

#[test]
fn malformed_ulid_is_rejected() {
    let good = "01HZXW3V5N8Q4R6T7Y9ABCDEFG";
    assert!(good.parse::<RunId>().is_ok());
    let bad = [
        String::new(),
        good[1..].into(),
        format!("{good}0"),
        format!(" {}", &good[1..]),
        format!("{}é", &good[2..]),
        format!("{}\0", &good[1..]),
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ".into(),
        "ZZZZZZZZZZZZZZZZZZZZZZZZZZ".into(),
        "80000000000000000000000000".into(),
        "01890a5d-ac96-774b-bcce-b302099a8057".into(),
    ];
    for text in bad {
        assert_eq!(text.parse::<RunId>().unwrap_err().code, IssueCode::InvalidFormat, "{text:?}");
        assert_eq!(text.parse::<TaskId>().unwrap_err().code, IssueCode::InvalidFormat, "{text:?}");
        assert!(serde_json::from_value::<TaskId>(text.into()).is_err());
    }
    for letter in ["I", "L", "O", "U", "i", "l", "o", "u", "-", "_"] {
        for place in [0, 1, 12, 25] {
            let mut text = String::from(good);
            text.replace_range(place..=place, letter);
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
    assert!(serde_json::from_str::<RunId>("12").is_err());
}

#[test]
fn smallest_and_largest_ids_are_valid() {
    let (first, last) = ("00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_eq!(first.parse::<TaskId>().unwrap().as_u128(), 0);
    assert_eq!(last.parse::<TaskId>().unwrap().as_u128(), u128::MAX);
    assert_eq!(format!("{:?}", first.parse::<RunId>().unwrap()), format!("RunId({first})"));
}

#[test]
fn block_beyond_largest_id_is_refused() {
    assert!(IdBlock::new(u128::MAX - 5, 5).is_some());
    assert_eq!(IdBlock::new(u128::MAX - 5, 7), None);
    let mut block = IdBlock::new(u128::MAX - 1, 1).unwrap();
    assert_eq!(block.take_run(), Some(RunId::from_u128(u128::MAX - 1)));
    assert_eq!(block.take_run(), None);
}

#[test]
fn timestamp_outside_years_0000_to_9999_is_rejected() {
    for (timestamp, text) in
        [(Timestamp::MIN, "0000-01-01T00:00:00.000Z"), (Timestamp::MAX, "9999-12-31T23:59:59.999Z")]
    {
        assert_eq!(timestamp.to_string(), text);
        assert_eq!(text.parse::<Timestamp>().unwrap(), timestamp);
    }
    assert!(Timestamp::from_millis(Timestamp::MIN.as_millis() - 1).is_err());
    assert!(Timestamp::from_millis(Timestamp::MAX.as_millis() + 1).is_err());
    assert!(Timestamp::from_millis(i64::MIN).is_err());
    assert!(Timestamp::from_millis(i64::MAX).is_err());
    // In range by their digits, out of range by their offset.
    assert!("0000-01-01T00:00:00+00:01".parse::<Timestamp>().is_err());
    assert!("9999-12-31T23:59:59-00:01".parse::<Timestamp>().is_err());
    assert!("9999-12-31T23:59:59+00:01".parse::<Timestamp>().is_ok());
}

#[test]
fn leap_second_becomes_next_day() {
    let leap: Timestamp = "2016-12-31T23:59:60.250Z".parse().unwrap();
    assert_eq!(leap.to_string(), "2017-01-01T00:00:00.250Z");
    assert!("9999-12-31T23:59:60Z".parse::<Timestamp>().is_err());
    assert!("2016-12-31T23:59:61Z".parse::<Timestamp>().is_err());
}

#[test]
fn digits_below_millisecond_are_dropped() {
    for (text, written) in [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000Z"),
        ("2026-03-01t12:00:00.9z", "2026-03-01T12:00:00.900Z"),
        ("2026-03-01T12:00:00.9999999Z", "2026-03-01T12:00:00.999Z"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00.000Z"),
    ] {
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), written, "{text}");
    }
}

#[test]
fn malformed_timestamp_is_rejected() {
    for text in [
        "",
        "now",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+25:00",
        "2026-03-01T12:00:00Z ",
        " 2026-03-01T12:00:00Z",
        "26-03-01T12:00:00Z",
        "+10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "1772366400",
        "2026-03-01T12:00:00Z\0",
    ] {
        let issue = text.parse::<Timestamp>().unwrap_err();
        assert_eq!(issue.code, IssueCode::InvalidFormat, "{text:?}");
    }
    assert!(serde_json::from_str::<Timestamp>("1772366400000").is_err());
}
