//! Checks, outside of the measured time, that the floor has done its work.

use crate::outcome::Outcome;
use crate::workspace::Workspace;
use conductor_model::State;
use conductor_store::{Admin, Verify};

/// The largest number of tasks of which all events are verified. The same statements run at every size.
const VERIFIED: u32 = 100_000;

const OF_RANGES: &str = "SELECT total(last - first + 1) FROM conductor_ranges";
const ENDED: &str = "SELECT total(state = 2) FROM conductor_ended";

/// Fails unless so many leaves of run 1 are in this state by their rows and by the count of the run, and the file verifies.
pub(crate) fn leaves(workspace: &Workspace, state: State, leaves: u32) -> Outcome<()> {
    let (count, rows) = match state {
        State::Pending => ("pending", format!("{OF_RANGES} WHERE state = 0")),
        State::Cancelled => ("cancelled", format!("{OF_RANGES} WHERE state = 4")),
        State::Succeeded => {
            ("succeeded - (SELECT count(*) FROM conductor_parents WHERE state = 2)", ENDED.into())
        }
        other => return Err(format!("{other:?} is not checked").into()),
    };
    let count = format!("SELECT total({count}) FROM conductor_runs WHERE key = 1");
    let raw = workspace.raw()?;
    for sql in [count, rows] {
        let found: f64 = raw.query_row(&sql, [], |row| row.get(0))?;
        if (found - f64::from(leaves)).abs() > 0.5 {
            return Err(format!("the floor has {found} leaves and not {leaves}: {sql}").into());
        }
    }
    if leaves <= VERIFIED { verify(workspace) } else { Ok(()) }
}

/// Fails unless nothing is left of any run.
pub(crate) fn pruned(workspace: &Workspace) -> Outcome<()> {
    let raw = workspace.raw()?;
    for table in ["runs", "blocks", "ranges", "parents", "ended", "events"] {
        let sql = format!("SELECT count(*) FROM conductor_{table}");
        let rows: u32 = raw.query_row(&sql, [], |row| row.get(0))?;
        if rows > 0 {
            return Err(format!("the floor left {rows} rows in conductor_{table}").into());
        }
    }
    Ok(())
}

/// Fails if rows, counts and events contradict each other.
pub(crate) fn verify(workspace: &Workspace) -> Outcome<()> {
    let report = workspace.store()?.verify(&Verify::all())?;
    match report.divergences.first() {
        None => Ok(()),
        Some(first) => {
            Err(format!("the floor does not verify: {} findings, first {first:?}", report.found).into())
        }
    }
}
