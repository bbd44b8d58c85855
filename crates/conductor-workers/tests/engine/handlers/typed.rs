//! Input, output and errors of handlers.

use crate::support::fixture::{Fixture, failures, settle};
use conductor_model::{State, Task, TaskDraft};
use conductor_workers::{Context, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Deserialize)]
struct Image {
    path: String,
    width: u32,
}

#[derive(Serialize)]
struct Thumbnail {
    path: String,
    pixels: u32,
}

#[expect(clippy::unnecessary_wraps, reason = "a handler may fail")]
fn thumbnail(image: Image, _: Context) -> Result<Thumbnail, TaskError> {
    Ok(Thumbnail { path: image.path + ".png", pixels: image.width * image.width })
}

fn output(task: &Task) -> Option<&str> {
    task.output.as_ref().map(conductor_model::Json::as_str)
}

fn error(task: &Task) -> &str {
    task.last_error.as_ref().expect("an error").as_str()
}

#[test]
fn input_and_output_are_typed() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("thumbnail", thumbnail).build().unwrap();
    let task = TaskDraft::new("thumbnail").input(json!({"path": "a", "width": 8, "more": true}));
    let task = fixture.run_task(&engine, task);
    assert_eq!((task.state, task.attempt, task.retry_count), (State::Succeeded, 1, 0));
    assert_eq!(output(&task), Some(r#"{"path":"a.png","pixels":64}"#));
}

#[test]
fn closure_with_captures_is_handler() {
    let fixture = Fixture::new();
    let prices = HashMap::from([("tea", 3), ("cake", 5)]);
    let price = move |what: String, _: Context| {
        prices.get(what.as_str()).copied().ok_or_else(|| TaskError::fatal(format!("we have no {what}")))
    };
    let engine = fixture.engine().handler("price", price).build().unwrap();
    assert_eq!(output(&fixture.run_task(&engine, TaskDraft::new("price").input("cake"))), Some("5"));
    let task = fixture.run_task(&engine, TaskDraft::new("price").input("fish"));
    assert_eq!((task.state, error(&task)), (State::Failed, "we have no fish"));
}

#[test]
fn children_of_counted_fan_out_read_unit() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("work", |(): (), _: Context| Ok(())).build().unwrap();
    let run = fixture.submit(TaskDraft::new("work").input(json!({"fanout": 3})));
    assert_eq!(settle(&engine, run).state_counts.succeeded, 4);
}

#[test]
fn missing_input_reads_as_null() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .handler("unit", |(): (), _| Ok("unit"))
        .handler("option", |input: Option<u32>, _| Ok(input.is_none()))
        .handler("value", |input: serde_json::Value, _| Ok(vec![input]))
        .build()
        .unwrap();
    for (kind, expected) in [("unit", "\"unit\""), ("option", "true"), ("value", "[null]")] {
        assert_eq!(output(&fixture.run_task(&engine, TaskDraft::new(kind))), Some(expected), "{kind}");
    }
}

#[test]
fn empty_output_is_stored_as_none() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .handler("unit", |(): (), _| Ok(()))
        .handler("option", |(): (), _| Ok(None::<u32>))
        .build()
        .unwrap();
    for kind in ["unit", "option"] {
        let task = fixture.run_task(&engine, TaskDraft::new(kind));
        assert_eq!((task.state, output(&task)), (State::Succeeded, None), "{kind}");
    }
}

#[test]
fn mismatched_input_fails_permanently() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("thumbnail", thumbnail).build().unwrap();
    for input in [json!({"path": "a"}), json!(7), json!({"path": "a", "width": -1})] {
        let task = fixture.run_task(&engine, TaskDraft::new("thumbnail").input(&input));
        assert_eq!((task.state, task.retry_count), (State::Failed, 0), "{input}");
        assert!(error(&task).starts_with("the input does not fit the handler: "), "{}", error(&task));
    }
    let task = fixture.run_task(&engine, TaskDraft::new("thumbnail").input(json!({"path": "a"})));
    assert!(error(&task).contains("missing field `width`"), "{}", error(&task));
    // A missing input does not fit either.
    assert_eq!(fixture.run_task(&engine, TaskDraft::new("thumbnail")).state, State::Failed);
}

#[test]
fn unstorable_output_fails_permanently() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .handler("formless", |(): (), _| Ok(HashMap::from([((1, 2), 3)])))
        .handler("large", |(): (), _| Ok("x".repeat(2 << 20)))
        .build()
        .unwrap();
    for (kind, why) in [("formless", "has no JSON form"), ("large", "1048576")] {
        let task = fixture.run_task(&engine, TaskDraft::new(kind));
        assert_eq!((task.state, task.retry_count, output(&task)), (State::Failed, 0, None), "{kind}");
        assert!(error(&task).starts_with("the output cannot be stored: "), "{}", error(&task));
        assert!(error(&task).contains(why), "{}", error(&task));
    }
}

