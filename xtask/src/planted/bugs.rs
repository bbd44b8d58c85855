//! The list of planted bugs. Its order is that of building: the crate that all others need first, and bugs of one file
//! together.

use std::time::Duration;

use crate::planted::{Bug, Test, UNIT_TESTS};

const fn model(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-model", target, name, env: &[] }
}

const fn store(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-store", target, name, env: &[] }
}

const fn workers(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-workers", target, name, env: &[] }
}

/// Whole engines under all that can go wrong. A few hundred seeds take seconds.
const SIMULATION: Test = Test {
    env: &[("CONDUCTOR_SEEDS", "200")],
    ..workers("simulation", "everything_settles_whatever_happens_in_between")
};

const TRANSIT: &str = "crates/conductor-store/src/sqlite/transit.rs";
const CLAIM: &str = "crates/conductor-store/src/sqlite/claim.rs";
const WRITE: &str = "crates/conductor-store/src/sqlite/write.rs";
const LEASE: &str = "crates/conductor-store/src/sqlite/lease.rs";
const CORE: &str = "crates/conductor-workers/src/engine/core.rs";
const POOL: &str = "crates/conductor-workers/src/engine/pool.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "aggregate-before-settled",
        harm: "a parent is decided while its children still run",
        file: "crates/conductor-model/src/numbers.rs",
        from: "if self.total != Some(self.children) || self.open > 0 {",
        to: "if self.total != Some(self.children) {",
        test: model("decisions", "a_failed_child_that_still_has_retries_decides_nothing"),
        hangs_for: None,
    },
    Bug {
        name: "one-retry-too-many",
        harm: "a task runs more often than it may",
        file: "crates/conductor-model/src/retry.rs",
        from: "if failure.retry_count >= failure.max_retries.get() {",
        to: "if failure.retry_count > failure.max_retries.get() {",
        test: model("retries", "a_task_is_never_retried_past_its_max_retries"),
        hangs_for: None,
    },
    Bug {
        name: "no-fence",
        harm: "a worker that was given up settles what another one works on",
        file: "crates/conductor-model/src/claim.rs",
        from: "state == State::Running && leased && attempt == named",
        to: "state == State::Running && leased && (attempt == named || true)",
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
        from: "Signal::Retry => task.retry_count += 1,",
        to: "Signal::Retry => (task.attempt, task.retry_count) = (0, task.retry_count + 1),",
        test: store("conformance", "in_memory::settle::a_fence_from_before_a_newer_claim_never_wins"),
        hangs_for: None,
    },
    Bug {
        name: "release-takes-attempt-back",
        harm: "after a release an old worker's result passes for the new one's",
        file: TRANSIT,
        from: "attempt = attempt + ?4, lease_until = ?5,",
        to: "attempt = attempt + ?4 - (?2 = 0), lease_until = ?5,",
        test: store("conformance", "in_memory::release::a_released_task_is_claimed_again_under_a_new_fence"),
        hangs_for: None,
    },
    Bug {
        name: "release-costs-a-retry",
        harm: "work that a stopping engine handed back has one retry less",
        file: TRANSIT,
        from: "attempt = attempt + ?4, lease_until = ?5,",
        to: "attempt = attempt + ?4, retry_count = retry_count + (?2 = 0), lease_until = ?5,",
        test: store("conformance", "in_memory::release::a_released_task_is_ready_with_all_its_retries"),
        hangs_for: None,
    },
    Bug {
        name: "settled-without-event",
        harm: "the history does not tell that a task succeeded",
        file: TRANSIT,
        from: "            event_log::record_leaves(tx, of_one_run[0].place.run, keys, now, signal)?;\n",
        to: "            if signal != Signal::Succeed {\n\
             event_log::record_leaves(tx, of_one_run[0].place.run, keys, now, signal)?;\n}\n",
        test: store("conformance", "in_memory::settle::claims_of_many_parents_and_runs_are_settled_at_once"),
        hangs_for: None,
    },
    Bug {
        name: "settled-without-numbers",
        harm: "a parent waits for ever for children that are done",
        file: TRANSIT,
        from: "            ledger.count_many(tx, siblings[0].place, now, moved)?;\n",
        to: "            if signal != Signal::Succeed {\n\
             ledger.count_many(tx, siblings[0].place, now, moved)?;\n}\n",
        test: store("conformance", "in_memory::settle::claims_of_many_parents_and_runs_are_settled_at_once"),
        hangs_for: None,
    },
    Bug {
        name: "two-transactions",
        harm: "a crash between a result and its parent's numbers leaves a parent that never ends",
        file: WRITE,
        from: "    ledger.flush(&tx, now)?;\n",
        to: "    tx.execute_batch(\"COMMIT; BEGIN IMMEDIATE\").map_err(fault)?;\n    ledger.flush(&tx, now)?;\n",
        test: store("transactions", "each_intent_is_one_transaction"),
        hangs_for: None,
    },
    Bug {
        name: "deferred-begin",
        harm: "a writer is refused because another one was faster, instead of waiting for its turn",
        file: WRITE,
        from: "connection.transaction_with_behavior(TransactionBehavior::Immediate)",
        to: "connection.transaction_with_behavior(TransactionBehavior::Deferred)",
        test: store(
            "writers",
            "writers_with_connections_of_their_own_wait_for_their_turn_and_none_is_refused",
        ),
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
        file: "crates/conductor-store/src/sqlite/enlist.rs",
        from: "Some(path) => !is_locked(&file_of(path, engine.id)),",
        to: "Some(_) => true,",
        test: store("presence", "the_claims_of_an_engine_of_another_store_are_left_alone_while_it_lives"),
        hangs_for: None,
    },
    Bug {
        name: "the-dead-live-on",
        harm: "what a killed process held waits until its lease ends",
        file: "crates/conductor-store/src/sqlite/enlist.rs",
        from: "Some(path) => !is_locked(&file_of(path, engine.id)),",
        to: "Some(path) => !file_of(path, engine.id).exists(),",
        test: store("presence", "what_a_killed_process_held_is_taken_back_at_once"),
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
        from: "wanted.turn.0.cast_signed(), most + 1)?;",
        to: "0, most + 1)?;",
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
        from: "    if request.alone {",
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
    Bug {
        name: "fan-out-not-more",
        harm: "the children of a fan-out wait until the engine happens to look",
        file: CORE,
        from: "stepped.more |= store.fan_out(&fan_out)?.children > 0;",
        to: "let _ = store.fan_out(&fan_out)?;",
        test: workers("simulation", "work_that_is_ready_waits_for_nothing"),
        hangs_for: None,
    },
    Bug {
        name: "timeout-not-forgotten",
        harm: "an attempt whose time is over keeps its place for ever, and its late result is sent on",
        file: CORE,
        from: "        self.forget(&attempt);\n        if !attempt.take_back() {",
        to: "        if !attempt.take_back() {",
        test: workers("simulation", "an_attempt_whose_time_is_over_gives_its_place_up"),
        hangs_for: None,
    },
    Bug {
        name: "timeout-without-end",
        harm: "an attempt that takes too long goes on for ever",
        file: CORE,
        from: "attempt.deadline().is_some_and(|deadline| deadline <= now)",
        to: "attempt.deadline().is_some_and(|deadline| deadline < Duration::ZERO && now > deadline)",
        test: workers("simulation", "an_attempt_whose_time_is_over_gives_its_place_up"),
        hangs_for: None,
    },
    Bug {
        name: "heartbeat-too-late",
        harm: "a lease ends before it is renewed",
        file: CORE,
        from: "self.heartbeat_at = now + self.settings.lease / 3;",
        to: "self.heartbeat_at = now + self.settings.lease * 3;",
        test: workers("engine", "leases::a_handler_may_run_for_many_leases"),
        hangs_for: None,
    },
    Bug {
        name: "endings-forgotten",
        harm: "results are lost when the store is busy for a moment",
        file: CORE,
        from: "                self.endings = request.endings;\n",
        to: "                drop(request.endings);\n",
        test: workers("simulation", "a_store_that_is_busy_for_moments_loses_nothing"),
        hangs_for: None,
    },
    Bug {
        name: "lonely-together",
        harm: "a task that kills its process takes those with it that are suspected too",
        file: CORE,
        from: "alone: !self.held.values().any(|attempt| attempt.alone),",
        to: "alone: true,",
        test: workers("simulation", "a_task_that_kills_its_process_takes_none_of_its_neighbours_with_it"),
        hangs_for: None,
    },
    Bug {
        name: "limit-off-by-one",
        harm: "one more runs at once than the limit of its kind allows",
        file: CORE,
        from: "most.saturating_sub(state.held)",
        to: "(most + 1).saturating_sub(state.held)",
        test: workers("engine", "concurrency::a_limit_holds_for_its_kind_and_the_others_go_on_meanwhile"),
        hangs_for: None,
    },
    Bug {
        name: "nudge-wakes-nobody",
        harm: "what is submitted through an engine waits until the engine happens to look",
        file: "crates/conductor-workers/src/engine/mailbox.rs",
        from: "        self.lock().nudged = true;\n        self.arrived.notify_one();\n",
        to: "        self.lock().nudged = true;\n",
        test: workers(UNIT_TESTS, "engine::mailbox::tests::a_nudge_wakes_whoever_waits"),
        hangs_for: None,
    },
    Bug {
        name: "pulse-read-too-late",
        harm: "what another process writes during a turn is noticed late",
        file: "crates/conductor-workers/src/engine/coordinator.rs",
        from: "After::Idle { pulse: pulse? }",
        to: "After::Idle { pulse: pulse.and(self.store.pulse())? }",
        test: workers("engine", "waking::what_is_written_during_a_turn_is_noticed_at_the_next_look"),
        hangs_for: None,
    },
    Bug {
        name: "pulse-not-compared",
        harm: "an idle engine does not notice what another process wrote",
        file: "crates/conductor-workers/src/engine/coordinator.rs",
        from: "if self.store.pulse()? != pulse {",
        to: "if self.store.pulse()? == pulse.wrapping_add(u64::MAX / 2) {",
        test: workers("engine", "waking::what_is_written_during_a_turn_is_noticed_at_the_next_look"),
        hangs_for: None,
    },
    Bug {
        name: "bell-silent",
        harm: "whoever follows an engine waits for its polls",
        file: "crates/conductor-workers/src/engine/coordinator.rs",
        from: "            self.bell.ring();\n",
        to: "",
        test: workers("engine", "subscription::what_its_engine_does_is_noticed_at_once"),
        hangs_for: None,
    },
    Bug {
        name: "look-before-the-pulse-only",
        harm: "an event that is written between two looks of a reader waits for the next one",
        file: "crates/conductor-workers/src/subscription.rs",
        from: "            if self.read()? {\n                return Ok(true);\n            }\n            loop {\n",
        to: "            loop {\n",
        test: workers("engine", "subscription::what_is_written_between_two_looks_is_not_overlooked"),
        hangs_for: None,
    },
    Bug {
        name: "begin-on-lost-trust",
        harm: "a process that stood still begins what others do already",
        file: POOL,
        from: "if !self.trust.holds(now) {",
        to: "if now.is_zero() {",
        test: workers("engine", "leases::what_has_not_begun_does_not_begin_while_its_lease_is_in_doubt"),
        hangs_for: None,
    },
    Bug {
        name: "worker-not-woken",
        harm: "tasks are claimed and never begin",
        file: POOL,
        from: "            queue.called += 1;\n            self.work.notify_one();\n",
        to: "            queue.called += 1;\n",
        test: workers("engine", "concurrency::whoever_comes_later_runs_beside_those_who_wait_for_it"),
        hangs_for: Some(Duration::from_secs(10)),
    },
];
