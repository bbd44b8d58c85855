//! Changes of tasks that are not claims or ends: retries, cancels, and the revival of one task.

use super::{BLOCK, Change, NOW, count, event, events, in_transactions, name, run, take};
use crate::outcome::Outcome;
use rusqlite::{Connection, TransactionBehavior, params};
use std::time::Duration;

const RETRY: Change = Change {
    from: "SELECT key, block, first, last FROM conductor_ranges WHERE state = 3 AND due_at IS NOT NULL \
        ORDER BY due_at, run",
    state: 0,
    attempts: 0,
    retries: 1,
    engine: None,
    lease_until: None,
    due_at: None,
    lease_losses: None,
};
const RESCUE: Change = Change {
    from: "SELECT key, block, first, last FROM conductor_ranges WHERE state = 1 \
        AND lease_until <= 1000 * unixepoch('subsec') \
        ORDER BY lease_until, since",
    state: 3,
    retries: 0,
    due_at: Some(NOW),
    lease_losses: Some(1),
    ..RETRY
};
const CANCEL: Change = Change {
    from: "SELECT key, block, first, last FROM conductor_ranges WHERE kind = 1 AND run = 1 AND state = 0 \
        AND due_at IS NULL AND coalesce(lease_losses, 0) < 2 ORDER BY priority DESC, block",
    state: 4,
    retries: 0,
    ..RETRY
};

/// Makes all FAILED tasks PENDING again.
pub(crate) fn retry(raw: &mut Connection, each: u32) -> Outcome<Duration> {
    in_transactions(raw, |tx| {
        let retried = take(tx, &RETRY, each)?;
        events(tx, name::TASK_RETRIED, &retried, None)?;
        let counts = "UPDATE conductor_runs SET failed = failed - ?1, pending = pending + ?1 WHERE key = 1";
        run(tx, counts, [count(&retried)])?;
        Ok(count(&retried) == each)
    })
}

/// Takes back all tasks whose leases are over.
pub(crate) fn rescue(raw: &mut Connection, each: u32) -> Outcome<Duration> {
    in_transactions(raw, |tx| {
        let rescued = take(tx, &RESCUE, each)?;
        for piece in &rescued {
            run(tx, ERRORS, [piece.key])?;
        }
        events(tx, name::TASK_FAILED, &rescued, Some(LEASE_EXPIRED))?;
        let counts = "UPDATE conductor_runs SET running = running - ?1, failed = failed + ?1 WHERE key = 1";
        run(tx, counts, [count(&rescued)])?;
        Ok(count(&rescued) == each)
    })
}

const ERRORS: &str = "INSERT INTO conductor_errors SELECT 1024 * block + n, 'lease expired' \
    FROM conductor_ranges CROSS JOIN conductor_offsets WHERE key = ?1 AND n BETWEEN first AND last";
const LEASE_EXPIRED: &str =
    r#"{"due_at":"2026-01-01T00:00:00.000Z","error":"lease expired","reason":"lease_expired"}"#;

/// Requests the cancel of the run.
pub(crate) fn request_cancel(raw: &mut Connection) -> Outcome<()> {
    let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
    request(&tx)?;
    Ok(tx.commit()?)
}

fn request(tx: &Connection) -> Outcome<()> {
    run(tx, "UPDATE conductor_runs SET cancel_cause = 1, swept = 0, updated_at = ?1 WHERE key = 1", [NOW])?;
    event(tx, 1, None, name::RUN_CANCELLED, Some(r#"{"cause":"requested"}"#))
}

/// Cancels the run: its parent, and all children.
pub(crate) fn cancel(raw: &mut Connection, each: u32) -> Outcome<Duration> {
    let mut swept = 0;
    in_transactions(raw, |tx| {
        if swept == 0 {
            request(tx)?;
            run(tx, "UPDATE conductor_runs SET swept = 4294967295 WHERE key = 1", [])?;
            run(tx, "UPDATE conductor_parents SET cancel_cause = 4 WHERE task = 1024", [])?;
            event(tx, 1, None, name::RUN_SWEPT, Some(r#"{"children":[[1,1]]}"#))?;
        }
        let cancelled = count(&take(tx, &CANCEL, each)?);
        let (first, last) = (swept + 1, swept + cancelled);
        swept = last;
        if cancelled > 0 {
            let payload = format!(r#"{{"children":[[{first},{last}]]}}"#);
            event(tx, 1, Some(BLOCK.into()), name::TASK_SWEPT, Some(&payload))?;
        }
        let counts = "UPDATE conductor_parents SET open_children = open_children - ?1, \
            cancelled_children = cancelled_children + ?1, swept = ?2 WHERE task = 1024";
        run(tx, counts, [cancelled, last])?;
        let counts =
            "UPDATE conductor_runs SET pending = pending - ?1, cancelled = cancelled + ?1 WHERE key = 1";
        run(tx, counts, [cancelled])?;
        Ok(cancelled == each)
    })
}

/// Makes one child, which is FAILED, PENDING again, and its parent and run RUNNING.
pub(crate) fn revive(raw: &mut Connection, child: i64) -> Outcome<()> {
    let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
    run(&tx, REVIVE, params![child, NOW])?;
    run(&tx, "DELETE FROM conductor_ended WHERE task = ?1", [child])?;
    let counts = "UPDATE conductor_parents SET state = 1, open_children = 1, failed_children = 0, updated_at = ?1 \
        WHERE task = 1024";
    run(&tx, counts, [NOW])?;
    let counts = "UPDATE conductor_runs SET state = 1, open_children = 1, failed_children = 0, \
        pending = 1, running = 1, failed = 0, updated_at = ?1 WHERE key = 1";
    run(&tx, counts, [NOW])?;
    event(&tx, 1, Some(child), name::TASK_REVIVED, None)?;
    event(&tx, 1, Some(BLOCK.into()), name::TASK_REOPENED, None)?;
    event(&tx, 1, None, name::RUN_REOPENED, None)?;
    Ok(tx.commit()?)
}

const REVIVE: &str = "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, \
    parent, kind, priority) SELECT block, ?1 % 1024, ?1 % 1024, 0, attempt, 0, ?2, run, parent, kind, priority \
    FROM conductor_ended, conductor_blocks WHERE task = ?1 AND block = ?1 / 1024";
