//! Inputs that another program changed or deleted.

use crate::helpers::{FAILED, assert_claimed_only, items};
use crate::support::TestStore;
use conductor_model::{State, TaskDraft};
use conductor_store::{Append, Store};
use serde_json::json;

#[test]
fn corrupt_parent_fails_alone_at_fan_out() {
    for change in [
        "UPDATE conductor_inputs SET inputs = '{' WHERE task = 1024",
        "UPDATE conductor_inputs SET inputs = '[]' WHERE task = 1024",
        "UPDATE conductor_inputs SET inputs = '[{\"fanout\": 3}]' WHERE task = 1024",
        "DELETE FROM conductor_inputs WHERE task = 1024",
        "UPDATE conductor_blocks SET names = '[' WHERE block = 1",
        "UPDATE conductor_blocks SET names = '[]' WHERE block = 1",
        "UPDATE conductor_blocks SET names = json_array(char(7)) WHERE block = 1",
    ] {
        let test = TestStore::new();
        let corrupt = test.submit_task(TaskDraft::new("corrupt").input(json!({"fanout": 2})));
        let intact = test.submit_task(TaskDraft::new("intact").input(json!({"fanout": 2})));
        test.execute(change).unwrap();
        assert_eq!(test.fan_out(), 2, "{change}");
        assert_eq!(test.reload(&intact).state, State::Running);
        assert_eq!(test.fan_out(), 0, "{change}");
        test.execute(
            "UPDATE conductor_blocks SET names = '[\"corrupt\"]' WHERE block = 1; DELETE FROM conductor_inputs",
        )
        .unwrap();
        let corrupt = test.reload(&corrupt);
        assert_eq!(corrupt.state, State::Failed, "{change}");
        assert!(corrupt.last_error.is_some(), "{change}");
    }
}

#[test]
fn ready_task_with_corrupt_input_fails_at_claim() {
    let deep = "[".repeat(65) + &"]".repeat(65);
    for change in [
        "UPDATE conductor_inputs SET inputs = '{' WHERE task = 1024".into(),
        "UPDATE conductor_inputs SET inputs = '' WHERE task = 1024".into(),
        "UPDATE conductor_inputs SET inputs = '[1' WHERE task = 1024".into(),
        "UPDATE conductor_inputs SET inputs = CAST(x'5B22FF225D' AS TEXT) WHERE task = 1024".into(),
        format!("UPDATE conductor_inputs SET inputs = '[{deep}]' WHERE task = 1024"),
    ] {
        let test = TestStore::new();
        let corrupt = test.submit_task(TaskDraft::new("A").input(1));
        let intact = test.submit_task(TaskDraft::new("A").input(2));
        test.execute(&change).unwrap();
        let claimed = test.claim();
        assert_claimed_only(&claimed, &intact, &change);
        test.execute("DELETE FROM conductor_inputs").unwrap();
        let corrupt = test.reload(&corrupt);
        assert_eq!((corrupt.state, corrupt.due_at, corrupt.attempt), (State::Failed, None, 1), "{change}");
        let error = corrupt.last_error.unwrap();
        assert!(error.as_str().starts_with("its input was changed: "), "{error}");
        assert_eq!(test.claim().len(), 0, "the task fails once");
        assert_eq!(test.store.aggregate(&test.step(10)).unwrap().runs, 1);
    }
}

#[test]
fn children_of_corrupt_input_fail_at_claim() {
    let test = TestStore::new();
    test.submit_task(TaskDraft::new("P").kind("A").input(json!({"fanout": 3, "width": 80})));
    let intact = test.submit_task(TaskDraft::new("A"));
    assert_eq!(test.fan_out(), 3);
    test.execute("UPDATE conductor_inputs SET inputs = '{'").unwrap();
    let claimed = test.claim();
    assert_claimed_only(&claimed, &intact, "the neighbour");
    assert_eq!(test.store.aggregate(&test.step(10)).unwrap().parents, 1);
}

/// The inputs of the two children share a row.
const WITHOUT_FIRST: &str = "UPDATE conductor_inputs SET task = 3073, count = 1, inputs = json_remove(inputs, '$[0]') \
    WHERE task = 3072 AND count = 2";
const WITHOUT_SECOND: &str = "UPDATE conductor_inputs SET count = 1, inputs = json_remove(inputs, '$[1]') \
    WHERE task = 3072 AND count = 2";

#[test]
fn child_with_deleted_input_fails_at_claim() {
    let by_items = || TaskDraft::new("P").kind("A").fan_out(["x", "y"]);
    let counted = || TaskDraft::new("P").kind("A").input(json!({"fanout": 2}));
    for (draft, appended, change, corrupt) in [
        (by_items(), 0, WITHOUT_SECOND, vec![3073]),
        (by_items(), 0, WITHOUT_FIRST, vec![3072]),
        (by_items(), 0, "DELETE FROM conductor_inputs", vec![3072, 3073]),
        (counted(), 0, "DELETE FROM conductor_inputs WHERE task = 1024", vec![3072, 3073]),
        (TaskDraft::new("P").kind("A").open(), 2, WITHOUT_FIRST, vec![3072]),
        (TaskDraft::new("P").kind("A").open().input(7), 2, WITHOUT_FIRST, vec![3072]),
    ] {
        let test = TestStore::new();
        let parent = test.submit_task(draft);
        let intact = test.submit_task(TaskDraft::new("A"));
        if appended > 0 {
            test.store.append(&Append::items(parent.id, 1, items(appended), &test.env)).unwrap();
        } else {
            assert_eq!(test.fan_out(), 2);
        }
        test.execute(change).unwrap();
        let claimed = test.claim();
        assert!(claimed.iter().any(|task| task.fence.task == intact.id), "{change}");
        assert_eq!(claimed.len(), 3 - corrupt.len(), "{change}");
        for key in corrupt {
            let error = "its input was changed: it is missing";
            assert_eq!(test.raw(key), (FAILED, Some(error.into())), "{change}");
        }
        assert_eq!(test.claim_up_to(10).rejected, 0, "each row is rejected once");
    }
}
