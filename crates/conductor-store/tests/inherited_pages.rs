//! A page of tasks is bounded by the bytes of the inputs that they have from their parents, too.
#![cfg(feature = "sqlite")]

#[path = "support/mod.rs"]
mod support;

use conductor_store::{Query, RunDraft, TaskDraft};
use serde_json::json;
use support::TestStore;

#[test]
fn wide_inherited_inputs_shorten_page() {
    let test = TestStore::new();
    let input = json!({"fanout": 40, "text": "x".repeat(900_000)});
    let run = test.submit(&RunDraft::new().task(TaskDraft::new("P").input(input)));
    test.fan_out_all(100);
    let parent = test.id_of(run, "P");
    let (mut indices, mut pages, mut cursor) = (Vec::new(), 0, Some(0));
    while let Some(after) = cursor {
        let page = test.store.children(parent, after, 1000).unwrap();
        assert!(page.items.len() <= 20, "{} wide tasks", page.items.len());
        indices.extend(page.items.iter().map(|task| task.index));
        (pages, cursor) = (pages + 1, page.next);
    }
    assert!(pages > 1);
    assert!(indices.iter().copied().eq(1..=40), "{indices:?}");
}
