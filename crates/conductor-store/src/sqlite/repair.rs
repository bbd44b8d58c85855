//! Repairs rows that differ from the events, in bounded transactions.

use super::SqliteStore;
use super::audit::Audit;
use super::compare::{self, Stored, StoredHead, run_differences};
use super::families::undecided;
use super::inputs;
use super::ledger::Place;
use super::recreate::{create, give_input, known_id, take_back};
use super::rows::state_code;
use super::sql::{Sql, id_blob};
use super::verify::{Cure, Finding, Inspected, run_row, stray_input};
use super::write::Write;
use crate::{Repair, RepairReport, RepairedItem, Scope, StoreError, UnrepairableItem};
use conductor_model::{RunReplayTask, State, TaskId, Timestamp};
use rusqlite::{Connection, params};

/// The number of divergences of a run that are repaired before it is examined again.
const FINDINGS_PER_CALL: usize = 100_000;

/// The result of one repair.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was repaired, with this description.
    Done(String),
    /// It is correct already.
    InOrder,
    /// It was not repaired, for this reason.
    Not(String),
}

impl Outcome {
    pub(super) fn done(what: &str) -> Self {
        Self::Done(what.into())
    }

    pub(super) fn not(why: &str) -> Self {
        Self::Not(why.into())
    }
}

impl SqliteStore {
    pub(super) fn repair_runs(&self, request: &Repair) -> Result<RepairReport, StoreError> {
        let mut done = RepairReport::default();
        let mut after = i64::try_from(request.cursor).unwrap_or(i64::MAX);
        let mut events = 0;
        while let Some(run) = self.next_run(request.scope, after)? {
            let before = done.repaired.len();
            let mut is_whole = true;
            if let Some(inspected) = self.inspect(run, FINDINGS_PER_CALL)? {
                done.runs += 1;
                events += inspected.audit.events;
                is_whole = inspected.found <= FINDINGS_PER_CALL as u64;
                self.mend_run(inspected, request, &mut done)?;
            }
            // With more divergences than were examined, the same run is next again.
            let stays = !is_whole && done.repaired.len() > before;
            after = if stays { run - 1 } else { run };
            if stays || (request.scope == Scope::All && events >= request.limit) {
                done.next = Some(after.cast_unsigned());
                return Ok(done);
            }
            if request.scope != Scope::All {
                return Ok(done);
            }
        }
        if request.scope == Scope::All {
            self.remove_stray_inputs(request, &mut done)?;
        }
        Ok(done)
    }

    fn mend_run(&self, run: Inspected, request: &Repair, done: &mut RepairReport) -> Result<(), StoreError> {
        let Inspected { mut audit, mut findings, .. } = run;
        // Parents before their children, and the run at last.
        findings.sort_by_key(|finding| finding.cure);
        let groups: Vec<&[Finding]> = findings.chunk_by(|one, next| one.cure == next.cure).collect();
        for batch in groups.chunks(request.rows.max(1) as usize) {
            let owners = self.owners(&audit, batch)?;
            let outcomes = self.write(request.now, |write| {
                while audit.catch_up(write.tx(), u32::MAX)? {}
                let mend = |(group, owner): (&&[Finding], &Option<i64>)| {
                    mend(write, &mut audit, group[0].cure, *owner)
                };
                batch.iter().zip(&owners).map(mend).collect::<Result<Vec<_>, StoreError>>()
            })?;
            for (group, outcome) in batch.iter().zip(outcomes) {
                for finding in *group {
                    note(done, finding, &outcome);
                }
            }
        }
        Ok(())
    }

    /// For each row that is to be removed: the other run that it belongs to, if there is one.
    fn owners(&self, audit: &Audit, batch: &[&[Finding]]) -> Result<Vec<Option<i64>>, StoreError> {
        let owner = |group: &&[Finding]| match group[0].cure {
            Cure::Remove(key) => self.read(|connection| {
                let params = params![key, audit.run];
                let of_parent = connection.first(RUN_OF_PARENT, params, |row| row.get(0))?;
                match of_parent {
                    Some(run) => Ok(Some(run)),
                    // Read to the end, once for each such row: there is no index for what should never be.
                    None => connection.first(RUN_OF_EVENTS, params, |row| row.get(0)),
                }
            }),
            _ => Ok(None),
        };
        batch.iter().map(owner).collect()
    }

