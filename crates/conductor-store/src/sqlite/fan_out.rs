//! Create the children that are missing.

use super::SqliteStore;
use super::marks::Marks;
use super::rows;
use super::sql::{ScopeKey, Sql};
use super::task_row::TaskRow;
use super::transit::Brings;
use super::write::Write;
use crate::{FanOut, FannedOut, Fault};
use conductor_model::{AttemptFailure, Fanout, IdBlock, Jitter, Json, Mark, Numbers, Signal, State};
use rusqlite::{Connection, params};

/// How many parents one step looks at: it may give each of them only a few children.
const PARENTS_PER_STEP: u32 = 1000;
/// How many bytes of inputs one step reads, about: it writes no more than that.
const BYTES_PER_STEP: usize = 8 << 20;

impl SqliteStore {
    pub(super) fn fan_out_step(&self, step: &FanOut) -> Result<FannedOut, Fault> {
        if step.ids.is_empty() {
            return Ok(FannedOut::default());
        }
        if !self.probe(|connection| {
            Ok(!candidates(connection, ScopeKey::of(step.scope, connection)?, 1)?.is_empty())
        })? {
            return Ok(FannedOut::default());
        }
        self.write(step.now, |write| fan_out(write, step))
    }
}

fn candidates(connection: &Connection, scope: ScopeKey, limit: u32) -> Result<Vec<i64>, Fault> {
    let (from, to) = scope.range();
    connection.all(TO_FAN_OUT, params![limit, from, to], |row| row.get(0))
}

fn fan_out(write: &mut Write<'_>, step: &FanOut) -> Result<FannedOut, Fault> {
    let mut done = FannedOut::default();
    let (mut ids, mut read, mut marks) = (step.ids, 0, Marks::default());
    let scope = ScopeKey::of(step.scope, write.tx())?;
    let parents = candidates(write.tx(), scope, PARENTS_PER_STEP)?;
    done.more = parents.len() == PARENTS_PER_STEP as usize;
    for parent in parents {
        if ids.is_empty() || read >= BYTES_PER_STEP {
            done.more = true;
            break;
        }
        let created = create_missing(write, &mut marks, parent, &mut ids)?;
        done.parents += u32::from(created.count > 0);
        done.children += created.count;
        done.more |= created.more;
        read += created.read;
    }
    Ok(done)
}

/// What became of one parent.
#[derive(Clone, Copy, Default)]
struct Created {
    /// How many children it got.
    count: u32,
    /// Whether it, or one of them, wants more.
    more: bool,
    /// How many bytes of input were read, which bounds what was written.
    read: usize,
}

/// Creates the next missing children of one parent, as many as there are ids.
fn create_missing(
    write: &mut Write<'_>,
    marks: &mut Marks,
    parent: i64,
    ids: &mut IdBlock,
) -> Result<Created, Fault> {
    let mut task = TaskRow::by_key(write.tx(), parent)?;
    if marks.is_doomed(write, task.place)? {
        // The sweep would come to it as well, but until then every step would find it again.
        let (tx, ledger, now) = write.parts();
        ledger.mark(tx, task.below(), now, Mark::Above, None)?;
        return Ok(Created { more: true, ..Created::default() });
    }
    if task.state == State::Pending {
        let started = write.transit(&mut task, Signal::Start, Brings::default());
        started.map_err(|error| error.in_step(parent))?;
    }
    let (tx, ledger, _) = write.parts();
    let numbers = ledger.parent(tx, parent)?.standing.numbers;
    let Some(indices) = numbers.missing(ids.len()) else { return Ok(Created::default()) };
    let count = indices.end() - indices.start() + 1;
    let Some(taken) = ids.take(count) else { return Ok(Created::default()) };
    let readable = readable_input(tx, parent, numbers).and_then(|input| Ok((input, write.family(parent)?)));
    let (input, family) = match readable {
        Ok(readable) => readable,
        Err(Fault::Unreadable { why, .. }) => {
            // The step goes on with the others.
            write.fail_in_step(&mut task, &AttemptFailure::fatal(why), Jitter(0))?;
            return Ok(Created::default());
        }
        Err(fault) => return Err(fault),
    };
    let rest = numbers.total.is_some_and(|total| *indices.end() < total);
    let from = *indices.start() as usize - 1;
    let items = input.fanout_items();
    let items = items.get(from..from + count as usize).unwrap_or_default();
    let has_parents = write.create_children(&family, indices, taken, items, false)?;
    Ok(Created { count, more: rest || has_parents, read: input.as_str().len() })
}

/// The parent's input, if it still asks for the fan-out that was submitted.
fn readable_input(tx: &Connection, parent: i64, numbers: Numbers) -> Result<Json, Fault> {
    let changed = |why: String| rows::bad_row("task", parent, &format!("its input was changed: {why}"));
    let input = match rows::read_input(tx, parent) {
        Ok(input) => input.ok_or_else(|| changed("it is missing".into()))?,
        Err(Fault::Unreadable { why, .. }) => return Err(changed(why)),
        Err(fault) => return Err(fault),
    };
    let fanout = Fanout::of(&input).map_err(|invalid| changed(invalid.to_string()))?;
    match fanout.map(Fanout::total) {
        total if total == numbers.total => Ok(input),
        _ => Err(changed("it asks for another number of children".into())),
    }
}

pub(super) const TO_FAN_OUT: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = 1 AND run BETWEEN ?2 AND ?3 ORDER BY run, key LIMIT ?1";
