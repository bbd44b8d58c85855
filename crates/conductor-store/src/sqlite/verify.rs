//! Recomputes every run from its events, and compares it with its rows.
//!
//! It uses short transactions. Each reads the new events first, and then compares the next rows with them. So rows and
//! events are always of the same point in time, and no transaction keeps the write-ahead log from a checkpoint for long.

use super::SqliteStore;
use super::audit::Audit;
use super::compare::{self, Stored, run_differences};
use super::inputs;
use super::rows;
use super::sql::{Sql, fault, known_run_key};
use crate::{Divergence, DivergenceKind, Scope, StoreError, Verify, VerifyReport};
use conductor_model::{RunId, RunReplayTask, TaskId};
use rusqlite::{Connection, params};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// How many events, or rows, one transaction reads.
const ROWS_PER_READ: u32 = 100_000;

/// A divergence, and how to repair it.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) divergence: Divergence,
    pub(super) cure: Cure,
}

/// How to repair a divergence, in the order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cure {
    /// Write the row of the task with this number.
    Task(u32),
    /// Give the task with this number its input.
    Input(u32),
    /// Remove the row with this key.
    Remove(i64),
    /// Remove what is noted of a join of the task with this key.
    Join(i64),
    /// Sweep the children of the task with this key again, or those of the run (0).
    Sweep(i64),
    /// Write the row of the run.
    Run,
    /// Decide the parent with this number, or the run, by its join, which has ended.
    Decide(Option<u32>),
    /// Remove all that is left of the run.
    Prune,
    /// There is none, for this reason.
    None(&'static str),
}

/// A run that was looked at.
pub(super) struct Inspected {
    pub(super) audit: Audit,
    pub(super) tasks: u64,
    pub(super) findings: Vec<Finding>,
    /// How many there are, of which those are the first.
    pub(super) found: u64,
    most: usize,
}

impl SqliteStore {
    pub(super) fn verify_runs(&self, request: &Verify) -> Result<VerifyReport, StoreError> {
        let mut done = VerifyReport::default();
        let most =
            |done: &VerifyReport| (request.max_divergences as usize).saturating_sub(done.divergences.len());
        let mut after = i64::try_from(request.cursor).unwrap_or(i64::MAX);
        while let Some(run) = self.next_run(request.scope, after)? {
            after = run;
            if let Some(inspected) = self.inspect(run, most(&done))? {
                done.runs += 1;
                done.tasks += inspected.tasks;
                done.events += inspected.audit.events;
                done.found += inspected.found;
                done.divergences.extend(inspected.findings.into_iter().map(|finding| finding.divergence));
            }
            if request.scope != Scope::All {
                return Ok(done);
            }
            if done.events >= request.limit {
                done.next = Some(after.cast_unsigned());
                return Ok(done);
            }
        }
        if request.scope == Scope::All {
            let mut note = |divergence| {
                done.found += 1;
                if done.divergences.len() < request.max_divergences as usize {
                    done.divergences.push(divergence);
                }
            };
            self.inspect_inputs(|task| note(stray_input(task)))?;
            if request.integrity {
                self.examine()?.into_iter().for_each(note);
            }
        }
        Ok(done)
    }

    /// The run with the next key, also one that has no row but something that names it.
    pub(super) fn next_run(&self, scope: Scope, after: i64) -> Result<Option<i64>, StoreError> {
        self.read(|connection| match scope {
            Scope::Run(id) => {
                let key = known_run_key(connection, id)?;
                Ok(Some(key).filter(|key| *key > after))
            }
            Scope::All => Ok(connection.first(NEXT_RUN, [after], |row| row.get(0))?.flatten()),
        })
    }