    fn remove_stray_inputs(&self, request: &Repair, done: &mut RepairReport) -> Result<(), StoreError> {
        let mut stray = Vec::new();
        self.inspect_inputs(|task| stray.push(task))?;
        for batch in stray.chunks(request.rows.max(1) as usize) {
            let removed: Vec<bool> = self.write(request.now, |write| {
                let remove = |task: &i64| Ok(write.tx().run(DELETE_STRAY_INPUT, [task])? > 0);
                batch.iter().map(remove).collect::<Result<_, StoreError>>()
            })?;
            for (task, _) in batch.iter().zip(removed).filter(|(_, removed)| *removed) {
                done.repaired.push(RepairedItem { divergence: stray_input(*task), action: "removed".into() });
            }
        }
        Ok(())
    }
}

fn note(done: &mut RepairReport, finding: &Finding, outcome: &Outcome) {
    let divergence = finding.divergence.clone();
    match outcome {
        Outcome::Done(what) => done.repaired.push(RepairedItem { divergence, action: what.clone() }),
        Outcome::InOrder => {}
        Outcome::Not(why) => done.unrepairable.push(UnrepairableItem { divergence, reason: why.clone() }),
    }
}

/// Compares again, and repairs the remaining divergence.
fn mend(
    write: &mut Write<'_>,
    audit: &mut Audit,
    cure: Cure,
    owner: Option<i64>,
) -> Result<Outcome, StoreError> {
    let (tx, _, now) = write.parts();
    if let Cure::None(why) = cure {
        return Ok(Outcome::not(why));
    }
    if !run_row(tx, audit.run)?.is_of(audit) {
        return Ok(Outcome::InOrder);
    }
    match cure {
        Cure::Task(number) => mend_task(tx, audit, number, now),
        Cure::Input(number) => mend_input(tx, audit, number),
        Cure::Run => mend_run_row(tx, audit, now),
        Cure::Decide(family) => decide(write, audit, family),
        Cure::Remove(key) => match owner {
            Some(owner) => move_back(tx, audit, key, owner),
            None => remove_task(tx, audit, key),
        },
        Cure::Join(task) => {
            tx.run("DELETE FROM conductor_joins WHERE run = ?1 AND task = ?2", params![audit.run, task])?;
            Ok(Outcome::done("removed"))
        }
        Cure::Sweep(task) => {
            let (sql, key) = if task == 0 { (SWEEP_RUN, audit.run) } else { (SWEEP_PARENT, task) };
            tx.run(sql, [key])?;
            Ok(Outcome::done("its children are swept again"))
        }
        Cure::Prune => {
            tx.run("INSERT INTO conductor_pruned (run) VALUES (?1)", [audit.run])?;
            Ok(Outcome::done("queued for the next prune"))
        }
        Cure::None(why) => Ok(Outcome::not(why)),
    }
}

fn mend_task(tx: &Connection, audit: &mut Audit, number: u32, now: Timestamp) -> Result<Outcome, StoreError> {
    let Some(told) = audit.told.task(number) else { return Ok(Outcome::InOrder) };
    let place = compare::place(audit, &told);
    if place.0 < 0 {
        return Ok(Outcome::not("the row of its parent is missing"));
    }
    let known = audit.keys.key_of(number);
    let row = known.map(|key| compare::stored(tx, key)).transpose()?.flatten();
    let (row, has_strayed) = match (row, known) {
        (None, Some(key)) => (take_back(tx, audit, number, &told, key)?, true),
        (row, _) => (row, false),
    };
    let Some((stored, run)) = row else { return create(tx, audit, number, &told, place.0, now) };
    let differences = stored.differences(audit, number, &told)?;
    let mut done = Vec::new();
    if has_strayed {
        done.push("restored its row key".to_owned());
    }
    if run != audit.run {
        done.push("moved its row back to its run".to_owned());
    }
    if differences.is_empty() && run == audit.run {
        return Ok(if has_strayed { Outcome::Done(done.join(", ")) } else { Outcome::InOrder });
    }
    let Some(id) = known_id(tx, audit, number, &told, place.0)?.or(stored.id) else {
        return Ok(Outcome::not("its id is stored only in its row"));
    };
    if stored.id != Some(id) && compare::id_is_taken(tx, id)? {
        return Ok(Outcome::not("another row has its id"));
    }
    let is_lost = told.status.is_none()
        && told.state == State::Running
        && stored.state != state_code(State::Running)
        && stored.lease_until.is_none();
    clear(tx, audit.run, place, stored.key)?;
    write_task(tx, audit.run, place, id, &stored, &told, now, is_lost)?;
    if !differences.is_empty() {
        let whats: Vec<String> = differences.iter().map(|(what, _, _)| what.to_string()).collect();
        let rest =
            if is_lost { "; its worker is unknown, so that the next rescue fails its attempt" } else { "" };
        done.push(format!("wrote {} from the events{rest}", whats.join(", ")));
    }
    Ok(Outcome::Done(done.join(", ")))
}

