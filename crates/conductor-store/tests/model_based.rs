//! Random programs against the SQLite store beside a plain in-memory reference: after each operation the states, the
//! numbers and the events agree, and what is recomputed from the events alone is what stands in the tables.
#![cfg(feature = "sqlite")]

mod reference;

use conductor_model::{
    AttemptFailure, ErrorText, Json, NewRun, NewTask, Numbers, RunDraft, RunId, State, Tally, Task,
    TaskDraft, TaskId, Timestamp,
};
use conductor_store::conformance::assert_replays;
use conductor_store::{
    Append, Claim, Claimed, Ending, Enlist, FanOut, Fence, Fenced, Outcome, ParentId, Presence, Query,
    Release, Renew, Report, Reports, Rescue, Scope, Seal, Settle, Source, SqliteOptions, SqliteStore, Step,
    Store, Submit, TaskFilter, Turn, Want, sqlite::Synchronous,
};
use proptest::prelude::*;
use reference::{Fanned, Lease, Plan, Reference, Refusal, Verdict};
use serde_json::json;
use std::path::PathBuf;

/// A root task of a random program.
#[derive(Clone, Debug)]
enum Root {
    Leaf { delay_ms: Option<u64> },
    Count(u32),
    Items(Vec<Option<u32>>),
    Open,
}

/// One operation; numbers pick among what exists, modulo how much there is.
#[derive(Clone, Debug)]
enum Op {
    Submit {
        roots: Vec<Root>,
        open: bool,
        retries: u8,
    },
    AppendItems {
        task: usize,
        before: u32,
        count: u32,
    },
    AppendRoots {
        run: usize,
        before: u32,
        roots: Vec<Root>,
    },
    Seal {
        task: usize,
        off_by: u32,
    },
    SealRun {
        run: usize,
        off_by: u32,
    },
    FanOut {
        run: Option<usize>,
        ids: u32,
    },
    /// Several in one transaction; each on the task that lies so far behind the first one's.
    Report {
        task: usize,
        reports: Vec<(usize, Outcome, Option<u32>)>,
    },
    Retry {
        run: Option<usize>,
        limit: u32,
    },
    Promote {
        run: Option<usize>,
        limit: u32,
    },
    Aggregate {
        run: Option<usize>,
        limit: u32,
    },
    Claim(ClaimOp),
    /// Each names the claim that lies so far back, and perhaps another attempt of it.
    Settle {
        endings: Vec<(Named, Ending)>,
        next: Option<ClaimOp>,
    },
    Renew {
        named: Vec<Named>,
        lease_ms: u64,
    },
    Release {
        named: Vec<Named>,
    },
    Rescue {
        limit: u32,
    },
    /// An engine is gone, and another one comes.
    Replace {
        engine: usize,
    },
    Wait {
        ms: u64,
    },
    /// The clock is set back.
    Back {
        ms: u64,
    },
    Reopen,
}

/// A claim among all that were ever made, from the last one backwards, and what is added to its attempt.
type Named = (usize, u32);

#[derive(Clone, Debug)]
struct ClaimOp {
    engine: usize,
    limits: [u32; 2],
    limit: u32,
    lease_ms: u64,
    alone: bool,
}

const KINDS: [&str; 2] = ["even", "odd"];
const ENGINES: usize = 3;