#[test]
fn retryable_error_is_retried_and_fatal_is_not() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .handler("retry", |(): (), context: Context| match context.retry_count() {
            0 | 1 => Err(TaskError::retry(format!("not yet: {}", context.retry_count()))),
            _ => Ok("at last"),
        })
        .handler("fatal", |(): (), _| Err::<(), _>(TaskError::fatal("never")))
        .build()
        .unwrap();
    let run = fixture.submit(TaskDraft::new("retry"));
    settle(&engine, run);
    assert_eq!(output(&fixture.first_task(run)), Some("\"at last\""));
    assert_eq!((fixture.first_task(run).attempt, fixture.first_task(run).retry_count), (3, 2));
    assert_eq!(failures(&fixture.events(run)), ["not yet: 0", "not yet: 1"]);
    let task = fixture.run_task(&engine, TaskDraft::new("fatal").max_retries(9));
    assert_eq!((task.state, task.attempt, error(&task)), (State::Failed, 1, "never"));
}

#[test]
fn retry_after_delays_retry() {
    let fixture = Fixture::new();
    let wait = Duration::from_millis(300);
    let engine = fixture
        .engine()
        .handler("limited", move |(): (), context: Context| match context.retry_count() {
            0 => Err(TaskError::retry_after(wait, "slow down")),
            _ => Ok(()),
        })
        .build()
        .unwrap();
    let run = fixture.submit(TaskDraft::new("limited"));
    settle(&engine, run);
    let times = |name: &str| {
        let events = fixture.events(run);
        let mut found = events.iter().filter(|event| event.body.name() == name);
        found.next().expect("an event").at
    };
    assert!(times("task.retried").millis_since(times("task.failed")) >= 300);
    assert_eq!(fixture.first_task(run).state, State::Succeeded);
}

#[derive(Debug, thiserror::Error)]
#[error("the page cannot be read")]
struct Outer(#[source] Middle);

#[derive(Debug, thiserror::Error)]
#[error("the disk is gone")]
struct Middle(#[source] std::num::ParseIntError);

#[test]
fn error_text_includes_all_sources() {
    let fixture = Fixture::new();
    let read = |text: String, _: Context| {
        let number = text.parse::<u32>().map_err(|error| Outer(Middle(error)))?;
        Ok(number)
    };
    let engine = fixture.engine().handler("read", read).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("read").input("x").max_retries(1));
    assert_eq!((task.state, task.attempt), (State::Failed, 2));
    assert_eq!(error(&task), "the page cannot be read: the disk is gone: invalid digit found in string");
}

#[test]
fn panic_fails_attempt_and_engine_continues() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .workers(1)
        .handler("panics", |how: String, _| -> Result<(), TaskError> {
            match how.as_str() {
                "plain" => panic!("a plain text"),
                "formatted" => panic!("a {how} text"),
                _ => std::panic::panic_any(7),
            }
        })
        .handler("works", |(): (), _| Ok(()))
        .build()
        .unwrap();
    for (how, expected) in [
        ("plain", "panicked: a plain text"),
        ("formatted", "panicked: a formatted text"),
        ("with a number", "panicked: without a message"),
    ] {
        let task = fixture.run_task(&engine, TaskDraft::new("panics").input(how).max_retries(1));
        // A panic is retryable.
        assert_eq!((task.state, task.attempt, error(&task)), (State::Failed, 2, expected));
    }
    assert_eq!(fixture.run_task(&engine, TaskDraft::new("works")).state, State::Succeeded);
}

#[test]
fn panic_in_serde_fails_attempt() {
    struct Panics;
    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("while reading")
        }
    }
    impl Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("while writing")
        }
    }
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .workers(1)
        .handler("in", |_: Panics, _| Ok(()))
        .handler("out", |(): (), _| Ok(Panics))
        .build()
        .unwrap();
    for (kind, expected) in [("in", "panicked: while reading"), ("out", "panicked: while writing")] {
        let task = fixture.run_task(&engine, TaskDraft::new(kind).max_retries(0));
        assert_eq!((task.state, error(&task)), (State::Failed, expected));
    }
}

#[test]
fn overlong_error_is_truncated() {
    let fixture = Fixture::new();
    let long = |(): (), _: Context| Err::<(), _>(TaskError::fatal("no\0".repeat(100_000)));
    let engine = fixture.engine().handler("long", long).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("long"));
    assert_eq!(task.state, State::Failed);
    assert!(error(&task).len() <= 64 * 1024 && error(&task).ends_with('…'));
}
