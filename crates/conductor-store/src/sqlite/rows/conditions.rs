//! Conditions of SQL statements: each number of a state, a step, a lease loss or an event in a SQL text is written here.
//!
//! SQLite uses a partial index only if the text of a statement contains its condition. So these numbers are no parameters.
//! The columns have no alias: of the tables of a FROM, only one has them.
//!
//! `cargo xtask tidy` refuses a comparison with such a number in another file below `sqlite/`. Migrations and views are SQL
//! files, and have their own numbers.

/// A SQL text from literals, names of conditions, and other macros in parentheses.
macro_rules! sql {
    ($($part:tt)+) => { concat!($($crate::sqlite::rows::conditions::part!($part)),+) };
}

#[rustfmt::skip]
macro_rules! part {
    ($text:literal) => { $text };
    (($($text:tt)+)) => { $($text)+ };

    (pending) => { "state = 0" };
    (running) => { "state = 1" };
    (succeeded) => { "state = 2" };
    (failed) => { "state = 3" };
    (cancelled) => { "state = 4" };

    (open_run) => { "state IN (0, 1)" };
    (settled_run) => { "state IN (2, 3, 4)" };
    (run_with_deadline) => { "deadline IS NOT NULL AND cancel_cause IS NULL AND state IN (0, 1)" };

    (open_parent) => { "state IN (0, 1)" };
    // True for an unknown number, too.
    (unsettled_parent) => { "state NOT IN (2, 3, 4)" };

    // Leaves of `conductor_ranges`, where each FAILED leaf has a retry. A claim takes isolated leaves only where no other
    // task runs.
    (open_leaf) => { "state IN (0, 1, 3)" };
    (ready) => { "state = 0 AND due_at IS NULL AND coalesce(lease_losses, 0) < 2" };
    (isolated) => { "state = 0 AND due_at IS NULL AND lease_losses = 2" };
    (delayed) => { "state = 0 AND due_at IS NOT NULL" };
    (claimed) => { "state = 1 AND lease_until IS NOT NULL" };
    (running_externally) => { "state = 1 AND lease_until IS NULL" };
    (retry_due) => { "state = 3 AND due_at IS NOT NULL" };

    // Parents and runs that need a step. A caller does the append.
    (needs_fan_out) => { "next_step = 1" };
    (needs_append) => { "next_step = 2" };
    (needs_aggregate) => { "next_step = 3" };
    (needs_sweep) => { "next_step = 4" };
    (needs_decision) => { "next_step IN (3, 4)" };
    (needs_step) => { "next_step IN (1, 3, 4)" };

    // Events, without the starts and successes of tasks.
    (rare_event) => { "name NOT IN (9, 10)" };
}
pub(crate) use {part, sql};

#[cfg(test)]
mod tests {
    use crate::sqlite::rows::{columns::lease_losses_code, event_body as events};
    use conductor_model::{LeaseLosses, NextStep, State};
    use rusqlite::{Connection, Params, params};

    fn holds(condition: &str, columns: &str, values: impl Params) -> bool {
        let sql = format!("SELECT count(*) FROM (SELECT {columns}) WHERE {condition}");
        let memory = Connection::open_in_memory().unwrap();
        memory.query_row(&sql, values, |row| row.get::<_, i64>(0)).unwrap() == 1
    }

    #[test]
    fn conditions_hold_in_their_states() {
        use State::{Cancelled, Failed, Pending, Running, Succeeded};
        let [none, due, claimed] = [[None; 3], [Some(1), None, None], [None, Some(1), None]];
        let [once, isolate] = [LeaseLosses::Once, LeaseLosses::Isolate]
            .map(|losses| [None, None, Some(lease_losses_code(losses))]);
        for (condition, [due_at, lease_until, losses], states) in [
            (sql!(pending), none, &[Pending][..]),
            (sql!(running), none, &[Running]),
            (sql!(succeeded), none, &[Succeeded]),
            (sql!(failed), none, &[Failed]),
            (sql!(cancelled), none, &[Cancelled]),
            (sql!(open_run), none, &[Pending, Running]),
            (sql!(settled_run), none, &[Succeeded, Failed, Cancelled]),
            (sql!(run_with_deadline), none, &[Pending, Running]),
            (sql!(open_parent), none, &[Pending, Running]),
            (sql!(unsettled_parent), none, &[Pending, Running]),
            (sql!(open_leaf), none, &[Pending, Running, Failed]),
            (sql!(ready), none, &[Pending]),
            (sql!(ready), due, &[]),
            (sql!(ready), once, &[Pending]),
            (sql!(ready), isolate, &[]),
            (sql!(isolated), none, &[]),
            (sql!(isolated), once, &[]),
            (sql!(isolated), isolate, &[Pending]),
            (sql!(delayed), none, &[]),
            (sql!(delayed), due, &[Pending]),
            (sql!(claimed), none, &[]),
            (sql!(claimed), claimed, &[Running]),
            (sql!(running_externally), none, &[Running]),
            (sql!(running_externally), claimed, &[]),
            (sql!(retry_due), none, &[]),
            (sql!(retry_due), due, &[Failed]),
        ] {
            let columns = "?1 AS state, ?2 AS due_at, ?3 AS lease_until, ?4 AS lease_losses, 1 AS deadline, \
                NULL AS cancel_cause";
            let found = State::ALL.into_iter().filter(|state| {
                holds(condition, columns, params![state.code(), due_at, lease_until, losses])
            });
            assert_eq!(
                found.collect::<Vec<_>>(),
                states,
                "{condition}, {due_at:?}, {lease_until:?}, {losses:?}"
            );
        }
    }

    #[test]
    fn conditions_hold_for_their_steps() {
        use NextStep::{Aggregate, Append, FanOut, Sweep};
        for (condition, steps) in [
            (sql!(needs_fan_out), &[FanOut][..]),
            (sql!(needs_append), &[Append]),
            (sql!(needs_aggregate), &[Aggregate]),
            (sql!(needs_sweep), &[Sweep]),
            (sql!(needs_decision), &[Aggregate, Sweep]),
            (sql!(needs_step), &[FanOut, Aggregate, Sweep]),
        ] {
            let mut all = vec![FanOut, Append, Aggregate, Sweep];
            all.retain(|step| holds(condition, "?1 AS next_step", [step.code()]));
            assert_eq!(all, steps, "{condition}");
        }
    }

    #[test]
    fn starts_and_successes_are_not_rare() {
        let mut all = events::NAMES.to_vec();
        all.retain(|name| !holds(sql!(rare_event), "?1 AS name", [events::code_of(name)]));
        assert_eq!(all, ["task.started", "task.succeeded"]);
    }
}
