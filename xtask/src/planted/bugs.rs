//! The mistakes that are planted, and the test that must find each.

use super::{Bug, Suite};

/// Whole engines on a clock of their own. A few hundred seeds find in seconds what a few thousand look for in CI.
const SIMULATION: Suite =
    Suite { package: "conductor-workers", target: "simulation", only: "everything", seeds: 200 };
/// What every store promises.
const fn conformance(only: &'static str) -> Suite {
    Suite { package: "conductor-store", target: "conformance", only, seeds: 0 }
}
/// What an engine with threads promises.
const fn engine(only: &'static str) -> Suite {
    Suite { package: "conductor-workers", target: "engine", only, seeds: 0 }
}

const FENCE_RS: &str = "crates/conductor-store/src/sqlite/fence.rs";
const WRITE_RS: &str = "crates/conductor-store/src/sqlite/write.rs";
const TRANSIT_RS: &str = "crates/conductor-store/src/sqlite/transit.rs";
const CLAIM_RS: &str = "crates/conductor-store/src/sqlite/claim.rs";
const CORE_RS: &str = "crates/conductor-workers/src/engine/core.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "no-fence",
        harm: "a worker that was given up settles what another one works on",
        file: "crates/conductor-model/src/claim.rs",
        from: "state == State::Running && leased && attempt == named",
        to: "state == State::Running && leased && attempt >= named",
        suite: SIMULATION,
    },
    Bug {
        name: "fence-used-twice",
        harm: "one claim is settled twice, and counted twice",
        file: FENCE_RS,
        from: "if holds { self.0.remove(&key) } else { None }",
        to: "if holds { self.0.get(&key).cloned() } else { None }",
        suite: conformance("settle"),
    },
    Bug {
        name: "attempt-reset",
        harm: "a retry begins with attempt 1 again, and an old worker's result passes for its own",
        file: TRANSIT_RS,
        from: "Signal::Retry => task.retry_count += 1,",
        to: "Signal::Retry => (task.retry_count, task.attempt) = (task.retry_count + 1, 0),",
        suite: SIMULATION,
    },
    Bug {
        name: "two-transactions",
        harm: "a crash between a transition and its numbers leaves a parent that never ends",
        file: WRITE_RS,
        from: "    ledger.flush(&tx, now)?;",
        to: "    tx.execute_batch(\"COMMIT; BEGIN IMMEDIATE\").map_err(fault)?;\n    ledger.flush(&tx, now)?;",
        suite: Suite { package: "conductor-workers", target: "crash", only: "", seeds: 0 },
    },
    Bug {
        name: "deferred-begin",
        harm: "a writer that has read is refused, instead of waiting for its turn",
        file: WRITE_RS,
        from: "transaction_with_behavior(TransactionBehavior::Immediate)",
        to: "transaction_with_behavior(TransactionBehavior::Deferred)",
        suite: Suite { package: "conductor-store", target: "writers", only: "", seeds: 0 },
    },
    Bug {
        name: "aggregate-before-settle",
        harm: "a parent is decided while children are open",
        file: "crates/conductor-model/src/numbers.rs",
        from: "if self.total != Some(self.children) || self.open > 0 {",
        to: "if self.total != Some(self.children) {",
        suite: Suite { package: "conductor-model", target: "decisions", only: "", seeds: 0 },
    },
    Bug {
        name: "lost-wake-up",
        harm: "an idle engine never notices what another process wrote",
        file: "crates/conductor-workers/src/engine/coordinator.rs",
        from: "if self.store.pulse()? != pulse {",
        to: "if self.store.pulse()? == pulse.wrapping_add(1) {",
        suite: engine("noticed"),
    },
    Bug {
        name: "heartbeat-without-effect",
        harm: "a handler that runs longer than a lease loses its claim",
        file: "crates/conductor-store/src/sqlite/lease.rs",
        from: "SET lease_until = ?2, updated_at = ?3",
        to: "SET lease_until = max(lease_until, ?2 * 0), updated_at = ?3",
        suite: conformance("renew"),
    },
    Bug {
        name: "rescue-by-age",
        harm: "a claim is taken back because it is old, although its lease was renewed",
        file: "crates/conductor-store/src/sqlite/rescue.rs",
        from: "AND lease_until <= ?2 LIMIT ?1",
        to: "AND lease_until IS NOT NULL AND created_at <= ?2 - 1 LIMIT ?1",
        suite: conformance("re"),
    },
    Bug {
        name: "rescue-of-the-living",
        harm: "every engine takes the claims of all others",
        file: "crates/conductor-store/src/sqlite/enlist.rs",
        from: "None => !lock(&self.alive).contains(&engine.id),",
        to: "None => lock(&self.alive).len() > usize::from(engine.key < 0),",
        suite: conformance("re"),
    },
    Bug {
        name: "success-without-a-row",
        harm: "a result is acknowledged and not written",
        file: "crates/conductor-store/src/sqlite/settle.rs",
        from: "    write.transit_leaves(&mut plain, Signal::Succeed, None)?;\n",
        to: "    write.transit_leaves(&mut plain[..0], Signal::Succeed, None)?;\n",
        suite: SIMULATION,
    },
    Bug {
        name: "transition-without-an-event",
        harm: "the events no longer tell what happened",
        file: TRANSIT_RS,
        from: "            event_log::record_leaves(tx, of_one_run[0].place.run, keys, now, signal)?;\n",
        to: "            event_log::record_leaves(tx, of_one_run[0].place.run, keys.take(1), now, signal)?;\n",
        suite: SIMULATION,
    },
    Bug {
        name: "number-not-counted",
        harm: "a parent waits for a child that is done",
        file: TRANSIT_RS,
        from: "count: siblings.len() };",
        to: "count: 1 };",
        suite: SIMULATION,
    },
    Bug {
        name: "retry-before-its-time",
        harm: "backoff is not waited for",
        file: "crates/conductor-store/src/sqlite/retry.rs",
        from: "WHERE state = 3 AND due_at <= ?2 AND",
        to: "WHERE state = 3 AND due_at <= ?2 + 3600000 AND",
        suite: conformance("retry"),
    },
    Bug {
        name: "release-costs-a-retry",
        harm: "work that was handed back is short of a retry",
        file: TRANSIT_RS,
        from: "attempt = attempt + ?4, lease_until = ?5,",
        to: "attempt = attempt + ?4, retry_count = retry_count + (?2 = 0), lease_until = ?5,",
        suite: conformance("release"),
    },
    Bug {
        name: "suspects-together",
        harm: "one task that kills its process takes its neighbours' retries with it",
        file: CLAIM_RS,
        from: "if request.alone && request.limit > 0 {",
        to: "if request.limit > 0 {",
        suite: conformance("re"),
    },
    Bug {
        name: "no-rotation",
        harm: "a run of many starves those behind it",
        file: CLAIM_RS,
        from: "wanted.turn.0.cast_signed(), most + 1)?;",
        to: "0 * wanted.turn.0.cast_signed(), most + 1)?;",
        suite: conformance("claim"),
    },
    Bug {
        name: "priority-ignored",
        harm: "urgent tasks wait behind others",
        file: CLAIM_RS,
        from: "t.run = ?2 ORDER BY t.priority DESC, t.key LIMIT ?3",
        to: "t.run = ?2 ORDER BY t.key LIMIT ?3",
        suite: conformance("claim"),
    },
    Bug {
        name: "endings-forgotten",
        harm: "results are lost when the store is busy for a moment",
        file: CORE_RS,
        from: "                self.endings = request.endings;\n",
        to: "                drop(request.endings);\n",
        suite: engine("fault"),
    },
    Bug {
        name: "timeout-without-end",
        harm: "an attempt that takes too long goes on for ever",
        file: CORE_RS,
        from: "attempt.deadline().is_some_and(|deadline| deadline <= now)",
        to: "attempt.deadline().is_some_and(|deadline| deadline < Duration::ZERO)",
        suite: SIMULATION,
    },
    Bug {
        name: "distrust-ignored",
        harm: "a process that stood still longer than its lease begins work that others do already",
        file: "crates/conductor-workers/src/engine/pool.rs",
        from: "if !self.trust.holds(now) {",
        to: "if !self.trust.holds(now) && now.is_zero() {",
        suite: engine("trust"),
    },
];