    /// Looks at a run; `None` if it is being pruned.
    pub(super) fn inspect(&self, run: i64, most: usize) -> Result<Option<Inspected>, StoreError> {
        let id = match self.read(|connection| run_row(connection, run))? {
            RunRow::Here(id) => Ok(id),
            RunRow::Nameless => Err((
                Cure::None("its id is stored only in this row"),
                (DivergenceKind::Id, format!("no id in the row with key {run}"), "an id".into()),
            )),
            RunRow::Missing => Err((
                Cure::Prune,
                (DivergenceKind::Row, "no row of the run".into(), "a row, or no reference to it".into()),
            )),
            RunRow::PruneOutcome => return Ok(None),
        };
        let audit = Audit::of(run, id.as_ref().ok().copied());
        let mut inspected = Inspected { audit, tasks: 0, findings: Vec::new(), found: 0, most };
        if let Err((cure, said)) = id {
            inspected.note(None, cure, said);
            return Ok(Some(inspected));
        }
        let mut rows = Rows::default();
        loop {
            let step = self.read(|connection| {
                if !run_row(connection, run)?.is_of(&inspected.audit) {
                    return Ok(ControlFlow::Break(false));
                }
                if inspected.audit.catch_up(connection, ROWS_PER_READ)? {
                    return Ok(ControlFlow::Continue(()));
                }
                inspected.compare(connection, &mut rows)
            })?;
            match step {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(is_whole) => return Ok(is_whole.then_some(inspected)),
            }
        }
    }

    /// Names the keys of tasks that do not exist and have an input.
    pub(super) fn inspect_inputs(&self, mut stray: impl FnMut(i64)) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let page: Vec<(i64, bool)> = self.read(|connection| {
                connection.all(INPUTS, params![after, ROWS_PER_READ], |row| Ok((row.get(0)?, row.get(1)?)))
            })?;
            page.iter().filter(|(_, has_task)| !has_task).for_each(|(task, _)| stray(*task));
            match page.last() {
                Some((last, _)) if page.len() == ROWS_PER_READ as usize => after = *last,
                _ => return Ok(()),
            }
        }
    }

    /// What SQLite says of the file.
    fn examine(&self) -> Result<Vec<Divergence>, StoreError> {
        let said: Vec<String> =
            self.read(|connection| connection.all("PRAGMA integrity_check(100)", [], |row| row.get(0)))?;
        let wrong = said.into_iter().filter(|line| line != "ok");
        let computed = || "an intact file".to_owned();
        Ok(wrong
            .map(|stored| Divergence {
                run: None,
                task: None,
                kind: DivergenceKind::Integrity,
                stored,
                computed: computed(),
            })
            .collect())
    }
}

/// An input that belongs to nothing.
pub(super) fn stray_input(task: i64) -> Divergence {
    let stored = format!("an input of the task with row key {task}, which does not exist");
    Divergence { run: None, task: None, kind: DivergenceKind::Input, stored, computed: "no input".into() }
}

/// Whether a run has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunRow {
    Here(RunId),
    /// It has one that does not say its id.
    Nameless,
    /// It has none, though something names it.
    Missing,
    /// It is being pruned, or gone.
    PruneOutcome,
}

impl RunRow {
    /// Whether it is as it was when the audit began.
    pub(super) fn is_of(self, audit: &Audit) -> bool {
        match self {
            Self::Here(id) => audit.id == Some(id),
            Self::Missing => audit.id.is_none(),
            Self::Nameless | Self::PruneOutcome => false,
        }
    }
}

pub(super) fn run_row(connection: &Connection, run: i64) -> Result<RunRow, StoreError> {
    let sql = "SELECT id FROM conductor_runs WHERE key = ?1";
    if let Some(id) = connection.first(sql, [run], |row| Ok(rows::id(row, 0).ok()))? {
        return Ok(id.map_or(RunRow::Nameless, |id| RunRow::Here(RunId::from_u128(id))));
    }
    let is_named: Option<bool> = connection.first(IS_NAMED, [run], |row| row.get(0))?;
    Ok(if is_named == Some(true) { RunRow::Missing } else { RunRow::PruneOutcome })
}

/// How far the rows were compared.
struct Rows {
    after: (i64, i64),
    /// By number: whether its row was compared.
    seen: Vec<bool>,
    kinds: Option<HashSet<i64>>,
    /// The parent whose children are compared, and whether each of these has an input of its own.
    heirs: Option<(u32, bool)>,
}

