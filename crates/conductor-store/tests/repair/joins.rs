//! Joins, and the decisions of parents that have one.

use crate::support::TestStore;
use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, State, TaskDraft, TaskId};
use conductor_store::{DivergenceKind, Report};

#[test]
fn deleted_join_is_recreated() {
    for is_running in [true, false] {
        let test = TestStore::new();
        let run = test.submit(&RunDraft::new().task(TaskDraft::new("P").fan_out([1]).join("J")).join("K"));
        test.run_steps();
        test.report([Report::succeeded(test.id_of(run, "P#1"))]);
        test.run_steps();
        let join = test.join_of(run);
        if is_running {
            test.report([Report::started(join)]);
        } else {
            test.report([Report::succeeded(join)]);
            test.run_steps();
        }
        let before = test.rows();
        test.change(
            "DELETE FROM conductor_ranges WHERE block IN (SELECT block FROM conductor_blocks WHERE child_index = 0);
             DELETE FROM conductor_ended WHERE task / 1024 IN \
             (SELECT block FROM conductor_blocks WHERE child_index = 0);
             DELETE FROM conductor_blocks WHERE child_index = 0",
        );
        assert_eq!(test.divergence_kinds(), [DivergenceKind::Row]);
        let report = test.repair();
        assert_eq!(report.unrepairable, []);
        test.assert_rows(&before, &report);
        assert_eq!(test.divergence_kinds(), []);
    }
}

#[test]
fn missing_parent_decision_is_made_again() {
    let succeeded: fn(TaskId) -> Report = Report::succeeded;
    let failed: fn(TaskId) -> Report = |join| Report::failed_permanently(join, "no");
    let cancelled: fn(TaskId) -> Report = Report::cancelled;
    for (report_end, state) in
        [(succeeded, State::Succeeded), (failed, State::Failed), (cancelled, State::Cancelled)]
    {
        for (is_run_reopened, has_parent_join) in [(false, false), (true, false), (false, true), (true, true)]
        {
            let test = TestStore::new();
            let task = TaskDraft::new("P").fan_out([1]);
            let run = if has_parent_join {
                RunDraft::new().task(task.join("J"))
            } else {
                RunDraft::new().task(task).join("J")
            };
            let run = test.submit(&run);
            test.run_steps();
            test.report([Report::succeeded(test.id_of(run, "P#1"))]);
            test.run_steps();
            let join = test.join_of(run);
            test.report([report_end(join)]);
            test.run_steps();
            assert_eq!(test.run(run).state, state);
            let before = test.rows();
            let name = if has_parent_join { "3, 17" } else { "3" };
            test.change(&format!(
                "DELETE FROM conductor_events WHERE name IN ({name}) AND key > \
                 (SELECT max(key) FROM conductor_events WHERE name NOT IN (3, 17))"
            ));
            if is_run_reopened {
                // A repair of the row alone reopens the run and makes no decision.
                test.change("UPDATE conductor_runs SET state = 1");
            }
            assert!(test.divergence_kinds().contains(&DivergenceKind::Events));
            assert_eq!(test.repair().unrepairable, []);
            test.run_steps();
            assert_eq!(test.divergence_kinds(), []);
            test.assert_rows(&before, ());
            assert_eq!(test.run(run).state, state);
            assert_replays(&test.store);
        }
    }
}
