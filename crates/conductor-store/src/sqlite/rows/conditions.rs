//! Conditions of SQL statements: each number of a state, a step, a lease loss or an event in a SQL text is written here.
//!
//! SQLite uses a partial index only if the text of a statement contains its condition. So these numbers are no parameters.
//! `cargo xtask tidy` refuses a comparison with such a number in another file below `sqlite/`. Migrations never change, and
//! have their own numbers.

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
    (not_succeeded) => { "state <> 2" };
    (failed) => { "state = 3" };
    (cancelled) => { "state = 4" };
    (open_run) => { "state IN (0, 1)" };
    (settled_run) => { "state IN (2, 3, 4)" };
    (run_with_deadline) => { "deadline IS NOT NULL AND mark IS NULL AND state IN (0, 1)" };

    (open_task) => { "(state < 2 OR (state = 3 AND due_at IS NOT NULL))" };
    (delayed) => { "state = 0 AND due_at IS NOT NULL" };
    (retry_due) => { "state = 3 AND due_at IS NOT NULL" };
    (failed_permanently) => { "state = 3 AND due_at IS NULL" };

    // Leaves. A claim takes isolated leaves only where no other task runs.
    (ready) => { "state = 0 AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2" };
    (isolated) => { "state = 0 AND due_at IS NULL AND sealed IS NULL AND lost = 2" };
    (running_leaf) => { "state = 1 AND sealed IS NULL" };
    (claimed) => { "state = 1 AND sealed IS NULL AND lease_until IS NOT NULL" };
    (running_externally) => { "state = 1 AND sealed IS NULL AND lease_until IS NULL" };

    // Parents and runs that need a step. A caller does the append.
    (wants_fan_out) => { "wants = 1" };
    (wants_append) => { "wants = 2" };
    (wants_aggregate) => { "wants = 3" };
    (wants_sweep) => { "wants = 4" };
    (wants_decision) => { "wants IN (3, 4)" };
    (wants_step) => { "wants IN (1, 3, 4)" };

    // Events, without the starts and successes of tasks.
    (rare_event) => { "name NOT IN (9, 10)" };
    (rare_events_of_run) => {
        $crate::sqlite::rows::conditions::sql!("conductor_events INDEXED BY conductor_events_name \
            WHERE run = ?1 AND " rare_event)
    };
}
pub(crate) use {part, sql};

#[cfg(test)]
mod tests {
    use crate::sqlite::rows::{columns::lease_losses_code, events};
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
        let [once, isolate] =
            [LeaseLosses::Once, LeaseLosses::Isolate].map(|lost| [None, None, Some(lease_losses_code(lost))]);
        for (condition, [due_at, lease_until, lost], states) in [
            (sql!(pending), none, &[Pending][..]),
            (sql!(running), none, &[Running]),
            (sql!(succeeded), none, &[Succeeded]),
            (sql!(not_succeeded), none, &[Pending, Running, Failed, Cancelled]),
            (sql!(failed), none, &[Failed]),
            (sql!(cancelled), none, &[Cancelled]),
            (sql!(open_run), none, &[Pending, Running]),
            (sql!(settled_run), none, &[Succeeded, Failed, Cancelled]),
            (sql!(run_with_deadline), none, &[Pending, Running]),
            (sql!(open_task), none, &[Pending, Running]),
            (sql!(open_task), due, &[Pending, Running, Failed]),
            (sql!(delayed), due, &[Pending]),
            (sql!(retry_due), due, &[Failed]),
            (sql!(failed_permanently), none, &[Failed]),
            (sql!(ready), none, &[Pending]),
            (sql!(ready), once, &[Pending]),
            (sql!(ready), isolate, &[]),
            (sql!(isolated), once, &[]),
            (sql!(isolated), isolate, &[Pending]),
            (sql!(running_leaf), none, &[Running]),
            (sql!(claimed), claimed, &[Running]),
            (sql!(running_externally), none, &[Running]),
        ] {
            let columns = "?1 AS state, ?2 AS due_at, ?3 AS lease_until, ?4 AS lost, NULL AS sealed, \
                1 AS deadline, NULL AS mark";
            let found = State::ALL
                .into_iter()
                .filter(|state| holds(condition, columns, params![state.code(), due_at, lease_until, lost]));
            assert_eq!(found.collect::<Vec<_>>(), states, "{condition}, {due_at:?}, {lost:?}");
        }
    }

    #[test]
    fn conditions_hold_for_their_steps() {
        use NextStep::{Aggregate, Append, FanOut, Sweep};
        for (condition, steps) in [
            (sql!(wants_fan_out), &[FanOut][..]),
            (sql!(wants_append), &[Append]),
            (sql!(wants_aggregate), &[Aggregate]),
            (sql!(wants_sweep), &[Sweep]),
            (sql!(wants_decision), &[Aggregate, Sweep]),
            (sql!(wants_step), &[FanOut, Aggregate, Sweep]),
        ] {
            let mut all = vec![FanOut, Append, Aggregate, Sweep];
            all.retain(|step| holds(condition, "?1 AS wants", [step.code()]));
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