fn mend_input(tx: &Connection, audit: &Audit, number: u32) -> Result<Outcome, StoreError> {
    let (key, told) = (audit.keys.key_of(number), audit.told.task(number));
    let Some((key, told)) = key.zip(told) else { return Ok(Outcome::InOrder) };
    if inputs::is_there(tx, key)? || compare::stored(tx, key)?.is_none() {
        return Ok(Outcome::InOrder);
    }
    let parent = told.parent.and_then(|parent| audit.keys.key_of(parent));
    match parent.map(|parent| give_input(tx, key, parent, told.index)).transpose()? {
        Some(true) => Ok(Outcome::done("restored its input from the items of its parent")),
        _ => Ok(Outcome::not("its input was stored only in the missing row")),
    }
}

/// Frees the tree position of a task. Another row at this position is repaired or removed later.
pub(super) fn clear(
    tx: &Connection,
    run: i64,
    (parent, ordinal): (i64, i64),
    key: i64,
) -> Result<(), StoreError> {
    tx.run(CLEAR, params![run, parent, ordinal, key])?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "a row has many columns")]
fn write_task(
    tx: &Connection,
    run: i64,
    (parent, ordinal): (i64, i64),
    id: TaskId,
    stored: &Stored,
    told: &RunReplayTask,
    now: Timestamp,
    is_lost: bool,
) -> Result<(), StoreError> {
    let is_leaf = told.status.is_none();
    let keeps_lease = is_leaf && told.state == State::Running;
    let lease = if is_lost { Some(now.as_millis()) } else { stored.lease_until.filter(|_| keeps_lease) };
    let head = StoredHead::of(told.status)?;
    tx.run(
        UPDATE_TASK,
        params![
            stored.key,
            id_blob(id.as_u128()),
            run,
            parent,
            ordinal,
            state_code(told.state),
            due_at(Some(stored), told, now),
            if is_leaf { i64::from(told.attempt) } else { stored.attempt },
            told.retry_count,
            lease,
            stored.holder.filter(|_| keeps_lease),
            head.sealed,
            head.numbers[0],
            head.numbers[1],
            head.numbers[2],
            head.numbers[3],
            head.numbers[4],
            head.policy,
            head.mark,
            head.joining,
            now.as_millis(),
        ],
    )?;
    Ok(())
}

/// When a task must be looked at again.
pub(super) fn due_at(stored: Option<&Stored>, told: &RunReplayTask, now: Timestamp) -> Option<i64> {
    let stored = |state| stored.filter(|stored| stored.state == state_code(state)).and_then(|row| row.due_at);
    match told.state {
        State::Pending if compare::may_be_delayed(told) => stored(State::Pending),
        State::Failed if told.retry_scheduled => {
            let told = told.due_at.map(Timestamp::as_millis);
            told.or_else(|| stored(State::Failed)).or(Some(now.as_millis()))
        }
        _ => None,
    }
}

fn mend_run_row(tx: &Connection, audit: &Audit, now: Timestamp) -> Result<Outcome, StoreError> {
    let Some(run) = audit.told.run() else { return Ok(Outcome::InOrder) };
    let differences = run_differences(tx, audit)?.unwrap_or_default();
    if differences.is_empty() {
        return Ok(Outcome::InOrder);
    }
    let (head, tally) = (StoredHead::of(Some(run.status))?, run.state_counts);
    tx.run(
        UPDATE_RUN,
        params![
            audit.run,
            state_code(run.state),
            now.as_millis(),
            head.sealed,
            head.numbers[0],
            head.numbers[1],
            head.numbers[2],
            head.numbers[3],
            head.numbers[4],
            head.policy,
            head.mark,
            head.joining,
            tally.pending.cast_signed(),
            tally.running.cast_signed(),
            tally.succeeded.cast_signed(),
            tally.failed.cast_signed(),
            tally.cancelled.cast_signed(),
        ],
    )?;
    let whats: Vec<String> = differences.iter().map(|(what, _, _)| what.to_string()).collect();
    Ok(Outcome::Done(format!("wrote {} from the events", whats.join(", "))))
}

/// Settles a parent, or the run, by the result of its join, if its own row is correct by now.
fn decide(write: &mut Write<'_>, audit: &Audit, family: Option<u32>) -> Result<Outcome, StoreError> {
    let Some((joining, end)) = undecided(audit, family) else { return Ok(Outcome::InOrder) };
    let Some(place) = place_in_order(write.tx(), audit, family)? else {
        return Ok(Outcome::not("its row could not be repaired"));
    };
    write.note_joining(place, joining)?;
    write.join_ended(place)?;
    Ok(Outcome::Done(format!("settled as {end}, because its join is settled")))
}

