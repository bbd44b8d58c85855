//! Rows of parents, runs, inputs and events.

use crate::damaged::Damaged;
use conductor_model::State;
use conductor_store::{Admin, Cancel, DivergenceKind, EventFilter, Query};

#[test]
fn lost_parent_fails_only_its_children() {
    let change = "DELETE FROM conductor_parents WHERE task = 1024";
    let test = Damaged::new();
    test.change(change);
    test.assert_other_succeeds(change);
    assert_eq!(test.failed(), ["3073", "3074", "3075"]);
    assert_eq!(test.error(3074).unwrap(), "the task with row key 1024: its row is missing");
    test.assert_mended(change);
    test.assert_ends(change);
    let test = Damaged::new();
    test.change(change);
    test.assert_mended(change);
    test.assert_ends(change);
    assert_eq!(test.state(test.run), State::Succeeded);
}

#[test]
fn changed_numbers_stop_no_other_run() {
    for change in [
        "UPDATE conductor_parents SET open_children = 99999999999 WHERE task = 1024",
        "UPDATE conductor_parents SET failed_children = 4294967295 WHERE task = 1024",
        "UPDATE conductor_parents SET open_children = 0 WHERE task = 1024",
        "UPDATE conductor_parents SET children = 2 WHERE task = 1024",
        "UPDATE conductor_parents SET state = 9 WHERE task = 1024",
        "UPDATE conductor_parents SET cancel_cause = 9 WHERE task = 1024",
        "UPDATE conductor_runs SET running = 0, succeeded = 100 WHERE key = 1",
        "UPDATE conductor_runs SET open_children = 4294967295 WHERE key = 1",
    ] {
        let test = Damaged::new();
        test.change(change);
        test.assert_other_succeeds(change);
        let test = Damaged::new();
        test.change(change);
        test.assert_mended(change);
        test.assert_ends(change);
        assert_eq!(test.state(test.run), State::Succeeded, "{change}");
    }
}

#[test]
fn unreadable_parent_stops_no_other_run() {
    for change in [
        "UPDATE conductor_blocks SET prefix = 'no id' WHERE block = 1",
        "DELETE FROM conductor_blocks WHERE block = 1",
    ] {
        let test = Damaged::new();
        test.change(change);
        test.assert_other_succeeds(change);
        let _ = test.repair();
    }
}

#[test]
fn children_with_unreadable_input_fail_alone() {
    let test = Damaged::new();
    test.change("UPDATE conductor_inputs SET inputs = '{' WHERE task = 3072");
    test.assert_other_succeeds("input");
    assert_eq!(test.failed(), ["3073", "3074", "3075"]);
    assert!(test.error(3075).unwrap().starts_with("its input was changed: "));
    assert_eq!(test.state(test.run), State::Failed);
    assert_eq!(test.divergence_kinds(), []);
}

#[test]
fn lost_inputs_are_restored_and_stray_ones_removed() {
    let test = Damaged::new();
    let before = test.children(test.run);
    test.change("DELETE FROM conductor_inputs WHERE task = 3072");
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Input]);
    test.assert_mended("lost");
    assert_eq!(test.children(test.run), before);
    test.change("INSERT INTO conductor_inputs (task, count, inputs) VALUES (1023999, 1, '[1]')");
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Input]);
    test.assert_mended("stray");
    test.assert_ends("stray");
}

#[test]
fn event_with_unreadable_tasks_stops_no_work() {
    for text in ["x", "[[3,2]]", "[[3,5000,1]]", "[[\"a\",0,1]]"] {
        let test = Damaged::new();
        test.settle(&test.claim().tasks());
        test.change(&format!("UPDATE conductor_events SET tasks = '{text}' WHERE tasks IS NOT NULL"));
        test.assert_other_succeeds(text);
        assert_eq!(test.state(test.run), State::Succeeded, "{text}");
        assert_eq!(test.divergence_kinds(), [DivergenceKind::Events], "{text}");
        assert_eq!(test.repair().repaired, [], "{text}");
        let events = test.store.events(EventFilter::default(), 0, 1000);
        assert!(events.is_err() || !events.unwrap().items.is_empty(), "{text}");
    }
}

#[test]
fn damaged_leaves_stop_no_sweep() {
    for change in [
        "UPDATE conductor_blocks SET prefix = 'no id' WHERE block = 3",
        "UPDATE conductor_ranges SET members = x'01' WHERE block = 3 AND state = 0",
        "DELETE FROM conductor_ranges WHERE block = 3",
    ] {
        let test = Damaged::new();
        for run in [test.run, test.other] {
            let _ = test.store.cancel(&Cancel::run(run, test.env.now())).unwrap();
        }
        test.change(change);
        test.work();
        assert_eq!(test.state(test.other), State::Cancelled, "{change}");
        test.assert_mended(change);
        test.work();
        assert_eq!(test.state(test.run), State::Cancelled, "{change}");
    }
}
