//! The list of planted bugs. Its order is that of building: the crate that all others need first, and bugs of one file
//! together.

use crate::planted::{Bug, Test, bugs_of_workers};

const fn model(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-model", target, name, env: &[] }
}

pub(super) const fn store(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-store", target, name, env: &[] }
}

pub(super) const fn workers(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-workers", target, name, env: &[] }
}

/// Whole engines under all that can go wrong. A few hundred seeds take seconds.
const SIMULATION: Test = Test {
    env: &[("CONDUCTOR_SEEDS", "200")],
    ..workers("simulation", "everything_settles_whatever_happens_in_between")
};

const TRANSIT: &str = "crates/conductor-store/src/sqlite/transit.rs";
const CLAIM: &str = "crates/conductor-store/src/sqlite/claim.rs";
pub(super) const WRITE: &str = "crates/conductor-store/src/sqlite/write.rs";
const LEASE: &str = "crates/conductor-store/src/sqlite/lease.rs";

/// All of them.
pub(super) fn all() -> Vec<&'static Bug> {
    BUGS.iter().chain(bugs_of_workers::BUGS).collect()
}

const BUGS: &[Bug] = &[
    Bug {
        name: "aggregate-before-settled",
        harm: "a parent is decided while its children still run",
        file: "crates/conductor-model/src/state/decision.rs",
        from: "let is_complete = counts.total == Some(counts.created) && counts.open == 0;",
        to: "let is_complete = counts.total == Some(counts.created);",
        test: model("decisions", "failed_child_with_retry_due_decides_nothing"),
        hangs_for: None,
    },
    Bug {
        name: "join-takes-a-mark",
        harm: "a parent whose join has succeeded ends CANCELLED, and once it is reopened its join stops every step",
        file: "crates/conductor-model/src/state/decision.rs",
        from: "(Some(_), JoinStatus::Settled(State::Succeeded)) => Decision::Settle(State::Succeeded),",
        to: "",
        test: store("conformance", "in_memory::join_marks::a_join_that_succeeded_is_never_needed_again"),
        hangs_for: None,
    },
    Bug {
        name: "one-retry-too-many",
        harm: "a task runs more often than it may",
        file: "crates/conductor-model/src/state/failure.rs",
        from: "if retry_count >= max_retries.get() {",
        to: "if retry_count > max_retries.get() {",
        test: model("retries", "task_is_never_retried_beyond_max_retries"),
        hangs_for: None,
    },
    Bug {
        name: "no-fence",
        harm: "a worker that was given up settles what another one works on",
        file: "crates/conductor-model/src/state/lease.rs",
        from: "state == State::Running && leased && attempt == fence",
        to: "state == State::Running && leased && (attempt == fence || true)",
        test: SIMULATION,
        hangs_for: None,
    },
    Bug {
        name: "fence-taken-twice",
        harm: "one claim is settled twice, and counted twice",
        file: "crates/conductor-store/src/sqlite/fence.rs",
        from: "if holds { self.0.remove(&key) } else { None }",
        to: "if holds { self.0.get(&key).cloned() } else { None }",
        test: store("conformance", "in_memory::settle::a_fence_that_is_named_twice_applies_once"),
        hangs_for: None,
    },
    Bug {
        name: "retry-resets-attempt",
        harm: "after a retry an old worker's result passes for the new one's",
        file: TRANSIT,
        from: "attempt = attempt + ?4, retry_count",
        to: "attempt = CASE WHEN ?8 THEN 0 ELSE attempt + ?4 END, retry_count",
        test: store("conformance", "in_memory::settle::a_fence_from_before_a_newer_claim_never_wins"),
        hangs_for: None,
    },
    Bug {
        name: "release-takes-attempt-back",
        harm: "after a release an old worker's result passes for the new one's",
        file: TRANSIT,
        from: "attempt = attempt + ?4, retry_count",
        to: "attempt = attempt + ?4 - (?2 = 0 AND NOT ?8), retry_count",
        test: store("conformance", "in_memory::release::a_released_task_is_claimed_again_under_a_new_fence"),
        hangs_for: None,
    },
    Bug {
        name: "release-costs-a-retry",
        harm: "work that a stopping engine handed back has one retry less",
        file: TRANSIT,
        from: "attempt = attempt + ?4, retry_count = retry_count + ?8, lease_until = ?5,",
        to: "attempt = attempt + ?4, retry_count = retry_count + (?2 = 0), lease_until = ?5,",
        test: store("conformance", "in_memory::release::a_released_task_is_ready_with_all_its_retries"),
        hangs_for: None,
    },
    Bug {
        name: "claim-below-a-mark",
        harm: "what was cancelled is started all the same",
        file: CLAIM,
        from: "if self.marks.is_doomed(write, row.place)? {",
        to: "if false && self.marks.is_doomed(write, row.place)? {",
        test: store(
            "conformance",
            "in_memory::cancel::a_claim_cancels_what_is_below_a_mark_and_starts_nothing",
        ),
        hangs_for: None,
    },
    Bug {
        name: "join-below-a-mark",
        harm: "a join is created in a run that is being cancelled",
        file: "crates/conductor-store/src/sqlite/aggregate.rs",
        from: "if standing.decide() == Decision::StartJoin && Marks",
        to: "if standing.decide() == Decision::Wait && Marks",
        test: store("conformance", "in_memory::join_marks::no_join_begins_below_a_mark"),
        hangs_for: None,
    },
    Bug {
        name: "fail-fast-for-old-failures",
        harm: "what a person revives is cancelled at once, because a sibling failed before",
        file: "crates/conductor-store/src/sqlite/ledger.rs",
        from: "Decision::CancelOpenChildren(by) if is_failure && ",
        to: "Decision::CancelOpenChildren(by) if (is_failure || true) && ",
        test: store(
            "conformance",
            "in_memory::revive::a_revived_leaf_is_not_given_up_for_a_sibling_that_failed_before",
        ),
        hangs_for: None,
    },
    Bug {
        name: "join-beside-open-children",
        harm: "a revived join reads the outputs of children that still run",
        file: "crates/conductor-store/src/sqlite/revive.rs",
        from: "if task.place.is_join && !joins_now(write, task.place)? {",
        to: "if false && !joins_now(write, task.place)? {",
        test: store("conformance", "in_memory::join_marks::a_join_is_not_revived_before_its_time"),
        hangs_for: None,
    },
    Bug {
        name: "prune-what-waits",
        harm: "a run is removed below which a retry is still due",
        file: "crates/conductor-store/src/sqlite/prune.rs",
        from: "WHERE t.due_at IS NOT NULL AND t.run = conductor_runs.key)",
        to: "WHERE t.due_at IS NOT NULL AND t.run = -conductor_runs.key)",
        test: store("prune", "an_adopted_run_with_something_open_below_it_stays"),
        hangs_for: None,
    },
    Bug {
        name: "half-gone-is-found",
        harm: "a revive meets a run that is being removed",
        file: "crates/conductor-store/src/sqlite/task_row.rs",
        from: "WHERE p.run = conductor_tasks.run)",
        to: "WHERE p.run = -conductor_tasks.run)",
        test: store("conformance", "in_memory::prune::nothing_brings_a_run_back_that_is_half_gone"),
        hangs_for: None,
    },
    Bug {
        name: "repair-without-a-lease",
        harm: "a running task whose row was created again is never taken back",
        file: "crates/conductor-store/src/sqlite/recreate.rs",
        from: "is_running_leaf.then_some(now.as_millis()),",
        to: "is_running_leaf.then_some(now.as_millis()).filter(|_| false),",
        test: store("repair", "a_running_task_that_was_created_again_is_rescued"),
        hangs_for: None,
    },
    Bug {
        name: "settled-without-event",
        harm: "the history does not tell that a task succeeded",
        file: TRANSIT,
        from: "            event_log::record_leaves(self.tx(), of_one_run[0].place.run, keys, self.now, signal)?;\n",
        to: "            if of_one_run[0].state != conductor_model::State::Succeeded {\n\
             event_log::record_leaves(self.tx(), of_one_run[0].place.run, keys, self.now, signal)?;\n}\n",
        test: store("conformance", "in_memory::settle::claims_of_many_parents_and_runs_are_settled_at_once"),
        hangs_for: None,
    },
    Bug {
        name: "settled-without-numbers",
        harm: "a parent waits for ever for children that are done",
        file: TRANSIT,
        from: "            ledger.count_many(tx, siblings[0].place, now, moved)?;\n",
        to: "            if siblings[0].state != conductor_model::State::Succeeded {\n\
             ledger.count_many(tx, siblings[0].place, now, moved)?;\n}\n",
        test: store("conformance", "in_memory::settle::claims_of_many_parents_and_runs_are_settled_at_once"),
        hangs_for: None,
    },
    Bug {
        name: "two-transactions",
        harm: "a crash between a result and its parent's numbers leaves a parent that never ends",
        file: WRITE,
        from: "    ledger.flush(tx, now)?;\n",
        to: "    tx.execute_batch(\"COMMIT; BEGIN IMMEDIATE\").map_err(fault)?;\n    ledger.flush(tx, now)?;\n",
        test: store("transactions", "each_intent_is_one_transaction"),
        hangs_for: None,
    },
    Bug {
        name: "deferred-begin",
        harm: "a writer is refused because another one was faster, instead of waiting for its turn",
        file: WRITE,
        from: "Transaction::new_unchecked(connection, TransactionBehavior::Immediate)",
        to: "Transaction::new_unchecked(connection, TransactionBehavior::Deferred)",
        test: store(
            "writers",
            "writers_with_connections_of_their_own_wait_for_their_turn_and_none_is_refused",
        ),
        hangs_for: None,
    },
    Bug {
        name: "lock-seldom-free",
        harm: "beside an engine of another process, whoever submits waits for half a second",
        file: WRITE,
        from: "connection.busy_timeout(Duration::ZERO)?;",
        to: "connection.busy_timeout(patience)?;",
        test: store(
            "writers",
            "beside_one_that_writes_nearly_all_the_time_another_process_comes_to_its_turn",
        ),
        hangs_for: None,
    },
    Bug {
        name: "half-submitted",
        harm: "a submission that is refused leaves half of a run in a transaction that the caller commits all the same",
        file: "crates/conductor-store/src/sqlite/submit_in.rs",
        from: "if submitted.is_err() {",
        to: "if false {",
        test: store("embedding", "submit::a_refused_submission_leaves_the_transaction_as_it_was"),
        hangs_for: None,
    },
    Bug {
        name: "success-not-written",
        harm: "a result is acknowledged, and gone",
        file: "crates/conductor-store/src/sqlite/settle.rs",
        from: "    write.transit_leaves(&mut plain, Signal::Succeed, None)?;\n",
        to: "    write.transit_leaves(&mut plain[..0], Signal::Succeed, None)?;\n",
        test: SIMULATION,
        hangs_for: None,
    },
    Bug {
        name: "heartbeat-writes-nothing",
        harm: "a task that takes longer than a lease is given to somebody else meanwhile",
        file: LEASE,
        from: "            write.tx().run(RENEW, params![keys, until.as_millis(), request.now.as_millis()])?;\n",
        to: "            let _ = (keys, until);\n",
        test: store("conformance", "in_memory::renew::a_lease_that_is_renewed_in_time_is_never_lost"),
        hangs_for: None,
    },
    Bug {
        name: "rescue-by-age",
        harm: "a claim is taken back because it is old, although its lease was renewed",
        file: "crates/conductor-store/src/sqlite/rescue.rs",
        from: "WHERE state = 1 AND sealed IS NULL AND lease_until <= ?2 LIMIT ?1",
        to: "WHERE state = 1 AND sealed IS NULL AND lease_until > 0 AND created_at <= ?2 - 30000 LIMIT ?1",
        test: store("conformance", "in_memory::renew::a_lease_that_is_renewed_in_time_is_never_lost"),
        hangs_for: None,
    },
    Bug {
        name: "rescue-of-the-living",
        harm: "every engine takes away what the others work on",
        file: "crates/conductor-store/src/sqlite/engines.rs",
        from: "Some(path) => is_locked(&file_of(path, engine)),",
        to: "Some(_) => false,",
        test: store("registration", "the_claims_of_an_engine_of_another_store_are_left_alone_while_it_lives"),
        hangs_for: None,
    },
    Bug {
        name: "the-dead-live-on",
        harm: "what a killed process held waits until its lease ends",
        file: "crates/conductor-store/src/sqlite/engines.rs",
        from: "Some(path) => is_locked(&file_of(path, engine)),",
        to: "Some(path) => file_of(path, engine).exists(),",
        test: store("registration", "what_a_killed_process_held_is_taken_back_at_once"),
        hangs_for: None,
    },
    Bug {
        name: "claim-of-delayed-tasks",
        harm: "a task starts before its time",
        file: CLAIM,
        from: "            \"FROM conductor_tasks t INDEXED BY \",\n            $index,\n            \" LEFT JOIN conductor_inputs i ON i.task = t.key \",\n            \"WHERE t.kind = ?1 AND t.state = 0 AND t.due_at IS NULL AND t.sealed IS NULL AND \",\n",
        to: "            \"FROM conductor_tasks t\",\n            \" LEFT JOIN conductor_inputs i ON i.task = t.key \",\n            \"WHERE t.kind = ?1 AND t.state = 0 AND t.sealed IS NULL AND \",\n",
        test: store("conformance", "in_memory::claim::what_is_ready_is_claimed_and_nothing_else"),
        hangs_for: None,
    },
    Bug {
        name: "claim-of-other-kinds",
        harm: "a handler is given the input of another one",
        file: CLAIM,
        from: "WHERE t.kind = ?1 AND t.state = 0",
        to: "WHERE ?1 > 0 AND t.state = 0",
        test: store("conformance", "in_memory::claim::what_is_ready_is_claimed_and_nothing_else"),
        hangs_for: None,
    },
    Bug {
        name: "priority-ignored",
        harm: "what is urgent waits behind everything else",
        file: CLAIM,
        from: "t.run = ?2 ORDER BY t.priority DESC, t.key LIMIT ?3",
        to: "t.run = ?2 ORDER BY t.key LIMIT ?3",
        test: store(
            "conformance",
            "in_memory::claim::the_higher_priority_comes_first_and_then_the_older_task",
        ),
        hangs_for: None,
    },
    Bug {
        name: "no-rotation",
        harm: "a large run starves those behind it",
        file: CLAIM,
        from: "runs_in_turn(wanted.cursor, most",
        to: "runs_in_turn(RotationCursor::default(), most",
        test: store(
            "conformance",
            "in_memory::claim::a_claim_goes_on_behind_the_run_at_which_the_last_one_stopped",
        ),
        hangs_for: None,
    },
    Bug {
        name: "alone-ignored",
        harm: "a task that kills its process uses up its neighbours' retries",
        file: CLAIM,
        from: "    if request.allow_isolated {",
        to: "    if request.limit > 0 {",
        test: store("conformance", "in_memory::rescue::a_task_that_lost_two_leases_in_a_row_is_run_alone"),
        hangs_for: None,
    },
    Bug {
        name: "retry-too-early",
        harm: "a service that is down is asked again without the wait that was agreed",
        file: "crates/conductor-store/src/sqlite/retry.rs",
        from: "WHERE state = 3 AND due_at <= ?2 AND",
        to: "WHERE state = 3 AND due_at <= ?2 + 1000 AND",
        test: store("conformance", "in_memory::retry::a_retry_waits_for_its_time"),
        hangs_for: None,
    },
    Bug {
        name: "progress-of-the-dead",
        harm: "the next attempt shows what the last one reported",
        file: "crates/conductor-store/src/sqlite/progress.rs",
        from: "AND p.task = t.key AND p.attempt = t.attempt \\",
        to: "AND p.task = t.key \\",
        test: store("conformance", "in_memory::progress::the_next_attempt_begins_with_nothing"),
        hangs_for: None,
    },
];