fn root() -> impl Strategy<Value = Root> {
    prop_oneof![
        3 => proptest::option::weighted(0.2, 1..2_000_u64).prop_map(|delay_ms| Root::Leaf { delay_ms }),
        2 => (1..6_u32).prop_map(Root::Count),
        2 => proptest::collection::vec(proptest::option::weighted(0.3, 1..4_u32), 1..5).prop_map(Root::Items),
        1 => Just(Root::Open),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let json = |n: u8| Some(["0", "false", "\"\"", "null"][n as usize].parse::<Json>().unwrap());
    let failed = |(n, retryable, retry_after_ms): (u8, bool, Option<u64>)| Outcome::Failed {
        error: ErrorText::from(["timeout", ""][n as usize]),
        retryable,
        retry_after_ms,
    };
    prop_oneof![
        2 => Just(Outcome::Started),
        6 => (0..5_u8).prop_map(move |n| Outcome::Succeeded { output: if n == 4 { None } else { json(n) } }),
        5 => (0..2_u8, proptest::bool::weighted(0.8), proptest::option::weighted(0.3, 0..3_000_u64)).prop_map(failed),
        1 => Just(Outcome::Cancelled),
    ]
}

/// One to four reports, of which some are on one task.
fn reports() -> impl Strategy<Value = Vec<(usize, Outcome, Option<u32>)>> {
    let report = (0..3_usize, outcome(), proptest::option::weighted(0.3, 0..4_u32));
    proptest::collection::vec(report, 1..=4)
}

fn claim_op() -> impl Strategy<Value = ClaimOp> {
    let limits = || prop_oneof![1 => Just(0), 6 => 1..9_u32];
    (0..ENGINES, [limits(), limits()], 0..9_u32, 1..4_000_u64, any::<bool>()).prop_map(
        |(engine, limits, limit, lease_ms, alone)| ClaimOp { engine, limits, limit, lease_ms, alone },
    )
}

fn named() -> impl Strategy<Value = Named> {
    (prop_oneof![8 => 0..6_usize, 1 => 0..99_usize], prop_oneof![12 => Just(0), 1 => Just(1)])
}

fn ending() -> impl Strategy<Value = Ending> {
    let failed = |(retryable, retry_after_ms)| {
        Ending::Failed(AttemptFailure::Error { error: "it broke".into(), retryable, retry_after_ms })
    };
    prop_oneof![
        3 => Just(Ending::Succeeded { output: None }),
        3 => Just(Ending::Succeeded { output: Some("[1]".parse().unwrap()) }),
        2 => (proptest::bool::weighted(0.8), proptest::option::weighted(0.3, 0..3_000_u64)).prop_map(failed),
        1 => Just(Ending::Failed(AttemptFailure::TimedOut)),
    ]
}

/// What engines do.
fn engine_op() -> impl Strategy<Value = Op> {
    let some = || proptest::collection::vec(named(), 0..4);
    prop_oneof![
        8 => claim_op().prop_map(Op::Claim),
        8 => (proptest::collection::vec((named(), ending()), 0..5), proptest::option::of(claim_op()))
            .prop_map(|(endings, next)| Op::Settle { endings, next }),
        2 => (some(), 1..4_000_u64).prop_map(|(named, lease_ms)| Op::Renew { named, lease_ms }),
        2 => some().prop_map(|named| Op::Release { named }),
        5 => (0..4_u32).prop_map(|limit| Op::Rescue { limit }),
        1 => (0..ENGINES).prop_map(|engine| Op::Replace { engine }),
        1 => (1..6_000_u64).prop_map(|ms| Op::Back { ms }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let scope = || proptest::option::weighted(0.3, 0..4_usize);
    prop_oneof![
        2 => (proptest::collection::vec(root(), 0..4), proptest::bool::weighted(0.3), 0..3_u8)
            .prop_map(|(roots, open, retries)| Op::Submit { roots, open, retries }),
        3 => (0..99_usize, 0..4_u32, 0..4_u32)
            .prop_map(|(task, before, count)| Op::AppendItems { task, before, count }),
        1 => (0..9_usize, 0..4_u32, proptest::collection::vec(root(), 0..3))
            .prop_map(|(run, before, roots)| Op::AppendRoots { run, before, roots }),
        2 => (0..99_usize, 0..3_u32).prop_map(|(task, off_by)| Op::Seal { task, off_by }),
        2 => (0..9_usize, 0..3_u32).prop_map(|(run, off_by)| Op::SealRun { run, off_by }),
        6 => (scope(), 0..8_u32).prop_map(|(run, ids)| Op::FanOut { run, ids }),
        20 => engine_op(),
        20 => (0..999_usize, reports()).prop_map(|(task, reports)| Op::Report { task, reports }),
        4 => (scope(), 1..4_u32).prop_map(|(run, limit)| Op::Retry { run, limit }),
        2 => (scope(), 1..4_u32).prop_map(|(run, limit)| Op::Promote { run, limit }),
        5 => (scope(), 1..4_u32).prop_map(|(run, limit)| Op::Aggregate { run, limit }),
        2 => (1..3_000_u64).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Reopen),
    ]
}

/// What happens where engines do most of the work.
fn op_among_engines() -> impl Strategy<Value = Op> {
    let leaves = (1..5_usize, 0..4_u8).prop_map(|(leaves, retries)| {
        let roots = vec![Root::Leaf { delay_ms: None }; leaves];
        Op::Submit { roots, open: false, retries }
    });
    prop_oneof![
        3 => leaves,
        3 => op(),
        1 => (8..16_u32).prop_map(|ids| Op::FanOut { run: None, ids }),
        24 => engine_op(),
        6 => Just(Op::Rescue { limit: 2 }),
        8 => Just(Op::Retry { run: None, limit: 9 }),
        4 => (1..3_000_u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// The store under test beside the reference.
struct World {
    store: SqliteStore,
    /// The file, and the folder that goes with the world; none in memory.
    file: Option<(PathBuf, tempfile::TempDir)>,
    source: Source,
    now: Timestamp,
    reference: Reference,
    runs: Vec<RunId>,
    /// In the order of the reference's tasks; filled by reading.
    tasks: Vec<Task>,
    /// The engines that live, each with its number among all that ever did.
    engines: Vec<(usize, Presence)>,
    turns: [Turn; 2],
    /// Every fence that was ever given, with the number of its task.
    fences: Vec<(usize, Fence)>,
}

fn open(path: &std::path::Path) -> SqliteStore {
    SqliteStore::open_with(path, SqliteOptions::default().synchronous(Synchronous::Normal)).unwrap()
}

impl World {
    fn new(on_file: bool) -> Self {
        let file = on_file.then(|| {
            let folder = tempfile::tempdir().unwrap();
            (folder.path().join("model.db"), folder)
        });
        let store = match &file {
            Some((path, _)) => open(path),
            None => SqliteStore::open_in_memory().unwrap(),
        };
        let now = Timestamp::from_millis(1_767_225_600_000).unwrap();
        let source = Source::seeded(now, 7);
        let engines =
            (0..ENGINES).map(|number| (number, store.enlist(&Enlist::new(&source)).unwrap())).collect();
        Self {
            engines,
            turns: [Turn::default(); 2],
            fences: Vec::new(),
            store,
            file,
            source,
            now,
            reference: Reference::default(),
            runs: Vec::new(),
            tasks: Vec::new(),
        }
    }

    fn scope(&self, run: Option<usize>) -> (Scope, Option<usize>) {
        match run {
            Some(run) if !self.runs.is_empty() => {
                let run = run % self.runs.len();
                (Scope::Run(self.runs[run]), Some(run))
            }
            _ => (Scope::All, None),
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Submit { roots, open, retries } => self.submit(roots, *open, *retries),
            Op::AppendItems { task, before, count } => self.append_items(*task, *before, *count),
            Op::AppendRoots { run, before, roots } => self.append_roots(*run, *before, roots),
            Op::Seal { task, off_by } => self.seal(*task, *off_by),
            Op::SealRun { run, off_by } => self.seal_run(*run, *off_by),
            Op::FanOut { run, ids } => {
                let (scope, only) = self.scope(*run);
                let step = FanOut { scope, now: self.now, ids: self.source.ids(*ids) };
                let done = self.store.fan_out(&step).unwrap();
                let done = Fanned { parents: done.parents, children: done.children, more: done.more };
                assert_eq!(done, self.reference.fan_out(only, *ids));
            }
            Op::Report { task, reports } => self.report(*task, reports),
            Op::Retry { run, limit } => {
                let (step, only) = self.step(*run, *limit);
                let done =
                    to_the_end(|| self.store.retry(&step).map(|done| (done.tasks, done.more)).unwrap());
                assert_eq!(done, self.reference.retry(only, self.now));
            }
            Op::Promote { run, limit } => {
                let (step, only) = self.step(*run, *limit);
                let done =
                    to_the_end(|| self.store.promote(&step).map(|done| (done.tasks, done.more)).unwrap());
                assert_eq!(done, self.reference.promote(only, self.now));
            }
            Op::Aggregate { run, limit } => {
                let (step, only) = self.step(*run, *limit);
                let mut runs = 0;
                let parents = to_the_end(|| {
                    let done = self.store.aggregate(&step).unwrap();
                    runs += done.runs;
                    (done.parents, done.more)
                });
                assert_eq!((parents, runs), self.reference.aggregate(only));
            }
            Op::Claim(op) => {
                let claimed = self.store.claim(&self.claim_of(op)).unwrap();
                self.check_claim(op, claimed);
            }
            Op::Settle { endings, next } => self.settle(endings, next.as_ref()),
            Op::Renew { named, lease_ms } => {
                let until = self.now.plus_millis(*lease_ms);
                let request = Renew { fences: self.named(named), lease_ms: *lease_ms, now: self.now };
                let answers = self.store.renew(&request).unwrap();
                self.check_fenced(named, &answers, |reference, _, task, now| {
                    reference.renew(task, now, until);
                });
            }
            Op::Release { named } => {
                let request = Release { fences: self.named(named), now: self.now };
                let answers = self.store.release(&request).unwrap();
                self.check_fenced(named, &answers, |reference, _, task, _| reference.release(task));
            }
            Op::Rescue { limit } => {
                let step = Rescue { now: self.now, limit: *limit, jitter: self.source.jitter() };
                let done =
                    to_the_end(|| self.store.rescue(&step).map(|done| (done.tasks, done.more)).unwrap());
                let lives = |engine| self.engines.iter().any(|(number, _)| *number == engine);
                assert_eq!(done, self.reference.rescue(self.now, lives));
            }
            Op::Replace { engine } => {
                let next = self.engines.iter().map(|(number, _)| number + 1).max().unwrap();
                self.engines.remove(*engine);
                self.engines.push((next, self.store.enlist(&Enlist::new(&self.source)).unwrap()));
            }
            Op::Back { ms } => self.now = self.now.minus_millis(*ms),
            Op::Wait { ms } => self.now = self.now.plus_millis(*ms),
            Op::Reopen => {
                if let Some((path, _)) = &self.file {
                    self.store = open(path);
                }
            }
        }
    }

    fn step(&self, run: Option<usize>, limit: u32) -> (Step, Option<usize>) {
        let (scope, only) = self.scope(run);
        (Step { scope, now: self.now, limit }, only)
    }

    fn claim_of(&self, op: &ClaimOp) -> Claim {
        let want = |nth: usize| Want {
            kind: KINDS[nth].parse().unwrap(),
            limit: op.limits[nth],
            turn: self.turns[nth],
        };
        Claim {
            holder: self.engines[op.engine].1.holder(),
            wants: vec![want(0), want(1)],
            limit: op.limit,
            lease_ms: op.lease_ms,
            alone: op.alone,
            now: self.now,
        }
    }

    /// What was claimed is what the promises allow; the reference learns it.
    fn check_claim(&mut self, op: &ClaimOp, claimed: Claimed) {
        let Claimed { tasks, turns, more } = claimed;
        let until = self.now.plus_millis(op.lease_ms);
        let number_of = |id: TaskId| self.tasks.iter().position(|task| task.id == id).unwrap();
        let taken: Vec<usize> = tasks.iter().map(|task| number_of(task.fence.task)).collect();
        assert!(taken.len() <= op.limit as usize);
        assert!(tasks.iter().filter(|task| task.alone).count() <= usize::from(op.alone));
        let (mut left, mut left_alone) = (false, false);
        for (want, kind) in KINDS.into_iter().enumerate() {
            let its = tasks.iter().filter(|task| task.want == want).count();
            assert!(its <= op.limits[want] as usize);
            for run in 0..self.runs.len() {
                let ready = self.reference.ready(kind, run);
                let of_run = |alone: bool| -> Vec<usize> {
                    let both = tasks.iter().zip(&taken);
                    let its = both.filter(|(task, number)| {
                        task.alone == alone && task.want == want && self.reference.tasks[**number].run == run
                    });
                    its.map(|(_, number)| *number).collect()
                };
                let (plain, alone) = (of_run(false), of_run(true));
                assert!(ready.tasks.starts_with(&plain), "{plain:?} of {ready:?}, the older ones first");
                assert!(ready.alone.starts_with(&alone), "{alone:?} of {ready:?}");
                left |= op.limits[want] > 0 && plain.len() < ready.tasks.len();
                left_alone |= op.alone && op.limits[want] > 0 && alone.len() < ready.alone.len();
            }
        }
        assert!(more || op.limit == 0 || !left, "a claim that leaves something says so");
        assert!(op.limit == 0 || !taken.is_empty() || !(left || left_alone), "a claim takes something");
        self.turns = [turns[0], turns[1]];
        for (task, number) in tasks.iter().zip(taken) {
            let lease = Lease { engine: self.engines[op.engine].0, since: self.now, until };
            self.reference.claim(number, lease);
            let row = &self.reference.tasks[number];
            assert_eq!((task.fence.attempt, task.retry_count), (row.attempt, row.retry_count));
            assert_eq!((task.run, task.index), (self.runs[row.run], row.index));
            assert_eq!(task.parent, row.parent.map(|parent| self.tasks[parent].id));
            assert_eq!(task.input, self.tasks[number].input);
            self.fences.push((number, task.fence));
        }
    }

    fn place_of((back, _): Named, len: usize) -> Option<usize> {
        pick(back, len).map(|back| len - 1 - back)
    }

    /// The fences that an operation names.
    fn named(&self, named: &[Named]) -> Vec<Fence> {
        let fence = |one: &Named| {
            let (_, fence) = self.fences[Self::place_of(*one, self.fences.len())?];
            Some(Fence { attempt: fence.attempt + one.1, ..fence })
        };
        named.iter().filter_map(fence).collect()
    }

    /// Each fence is answered as the reference would; and where it holds, it is told what was done.
    fn check_fenced(
        &mut self,
        named: &[Named],
        answers: &[Fenced],
        mut apply: impl FnMut(&mut Reference, usize, usize, Timestamp),
    ) {
        let fences = self.named(named);
        assert_eq!(answers.len(), fences.len());
        let mut seen = std::collections::HashSet::new();
        for (nth, (fence, answer)) in fences.iter().zip(answers).enumerate() {
            let task = self.tasks.iter().position(|task| task.id == fence.task).unwrap();
            let holds = self.reference.holds(task, fence.attempt) && seen.insert(task);
            assert_eq!(*answer == Fenced::Applied, holds, "{fence:?}");
            if holds {
                apply(&mut self.reference, nth, task, self.now);
            }
        }
    }

    fn settle(&mut self, endings: &[(Named, Ending)], next: Option<&ClaimOp>) {
        let (named, endings): (Vec<Named>, Vec<Ending>) = endings.iter().cloned().unzip();
        let request = Settle {
            endings: self.named(&named).into_iter().zip(endings.clone()).collect(),
            claim: next.map(|op| self.claim_of(op)),
            now: self.now,
            jitter: self.source.jitter(),
        };
        let settled = self.store.settle(&request).unwrap();
        self.check_fenced(&named, &settled.endings, |reference, nth, task, now| {
            reference.settle(task, &endings[nth], now);
        });
        match next {
            Some(op) => self.check_claim(op, settled.claimed),
            None => assert_eq!(settled.claimed, Claimed::default()),
        }
    }

    fn drafts(&self, roots: &[Root], retries: u8) -> (Vec<TaskDraft>, Vec<Option<Plan>>) {
        let draft = |(nth, root): (usize, &Root)| {
            let task = TaskDraft::new("task").kind(KINDS[nth % 2]).max_retries(i64::from(retries));
            match root {
                Root::Leaf { delay_ms: None } => (task, None),
                Root::Leaf { delay_ms: Some(ms) } => (task.due_at(self.now.plus_millis(*ms)), None),
                Root::Count(total) => {
                    let plan = Plan::Sealed { total: *total, nested: Vec::new() };
                    (task.input(json!({"fanout": total, "kept": 1})), Some(plan))
                }
                Root::Items(nested) => {
                    let item = |n: &Option<u32>| n.map_or_else(|| json!("x"), |n| json!({"fanout": n}));
                    let items: Vec<_> = nested.iter().map(item).collect();
                    let total = u32::try_from(items.len()).unwrap();
                    (
                        task.input(json!({"fanout": items})),
                        Some(Plan::Sealed { total, nested: nested.clone() }),
                    )
                }
                Root::Open => (task.open(), Some(Plan::Open)),
            }
        };
        roots.iter().enumerate().map(draft).unzip()
    }

    fn submit(&mut self, roots: &[Root], open: bool, retries: u8) {
        let (drafts, plans) = self.drafts(roots, retries);
        let draft = RunDraft::new().tasks(drafts).meta(json!({"n": self.runs.len()}));
        let run: NewRun = if open { draft.open() } else { draft }.check().unwrap();
        let request = Submit { run: run.clone(), now: self.now, ids: self.source.ids(run.ids_needed()) };
        self.runs.push(self.store.submit(&request).unwrap().run);
        self.reference.submit(&run, plans);
    }

    fn append_items(&mut self, task: usize, before: u32, count: u32) {
        let Some(number) = pick(task, self.tasks.len()) else { return };
        let exist = u32::try_from(self.reference.children(number).count()).unwrap();
        let first_index = (exist + 2).saturating_sub(before);
        let items: Vec<Json> = (0..count).map(|n| Json::of(&json!({"fanout": n})).unwrap()).collect();
        let (parent, ids) = (self.tasks[number].id, self.source.ids(count));
        let request = Append::Items { parent, first_index, items, now: self.now, ids };
        let expected = self.reference.append(number, first_index, count).map(|new| (new, exist + new + 1));
        let appended = self.store.append(&request).map(|done| (done.created, done.next_index));
        assert_eq!(appended.map_err(Refusal::from), expected);
    }

    fn append_roots(&mut self, run: usize, before: u32, roots: &[Root]) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let (drafts, plans) = self.drafts(roots, 1);
        let tasks: Vec<NewTask> = drafts.iter().map(|draft| draft.check().unwrap()).collect();
        let exist = u32::try_from(self.reference.roots(number).count()).unwrap();
        let first_index = (exist + 2).saturating_sub(before);
        let count = u32::try_from(tasks.len()).unwrap();
        let (run, ids) = (self.runs[number], self.source.ids(count));
        let request = Append::Tasks { run, first_index, tasks: tasks.clone(), now: self.now, ids };
        let expected = self.reference.append_roots(number, first_index, count);
        let appended = self.store.append(&request).map(|done| (done.created, done.next_index));
        assert_eq!(appended.map_err(Refusal::from), expected.map(|new| (new, exist + new + 1)));
        if let Ok(new) = expected {
            let known = tasks.len() - new as usize;
            self.reference.add_roots(number, &tasks[known..], plans[known..].to_vec());
        }
    }

    fn seal(&mut self, task: usize, off_by: u32) {
        let Some(number) = pick(task, self.tasks.len()) else { return };
        let children = u32::try_from(self.reference.children(number).count()).unwrap() + off_by / 2;
        let request = Seal { parent: ParentId::Task(self.tasks[number].id), children, now: self.now };
        let expected = self.reference.seal(number, children);
        assert_eq!(self.store.seal(&request).map_err(Refusal::from), expected);
    }

    fn seal_run(&mut self, run: usize, off_by: u32) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let children = u32::try_from(self.reference.roots(number).count()).unwrap() + off_by / 2;
        let request = Seal { parent: ParentId::Run(self.runs[number]), children, now: self.now };
        let expected = self.reference.seal_run(number, children);
        assert_eq!(self.store.seal(&request).map_err(Refusal::from), expected);
    }

    fn report(&mut self, task: usize, reports: &[(usize, Outcome, Option<u32>)]) {
        let len = self.tasks.len();
        let Some(first) = pick(task, len) else { return };
        let of = |(behind, outcome, attempt): &(usize, Outcome, Option<u32>)| Report {
            task: self.tasks[(first + behind) % len].id,
            attempt: *attempt,
            outcome: outcome.clone(),
        };
        let reports_on_ids = reports.iter().map(of).collect();
        let request = Reports { reports: reports_on_ids, now: self.now, jitter: self.source.jitter() };
        let answers = self.store.report(&request).unwrap();
        let mut expected = Vec::new();
        for (behind, outcome, attempt) in reports {
            expected.push(self.reference.report((first + behind) % len, *attempt, outcome, self.now));
        }
        assert_eq!(answers.iter().map(Verdict::from).collect::<Vec<_>>(), expected, "{answers:?}");
    }

    /// Reads everything, page by page, and compares.
    fn check(&mut self) {
        let mut tasks = Vec::new();
        for run in &self.runs {
            let mut after = None;
            loop {
                let page = self.store.tasks(*run, TaskFilter::default(), after, 3).unwrap();
                tasks.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        // Ids ascend in the order of creation.
        tasks.sort_by_key(|task| task.id);
        self.tasks = tasks;
        self.check_tasks();
        self.check_runs();
        assert_eq!(self.store.next_due().unwrap(), self.reference.next_due());
        assert_replays(&self.store);
        conductor_store::conformance::assert_verified(&self.store);
    }

    fn check_tasks(&self) {
        assert_eq!(self.tasks.len(), self.reference.tasks.len());
        let number_of = |id: TaskId| self.tasks.iter().position(|task| task.id == id);
        for (number, (task, expected)) in self.tasks.iter().zip(&self.reference.tasks).enumerate() {
            let place = (expected.parent, expected.index, expected.name.as_str());
            assert_eq!((task.parent.and_then(number_of), task.index, task.name.as_str()), place);
            let row = (expected.state, expected.due_at, expected.attempt, expected.retry_count);
            assert_eq!((task.state, task.due_at, task.attempt, task.retry_count), row, "{}", task.name);
            assert_eq!(task.lease_until, expected.lease.map(|lease| lease.until), "{}", task.name);
            assert_eq!(task.output.as_ref().map(Json::as_str), expected.output.as_deref());
            assert_eq!(task.last_error.as_ref().map(ErrorText::as_str), expected.last_error.as_deref());
            let total = expected.plan.as_ref().map(|plan| match plan {
                Plan::Sealed { total, .. } => Some(*total),
                Plan::Open => None,
            });
            let numbers = total.map(|total| numbers_of(total, self.reference.children(number)));
            assert_eq!(task.numbers, numbers, "{}", task.name);
        }
    }

    fn check_runs(&self) {
        for (number, (id, expected)) in self.runs.iter().zip(&self.reference.runs).enumerate() {
            let run = self.store.run(*id).unwrap().unwrap();
            assert_eq!(run.state, expected.state);
            assert_eq!(run.numbers, numbers_of(expected.total, self.reference.roots(number)));
            let mut tally = Tally::default();
            for task in self.reference.tasks.iter().filter(|task| task.run == number) {
                tally.count(None, task.state);
            }
            assert_eq!(run.tally, tally);
        }
    }
}

fn numbers_of<'a>(total: Option<u32>, children: impl Iterator<Item = &'a reference::RefTask>) -> Numbers {
    let mut numbers = Numbers { total, ..Numbers::default() };
    for child in children {
        numbers.children += 1;
        numbers.open += u32::from(!child.is_settled());
        numbers.failed += u32::from(child.is_settled() && child.state == State::Failed);
        numbers.cancelled += u32::from(child.state == State::Cancelled);
    }
    numbers
}

fn to_the_end(mut step: impl FnMut() -> (u32, bool)) -> u32 {
    let mut all = 0;
    loop {
        let (done, more) = step();
        all += done;
        if !more {
            return all;
        }
    }
}

fn pick(wanted: usize, len: usize) -> Option<usize> {
    (len > 0).then(|| wanted % len)
}

fn the_store_agrees_with_the_reference(on_file: bool, program: &[Op]) {
    let mut world = World::new(on_file);
    for op in program {
        world.apply(op);
        world.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_memory_the_store_agrees_with_a_plain_reference(program in proptest::collection::vec(op(), 1..80)) {
        the_store_agrees_with_the_reference(false, &program);
    }

    #[test]
    fn among_engines_the_store_agrees_with_a_plain_reference(
        program in proptest::collection::vec(op_among_engines(), 1..80),
    ) {
        the_store_agrees_with_the_reference(false, &program);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_a_file_that_is_reopened_the_store_agrees_with_a_plain_reference(
        program in proptest::collection::vec(op(), 1..80),
    ) {
        the_store_agrees_with_the_reference(true, &program);
    }
}