/// The place of the children of a parent, or of the run, if its own row is as the events say.
fn place_in_order(tx: &Connection, audit: &Audit, family: Option<u32>) -> Result<Option<Place>, StoreError> {
    let Some(number) = family else {
        let is_in_order = run_differences(tx, audit)?.is_some_and(|differences| differences.is_empty());
        return Ok(is_in_order.then_some(Place::child(audit.run, 0)));
    };
    let (told, key) = (audit.told.task(number), audit.keys.key_of(number));
    let Some((told, key)) = told.zip(key) else { return Ok(None) };
    let Some((stored, run)) = compare::stored(tx, key)? else { return Ok(None) };
    let is_in_order = run == audit.run && stored.differences(audit, number, &told)?.is_empty();
    Ok(is_in_order.then_some(Place::child(run, key)))
}

/// Whether a row in this run is none of its tasks, and there.
fn is_stray(tx: &Connection, audit: &Audit, key: i64) -> Result<bool, StoreError> {
    let is_told = audit.keys.number_of(key).is_some_and(|number| audit.told.task(number).is_some());
    Ok(!is_told && compare::stored(tx, key)?.is_some_and(|(_, run)| run == audit.run))
}

fn remove_task(tx: &Connection, audit: &Audit, key: i64) -> Result<Outcome, StoreError> {
    if !is_stray(tx, audit, key)? {
        return Ok(Outcome::InOrder);
    }
    tx.run("DELETE FROM conductor_inputs WHERE task = ?1", [key])?;
    tx.run("DELETE FROM conductor_tasks WHERE key = ?1", [key])?;
    Ok(Outcome::done("removed, because no event describes it"))
}

fn move_back(tx: &Connection, audit: &Audit, key: i64, owner: i64) -> Result<Outcome, StoreError> {
    if !is_stray(tx, audit, key)? {
        return Ok(Outcome::InOrder);
    }
    // Where it stands there is for the repair of that run to say.
    tx.run("UPDATE conductor_tasks SET run = ?2, ordinal = CASE WHEN key < 0 THEN key ELSE -key END WHERE key = ?1", params![key, owner])?;
    Ok(Outcome::done("moved back to the run whose events describe it"))
}

const RUN_OF_PARENT: &str = "SELECT p.run FROM conductor_tasks t JOIN conductor_tasks p ON p.key = t.parent \
    WHERE t.key = ?1 AND p.run <> ?2";
const RUN_OF_EVENTS: &str = "SELECT run FROM conductor_events WHERE task = ?1 AND run <> ?2 LIMIT 1";

const CLEAR: &str = "UPDATE conductor_tasks SET ordinal = CASE WHEN key < 0 THEN key ELSE -key END \
    WHERE run = ?1 AND parent = ?2 AND ordinal = ?3 AND key <> ?4";

const SWEEP_RUN: &str = "UPDATE conductor_runs SET swept = 0 WHERE key = ?1 AND mark IS NOT NULL";
const SWEEP_PARENT: &str = "UPDATE conductor_tasks SET swept = 0 WHERE key = ?1 AND mark IS NOT NULL";

const DELETE_STRAY_INPUT: &str = "DELETE FROM conductor_inputs \
    WHERE task = ?1 AND NOT EXISTS (SELECT 1 FROM conductor_tasks WHERE key = ?1)";

/// What was swept is swept again if the mark changes.
const UPDATE_TASK: &str = "UPDATE conductor_tasks SET id = ?2, run = ?3, parent = ?4, ordinal = ?5, state = ?6, \
    due_at = ?7, attempt = ?8, retry_count = ?9, lease_until = ?10, holder = ?11, sealed = ?12, fanout = ?13, \
    children = ?14, open_children = ?15, failed_children = ?16, cancelled_children = ?17, policy = ?18, \
    swept = CASE WHEN ?19 IS NOT NULL THEN 0 END, mark = ?19, joining = ?20, updated_at = ?21 WHERE key = ?1";

const UPDATE_RUN: &str = "UPDATE conductor_runs SET state = ?2, updated_at = ?3, sealed = ?4, fanout = ?5, \
    children = ?6, open_children = ?7, failed_children = ?8, cancelled_children = ?9, policy = ?10, \
    swept = CASE WHEN ?11 IS NOT NULL THEN 0 END, mark = ?11, joining = ?12, pending = ?13, running = ?14, \
    succeeded = ?15, failed = ?16, cancelled = ?17 WHERE key = ?1";