impl Default for Rows {
    fn default() -> Self {
        // The join of a run is a root task with ordinal 0.
        Self { after: (i64::MIN, 0), seen: Vec::new(), kinds: None, heirs: None }
    }
}

impl Inspected {
    pub(super) fn note(
        &mut self,
        task: Option<TaskId>,
        cure: Cure,
        (what, stored, computed): compare::Difference,
    ) {
        self.found += 1;
        if self.findings.len() < self.most {
            let run = self.audit.id;
            let divergence = Divergence { run, task, kind: what, stored, computed };
            self.findings.push(Finding { divergence, cure });
        }
    }

    /// Compares the next rows with the events, which are those of the same moment; breaks after the last row.
    fn compare(&mut self, connection: &Connection, rows: &mut Rows) -> Result<ControlFlow<bool>, StoreError> {
        if let Some(why) = self.audit.contradiction.clone() {
            let cure = Cure::None("events are never changed; restore a backup");
            self.note(None, cure, (DivergenceKind::Events, why, "consistent events".into()));
            return Ok(ControlFlow::Break(true));
        }
        if self.audit.told.run().is_none() {
            // The program that deleted the events is at fault, and not the rows.
            let cure = Cure::None("no event describes the run; restore a backup");
            self.note(
                None,
                cure,
                (DivergenceKind::Events, "a run without events".into(), "its events".into()),
            );
            return Ok(ControlFlow::Break(true));
        }
        if rows.kinds.is_none() {
            let kinds: Vec<i64> = connection.all(KINDS, [], |row| row.get(0))?;
            rows.kinds = Some(kinds.into_iter().collect());
        }
        if self.compare_page(connection, rows)? {
            return Ok(ControlFlow::Continue(()));
        }
        self.compare_unseen(connection, rows)?;
        self.compare_joins(connection, rows.kinds.get_or_insert_default())?;
        self.compare_sweeps(connection)?;
        self.compare_decisions(connection)?;
        for difference in run_differences(connection, &self.audit)?.into_iter().flatten() {
            self.note(None, Cure::Run, difference);
        }
        Ok(ControlFlow::Break(true))
    }

    /// Compares the next page of rows; whether there are more.
    fn compare_page(&mut self, connection: &Connection, rows: &mut Rows) -> Result<bool, StoreError> {
        let mut statement = connection.cached(&tasks_sql())?;
        let params = params![self.audit.run, rows.after.0, rows.after.1, ROWS_PER_READ];
        let mut page = statement.query(params).map_err(fault)?;
        let mut count = 0;
        while let Some(row) = page.next().map_err(fault)? {
            let (stored, kind) = Stored::read(row).map_err(fault)?;
            (rows.after, count) = (stored.place, count + 1);
            self.compare_row(connection, &stored, kind, rows)?;
        }
        Ok(count == ROWS_PER_READ)
    }

