//! The store under test beside the reference.

use crate::memory::MemoryStore;
use crate::programs::ENGINES;
use crate::reference::{Observed, Reference};
use conductor_conformance::AnyStore;
use conductor_model::{IdBlock, RunId, Task, TaskId, Timestamp};
use conductor_store::{
    EngineRegistration, Environment, Fence, FenceSet, RegisterEngine, RotationCursor, Scope, SqliteOptions,
    SqliteStore, Step, TaskFilter, sqlite::Synchronous,
};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The store under test beside the reference.
pub(crate) struct Harness {
    pub(crate) store: Box<dyn AnyStore>,
    pub(crate) kind: StoreKind,
    /// The file with its folder; `None` for a store in memory.
    file: Option<(PathBuf, tempfile::TempDir)>,
    pub(crate) env: Environment,
    /// How many requests took ids.
    id_requests: Cell<u32>,
    pub(crate) now: Timestamp,
    pub(crate) reference: Reference,
    /// The reference before the last operation.
    pub(crate) before: Reference,
    pub(crate) runs: Vec<RunId>,
    /// As last read, in the order of the tasks of the reference.
    pub(crate) tasks: Vec<Task>,
    /// The living engines, each with its number among all engines that ever lived.
    pub(crate) engines: Vec<(usize, EngineRegistration)>,
    pub(crate) claim_cursors: [RotationCursor; 2],
    pub(crate) fan_out_cursor: RotationCursor,
    /// Every fence that was ever given, with the number of its task.
    pub(crate) fences: Vec<(usize, Fence)>,
    /// The last group with which each task was claimed.
    pub(crate) blocks: HashMap<TaskId, FenceSet>,
    pub(crate) coverage: Coverage,
}

/// The store under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    SqliteInMemory,
    SqliteFile,
    /// The store of the conformance suite, which counts later.
    Memory,
}

/// The last ten bits of the ids of a block of siblings differ.
pub(crate) const BLOCK: u32 = 1024;

/// How often each interesting situation occurred.
pub(crate) type Coverage = BTreeMap<&'static str, u32>;

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open_with(path, SqliteOptions::default().synchronous(Synchronous::Normal)).unwrap()
}

impl Harness {
    pub(crate) fn new(kind: StoreKind) -> Self {
        let file = (kind == StoreKind::SqliteFile).then(|| {
            let folder = tempfile::tempdir().unwrap();
            (folder.path().join("model.db"), folder)
        });
        let store: Box<dyn AnyStore> = match &file {
            Some((path, _)) => Box::new(open(path)),
            None if kind == StoreKind::Memory => Box::new(MemoryStore::default()),
            None => Box::new(SqliteStore::open_in_memory().unwrap()),
        };
        let reference = Reference::new(kind == StoreKind::Memory);
        let now = Timestamp::from_millis(1_767_225_600_000).unwrap();
        let env = Environment::seeded(now, 7);
        let engines = (0..ENGINES)
            .map(|number| (number, store.register_engine(&RegisterEngine::new(&env)).unwrap()))
            .collect();
        Self {
            engines,
            claim_cursors: [RotationCursor::default(); 2],
            fan_out_cursor: RotationCursor::default(),
            fences: Vec::new(),
            blocks: HashMap::new(),
            coverage: Coverage::new(),
            store,
            kind,
            file,
            env,
            id_requests: Cell::new(0),
            now,
            before: reference.clone(),
            reference,
            runs: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Opens the file again; a store in memory stays open.
    pub(crate) fn reopen(&mut self) {
        if let Some((path, _)) = &self.file {
            self.store = Box::new(open(path));
        }
    }

    /// The ids of a request. Those of every second one cross a border, behind which a new block of siblings begins.
    pub(crate) fn ids(&self, count: u32) -> IdBlock {
        let number = self.id_requests.replace(self.id_requests.get() + 1);
        if count < 2 || number % 2 == 1 {
            return self.env.ids(count);
        }
        let mut ids = self.env.ids(count + BLOCK);
        let before_border = 1 + (number / 2) % (count - 1);
        let first = u32::try_from(ids.first_task().as_u128() % u128::from(BLOCK)).unwrap();
        let skipped = (2 * BLOCK - before_border - first) % BLOCK;
        ids.take(skipped).and_then(|_| ids.take(count)).unwrap()
    }

    /// The scope of a step, and the number of its run.
    pub(crate) fn scope(&self, run: Option<usize>) -> (Scope, Option<usize>) {
        match run {
            Some(run) if !self.runs.is_empty() => {
                let run = run % self.runs.len();
                (Scope::Run(self.runs[run]), Some(run))
            }
            _ => (Scope::All, None),
        }
    }

    pub(crate) fn step(&self, run: Option<usize>, limit: u32) -> (Step, Option<usize>) {
        let (scope, only) = self.scope(run);
        (Step { scope, now: self.now, limit }, only)
    }

    /// Picks the number of a task for which `is_candidate` holds.
    pub(crate) fn pick_task(&self, choice: usize, is_candidate: impl Fn(&Task) -> bool) -> Option<usize> {
        let candidates: Vec<usize> =
            (0..self.tasks.len()).filter(|i| is_candidate(&self.tasks[*i])).collect();
        pick(choice, candidates.len()).map(|i| candidates[i])
    }

    /// Reads all tasks, page by page, in the order of the tasks of the reference.
    pub(crate) fn read(&self) -> Vec<Task> {
        let (mut by_position, mut count) = (HashMap::new(), 0);
        for run in &self.runs {
            let mut cursor = None;
            loop {
                let page = self.store.tasks(*run, TaskFilter::default(), cursor, 3).unwrap();
                count += page.items.len();
                by_position
                    .extend(page.items.into_iter().map(|task| ((task.run, task.parent, task.index), task)));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        assert_eq!(count, by_position.len(), "each position occurs once");
        let mut tasks: Vec<Task> = Vec::new();
        for expected in &self.reference.tasks {
            let parent = expected.parent.map(|parent| tasks[parent].id);
            let task = by_position.remove(&(self.runs[expected.run], parent, expected.index));
            tasks.push(task.unwrap_or_else(|| panic!("{} is missing", expected.name)));
        }
        assert!(by_position.is_empty(), "unexpected tasks: {by_position:?}");
        tasks
    }

    /// Reads state and cancel cause of all tasks, in the order of the tasks of the reference.
    pub(crate) fn observed(&self) -> Vec<Observed> {
        self.read().iter().map(Observed::from).collect()
    }

    /// Counts a situation if it occurred.
    pub(crate) fn count(&mut self, situation: &'static str, occurred: bool) {
        *self.coverage.entry(situation).or_default() += u32::from(occurred);
    }
}

/// Repeats a step until it leaves nothing, and returns the sum of its counts.
pub(crate) fn drain(mut step: impl FnMut() -> (u32, bool)) -> u32 {
    let mut all = 0;
    loop {
        let (changed, more) = step();
        all += changed;
        if !more {
            return all;
        }
    }
}

/// Picks an index below `len`, if there is one.
pub(crate) fn pick(choice: usize, len: usize) -> Option<usize> {
    (len > 0).then(|| choice % len)
}