    fn compare_row(
        &mut self,
        connection: &Connection,
        stored: &Stored,
        kind: i64,
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        let number = self.audit.keys.number_of(stored.key);
        let Some((number, told)) = number.and_then(|number| Some((number, self.audit.told.task(number)?)))
        else {
            let said = (DivergenceKind::Row, format!("a row with key {}", stored.key), "no row".into());
            self.note(stored.id, Cure::Remove(stored.key), said);
            return Ok(());
        };
        if rows.seen.len() <= number as usize {
            rows.seen.resize(self.audit.told.len() as usize, false);
        }
        if !std::mem::replace(&mut rows.seen[number as usize], true) {
            self.tasks += 1;
        }
        self.compare_task(connection, stored, (number, &told), rows)?;
        if rows.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&kind)) {
            let why = Cure::None("its kind is stored only in this row");
            self.note(stored.id, why, (DivergenceKind::Kind, format!("kind {kind}"), "a known kind".into()));
        }
        Ok(())
    }

    /// Compares a row with the events of its task, and checks whether its input exists.
    fn compare_task(
        &mut self,
        connection: &Connection,
        stored: &Stored,
        (number, told): (u32, &RunReplayTask),
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        for difference in stored.differences(&self.audit, number, told)? {
            self.note(stored.id, Cure::Task(number), difference);
        }
        let has_its_own = match told.parent {
            Some(parent) if told.index > 0 => match rows.heirs {
                Some((known, has_its_own)) if known == parent => has_its_own,
                _ => {
                    let has_its_own = self.heirs_have_their_own(connection, parent)?;
                    rows.heirs = Some((parent, has_its_own));
                    has_its_own
                }
            },
            _ => self.audit.fanned_out.contains(&number),
        };
        if has_its_own && !inputs::is_there(connection, stored.key)? {
            let said = (DivergenceKind::Input, "no input".into(), "an input of its own".into());
            self.note(stored.id, Cure::Input(number), said);
        }
        Ok(())
    }

    /// Whether each child of a parent has an input of its own; not where it is the parent's that is missing.
    fn heirs_have_their_own(&self, connection: &Connection, parent: u32) -> Result<bool, StoreError> {
        let input = inputs::known(connection, &self.audit, parent)?;
        if input.is_none() && self.audit.fanned_out.contains(&parent) {
            return Ok(false);
        }
        inputs::heirs_have_their_own(connection, self.audit.run, input.as_ref())
    }

    /// Looks for the rows that no page had: they came into being meanwhile, or are missing.
    fn compare_unseen(&mut self, connection: &Connection, rows: &mut Rows) -> Result<(), StoreError> {
        rows.seen.resize(self.audit.told.len() as usize, false);
        for number in 0..self.audit.told.len() {
            if rows.seen[number as usize] {
                continue;
            }
            let Some(told) = self.audit.told.task(number) else { continue };
            let key = self.audit.keys.key_of(number);
            let found = key.map(|key| compare::stored(connection, key)).transpose()?.flatten();
            match found {
                Some((stored, run)) if run == self.audit.run => {
                    self.tasks += 1;
                    self.compare_task(connection, &stored, (number, &told), rows)?;
                }
                found => {
                    let place = format!(
                        "{} {}",
                        if told.parent.is_some() { "child" } else { "root task" },
                        told.index
                    );
                    let stored = match found {
                        Some((_, run)) => format!("a row in the run with row key {run}"),
                        None => "no row".into(),
                    };
                    let id = self.audit.keys.id_of(number);
                    self.note(
                        id,
                        Cure::Task(number),
                        (DivergenceKind::Row, stored, format!("{place} in state {}", told.state)),
                    );
                }
            }
        }
        Ok(())
    }
}

/// A page of a run's rows, in the order of their places.
pub(super) fn tasks_sql() -> String {
    format!(
        "SELECT {} FROM conductor_tasks INDEXED BY conductor_tasks_place \
         WHERE run = ?1 AND (parent, ordinal) > (?2, ?3) ORDER BY parent, ordinal LIMIT ?4",
        Stored::COLUMNS
    )
}

/// Whether something names a run that has no row and is not being pruned.
const IS_NAMED: &str = "SELECT NOT EXISTS (SELECT 1 FROM conductor_pruned WHERE run = ?1) \
    AND (EXISTS (SELECT 1 FROM conductor_tasks WHERE run = ?1) \
        OR EXISTS (SELECT 1 FROM conductor_events WHERE run = ?1) \
        OR EXISTS (SELECT 1 FROM conductor_joins WHERE run = ?1))";

const KINDS: &str = "SELECT key FROM conductor_kinds";

pub(super) const NEXT_RUN: &str = "SELECT min(run) FROM ( \
    SELECT min(key) AS run FROM conductor_runs WHERE key > ?1 \
    UNION ALL SELECT min(run) FROM conductor_tasks INDEXED BY conductor_tasks_place WHERE run > ?1 \
    UNION ALL SELECT min(run) FROM conductor_events INDEXED BY conductor_events_run WHERE run > ?1 \
    UNION ALL SELECT min(run) FROM conductor_joins WHERE run > ?1)";

pub(super) const INPUTS: &str = "SELECT i.task, EXISTS (SELECT 1 FROM conductor_tasks t WHERE t.key = i.task) \
    FROM conductor_inputs i WHERE i.task > ?1 ORDER BY i.task LIMIT ?2";
