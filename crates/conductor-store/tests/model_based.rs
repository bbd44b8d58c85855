//! Random programs against the SQLite store beside a plain in-memory reference: after each operation the states, the
//! numbers and the events agree, and what is recomputed from the events alone is what stands in the tables.
#![cfg(feature = "sqlite")]

mod programs;
mod reference;

use conductor_conformance::assert_replays;
use conductor_model::{
    CancelCause, ErrorText, JoinDraft, Json, NewRun, NewTask, RunDraft, RunId, StateCounts, Task, TaskDraft,
    TaskId, Timestamp,
};
use conductor_store::{
    Append, AttemptResult, Claim, ClaimOutcome, EngineRegistration, Environment, FanOut, Fence, FenceOutcome,
    KindQuota, NodeId, Query, RegisterEngine, Release, Renew, Report, ReportBatch, ReportedResult, Rescue,
    RotationCursor, Scope, Seal, Settle, SqliteOptions, SqliteStore, Step, Store, Submit, TaskFilter,
    sqlite::Synchronous,
};
use programs::{ClaimOp, ENGINES, HeadingOp, KINDS, Named, Op, Root, RootShape};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use reference::{Fanned, Head, Lease, Plan, Reference, Refusal, Seen, Verdict};
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// The store under test beside the reference.
struct World {
    store: SqliteStore,
    /// The file, and the folder that goes with the world; none in memory.
    file: Option<(PathBuf, tempfile::TempDir)>,
    env: Environment,
    now: Timestamp,
    reference: Reference,
    /// The reference before the last operation.
    before: Reference,
    runs: Vec<RunId>,
    /// In the order of the reference's tasks; filled by reading.
    tasks: Vec<Task>,
    /// The engines that live, each with its number among all that ever did.
    engines: Vec<(usize, EngineRegistration)>,
    turns: [RotationCursor; 2],
    fan_out_turn: RotationCursor,
    /// Every fence that was ever given, with the number of its task.
    fences: Vec<(usize, Fence)>,
    /// How often something that matters came up.
    met: Coverage,
}

type Coverage = BTreeMap<&'static str, u32>;

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
        let env = Environment::seeded(now, 7);
        let engines = (0..ENGINES)
            .map(|number| (number, store.register_engine(&RegisterEngine::new(&env)).unwrap()))
            .collect();
        Self {
            engines,
            turns: [RotationCursor::default(); 2],
            fan_out_turn: RotationCursor::default(),
            fences: Vec::new(),
            met: Coverage::new(),
            store,
            file,
            env,
            now,
            reference: Reference::default(),
            before: Reference::default(),
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
            Op::Submit { roots, open, retries, heading, deadline_ms } => {
                self.submit(roots, *open, *retries, heading, *deadline_ms);
            }
            Op::SubmitAndClaim(leaves, claim) => self.submit_and_claim(*leaves, claim),
            Op::AppendItems { task, before, count } => self.append_items(*task, *before, *count),
            Op::AppendRoots { run, before, roots } => self.append_roots(*run, *before, roots),
            Op::Seal { task, off_by } => self.seal(*task, *off_by),
            Op::SealRun { run, off_by } => self.seal_run(*run, *off_by),
            Op::FanOut { run, ids } => {
                let (scope, only) = self.scope(*run);
                let step =
                    FanOut { scope, now: self.now, ids: self.env.ids(*ids), cursor: self.fan_out_turn };
                let done = self.store.fan_out(&step).unwrap();
                self.fan_out_turn = done.cursor;
                let done = Fanned { parents: done.parents, children: done.children, more: done.more };
                assert_eq!(done, self.reference.fan_out(only, *ids));
            }
            Op::Report { task, reports } => self.report(*task, reports),
            Op::Retry { run, limit } => {
                let (step, only) = self.step(*run, *limit);
                let done =
                    to_the_end(|| self.store.retry(&step).map(|done| (done.changed, done.more)).unwrap());
                assert_eq!(done, self.reference.retry(only, self.now));
            }
            Op::Promote { run, limit } => {
                let (step, only) = self.step(*run, *limit);
                let done =
                    to_the_end(|| self.store.promote(&step).map(|done| (done.changed, done.more)).unwrap());
                assert_eq!(done, self.reference.promote(only, self.now));
            }
            Op::Aggregate { run, limit } => {
                let (step, only) = self.step(*run, *limit);
                loop {
                    let done = self.store.aggregate(&step).unwrap();
                    assert_eq!((done.parents, done.runs), self.reference.aggregate(only, *limit));
                    if !done.more {
                        break;
                    }
                }
            }
            Op::Claim(op) => {
                let claimed = self.store.claim(&self.claim_of(op)).unwrap();
                self.check_claim(op, claimed);
            }
            Op::Settle { endings, next } => self.settle(endings, next.as_ref()),
            Op::SettleHeld { first, endings } => {
                let held: Vec<Named> = (0..self.fences.len())
                    .filter(|nth| self.reference.holds(self.fences[*nth].0, self.fences[*nth].1.attempt))
                    .map(|nth| (self.fences.len() - 1 - nth, 0))
                    .collect();
                let first = first % held.len().max(1);
                let endings: Vec<_> = held.into_iter().skip(first).zip(endings.iter().cloned()).collect();
                self.settle(&endings, None);
            }
            Op::Renew { named, lease_ms } => {
                let until = self.now.plus_millis(*lease_ms);
                let request = Renew { fences: self.named(named), lease_ms: *lease_ms, now: self.now };
                let answers = self.store.renew(&request).unwrap();
                self.check_fenced(
                    named,
                    &answers,
                    |_| false,
                    |reference, _, task, now| {
                        reference.renew(task, now, until);
                    },
                );
            }
            Op::Release { named } => {
                let request = Release { fences: self.named(named), now: self.now };
                let answers = self.store.release(&request).unwrap();
                self.check_fenced(
                    named,
                    &answers,
                    |_| false,
                    |reference, _, task, _| reference.release(task),
                );
            }
            Op::Rescue { limit } => {
                let step = Rescue { now: self.now, limit: *limit, jitter: self.env.jitter() };
                let done =
                    to_the_end(|| self.store.rescue(&step).map(|done| (done.changed, done.more)).unwrap());
                let lives = |engine| self.engines.iter().any(|(number, _)| *number == engine);
                assert_eq!(done, self.reference.rescue(self.now, lives));
            }
            Op::Replace { engine } => {
                let next = self.engines.iter().map(|(number, _)| number + 1).max().unwrap();
                self.engines.remove(*engine);
                self.engines
                    .push((next, self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap()));
            }
            Op::Back { ms } => self.now = self.now.minus_millis(*ms),
            Op::Wait { ms } => self.now = self.now.plus_millis(*ms),
            Op::Reopen => {
                if let Some((path, _)) = &self.file {
                    self.store = open(path);
                }
            }
            of_people => self.apply_of_people(of_people),
        }
    }

    fn step(&self, run: Option<usize>, limit: u32) -> (Step, Option<usize>) {
        let (scope, only) = self.scope(run);
        (Step { scope, now: self.now, limit }, only)
    }

    fn claim_of(&self, op: &ClaimOp) -> Claim {
        let want = |nth: usize| KindQuota {
            kind: KINDS[nth].parse().unwrap(),
            limit: op.limits[nth],
            cursor: self.turns[nth],
        };
        Claim {
            engine: self.engines[op.engine].1.key(),
            quotas: vec![want(0), want(1)],
            limit: op.limit,
            lease_ms: op.lease_ms,
            allow_isolated: op.alone,
            now: self.now,
        }
    }

    /// What was claimed is what the promises allow; the reference learns it.
    fn check_claim(&mut self, op: &ClaimOp, claimed: ClaimOutcome) {
        let ClaimOutcome { tasks, cursors: turns, more, rejected: failed } = claimed;
        let kinds: Vec<&str> = (0..2).filter(|want| op.limits[*want] > 0).map(|want| KINDS[want]).collect();
        let seen = self.seen();
        let met_doomed = self.reference.follow_claim(&seen, &kinds, self.now);
        assert_eq!(failed as usize, met_doomed, "every row can be read");
        self.count("a claim meets what is doomed", met_doomed > 0);
        let until = self.now.plus_millis(op.lease_ms);
        let number_of = |id: TaskId| self.tasks.iter().position(|task| task.id == id).unwrap();
        let taken: Vec<usize> = tasks.iter().map(|task| number_of(task.fence.task)).collect();
        assert!(taken.len() <= op.limit as usize);
        assert!(tasks.iter().filter(|task| task.isolated).count() <= usize::from(op.alone));
        let (mut left, mut left_alone) = (false, false);
        for (want, kind) in KINDS.into_iter().enumerate() {
            let its = tasks.iter().filter(|task| task.quota_index == want).count();
            assert!(its <= op.limits[want] as usize);
            for run in 0..self.runs.len() {
                let ready = self.reference.ready(kind, run);
                let of_run = |alone: bool| -> Vec<usize> {
                    let both = tasks.iter().zip(&taken);
                    let its = both.filter(|(task, number)| {
                        task.isolated == alone
                            && task.quota_index == want
                            && self.reference.tasks[**number].run == run
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
        let does_something = !taken.is_empty() || met_doomed > 0;
        assert!(op.limit == 0 || does_something || !(left || left_alone), "a claim takes something");
        self.turns = [turns[0], turns[1]];
        for (task, number) in tasks.iter().zip(taken) {
            let lease = Lease { engine: self.engines[op.engine].0, since: self.now, until };
            self.reference.claim(number, lease);
            let row = &self.reference.tasks[number];
            assert_eq!((task.fence.attempt, task.retry_count), (row.attempt, row.retry_count));
            assert_eq!((task.run, task.index), (self.runs[row.run], row.index));
            assert_eq!(task.parent, row.parent.map(|parent| self.tasks[parent].id));
            assert_eq!(task.input, self.tasks[number].input);
            let is_join = row.is_join();
            self.fences.push((number, task.fence));
            self.count("a join runs", is_join);
        }
    }

    /// The number of one of those tasks.
    fn pick_task(&self, wanted: usize, is_among: impl Fn(&Task) -> bool) -> Option<usize> {
        let among: Vec<usize> = (0..self.tasks.len()).filter(|nth| is_among(&self.tasks[*nth])).collect();
        pick(wanted, among.len()).map(|nth| among[nth])
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
        answers: &[FenceOutcome],
        comes_later: impl Fn(usize) -> bool,
        mut apply: impl FnMut(&mut Reference, usize, usize, Timestamp),
    ) {
        let fences = self.named(named);
        assert_eq!(answers.len(), fences.len());
        let mut seen = std::collections::HashSet::new();
        let mut holding = Vec::new();
        for (nth, (fence, answer)) in fences.iter().zip(answers).enumerate() {
            let task = self.tasks.iter().position(|task| task.id == fence.task).unwrap();
            let holds = self.reference.holds(task, fence.attempt) && seen.insert(task);
            assert_eq!(*answer == FenceOutcome::Applied, holds, "{fence:?}");
            if holds {
                holding.push((nth, task));
            }
        }
        holding.sort_by_key(|(nth, _)| comes_later(*nth));
        for (nth, task) in holding {
            apply(&mut self.reference, nth, task, self.now);
        }
    }

    fn settle(&mut self, endings: &[(Named, AttemptResult)], next: Option<&ClaimOp>) {
        let (named, endings): (Vec<Named>, Vec<AttemptResult>) = endings.iter().cloned().unzip();
        let request = Settle {
            results: self.named(&named).into_iter().zip(endings.clone()).collect(),
            claim: next.map(|op| self.claim_of(op)),
            now: self.now,
            jitter: self.env.jitter(),
        };
        let settled = self.store.settle(&request).unwrap();
        // Failures are recorded first: what a policy makes of them does not hang on what else there is to record.
        let is_success = |nth: usize| matches!(endings[nth], AttemptResult::Succeeded { .. });
        self.check_fenced(&named, &settled.results, is_success, |reference, nth, task, now| {
            reference.settle(task, &endings[nth], now);
        });
        match next {
            Some(op) => self.check_claim(op, settled.claimed),
            None => assert_eq!(settled.claimed, ClaimOutcome::default()),
        }
    }

    fn drafts(&self, roots: &[Root], retries: u8) -> (Vec<TaskDraft>, Vec<Option<Plan>>) {
        let draft = |(nth, root): (usize, &Root)| {
            let mut task = TaskDraft::new("task").kind(KINDS[nth % 2]).max_retries(i64::from(retries));
            if let Some(ms) = root.delay_ms.filter(|_| !matches!(root.shape, RootShape::Open)) {
                task = task.due_at(self.now.plus_millis(ms));
            }
            let (task, plan) = match &root.shape {
                RootShape::Leaf => return (task, None),
                RootShape::Count(total) => {
                    let plan = Plan::Sealed { total: *total, nested: Vec::new() };
                    (task.input(json!({"fanout": total, "kept": 1})), plan)
                }
                RootShape::Items(nested) => {
                    let item = |n: &Option<u32>| n.map_or_else(|| json!("x"), |n| json!({"fanout": n}));
                    let items: Vec<_> = nested.iter().map(item).collect();
                    let total = u32::try_from(items.len()).unwrap();
                    (task.input(json!({"fanout": items})), Plan::Sealed { total, nested: nested.clone() })
                }
                RootShape::Open => (task.open(), Plan::Open),
            };
            let task = task.policy(root.heading.policy);
            (if let Some(join) = join_of(&root.heading) { task.join(join) } else { task }, Some(plan))
        };
        roots.iter().enumerate().map(draft).unzip()
    }

    fn submit(
        &mut self,
        roots: &[Root],
        open: bool,
        retries: u8,
        heading: &HeadingOp,
        deadline_ms: Option<u64>,
    ) {
        let (drafts, plans) = self.drafts(roots, retries);
        let mut draft =
            RunDraft::new().tasks(drafts).meta(json!({"n": self.runs.len()})).policy(heading.policy);
        if let Some(join) = join_of(heading) {
            draft = draft.join(join);
        }
        if let Some(ms) = deadline_ms {
            draft = draft.deadline_ms(ms);
        }
        let request = self.submission(&if open { draft.open() } else { draft });
        self.runs.push(self.store.submit(&request).unwrap().run);
        self.reference.submit(&request.run, plans, self.now);
    }

    fn submission(&self, draft: &RunDraft) -> Submit {
        let run: NewRun = draft.validate().unwrap();
        Submit { now: self.now, ids: self.env.ids(run.ids_needed()), run }
    }

    /// The same as one after the other.
    fn submit_and_claim(&mut self, leaves: usize, op: &ClaimOp) {
        let (drafts, plans) = self.drafts(&vec![Root::leaf(); leaves], 1);
        let request = self.submission(&RunDraft::new().tasks(drafts).meta(json!({"n": self.runs.len()})));
        let (submitted, claimed) = self.store.submit_and_claim(&request, &self.claim_of(op)).unwrap();
        self.runs.push(submitted.run);
        self.reference.submit(&request.run, plans, self.now);
        self.tasks = self.read();
        self.check_claim(op, claimed);
    }

    fn append_items(&mut self, task: usize, before: u32, count: u32) {
        let Some(number) = pick(task, self.tasks.len()) else { return };
        let exist = u32::try_from(self.reference.children(number).count()).unwrap();
        let first_index = (exist + 2).saturating_sub(before);
        let items: Vec<Json> = (0..count).map(|n| Json::of(&json!({"fanout": n})).unwrap()).collect();
        let (parent, ids) = (self.tasks[number].id, self.env.ids(count));
        let request = Append::Items { parent, first_index, items, now: self.now, ids };
        let expected = self.reference.append(number, first_index, count).map(|new| (new, exist + new + 1));
        let appended = self.store.append(&request).map(|done| (done.created, done.next_index));
        assert_eq!(appended.map_err(Refusal::from), expected);
    }

    fn append_roots(&mut self, run: usize, before: u32, roots: &[Root]) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let (drafts, plans) = self.drafts(roots, 1);
        let tasks: Vec<NewTask> = drafts.iter().map(|draft| draft.validate().unwrap()).collect();
        let exist = u32::try_from(self.reference.roots(number).count()).unwrap();
        let first_index = (exist + 2).saturating_sub(before);
        let count = u32::try_from(tasks.len()).unwrap();
        let ids = self.env.ids(tasks.iter().map(NewTask::ids_needed).sum());
        let run = self.runs[number];
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
        let request = Seal { parent: NodeId::Task(self.tasks[number].id), children, now: self.now };
        let expected = self.reference.seal(number, children);
        assert_eq!(self.store.seal(&request).map_err(Refusal::from), expected);
    }

    fn seal_run(&mut self, run: usize, off_by: u32) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let children = u32::try_from(self.reference.roots(number).count()).unwrap() + off_by / 2;
        let request = Seal { parent: NodeId::Run(self.runs[number]), children, now: self.now };
        let expected = self.reference.seal_run(number, children);
        assert_eq!(self.store.seal(&request).map_err(Refusal::from), expected);
    }

    fn report(&mut self, task: usize, reports: &[(usize, ReportedResult, Option<u32>)]) {
        let len = self.tasks.len();
        let Some(first) = pick(task, len) else { return };
        let of = |(behind, outcome, attempt): &(usize, ReportedResult, Option<u32>)| Report {
            task: self.tasks[(first + behind) % len].id,
            attempt: *attempt,
            result: outcome.clone(),
        };
        let reports_on_ids = reports.iter().map(of).collect();
        let request = ReportBatch { reports: reports_on_ids, now: self.now, jitter: self.env.jitter() };
        let answers = self.store.report(&request).unwrap();
        let mut expected = Vec::new();
        for (behind, outcome, attempt) in reports {
            expected.push(self.reference.report((first + behind) % len, *attempt, outcome, self.now));
        }
        assert_eq!(answers.iter().map(Verdict::from).collect::<Vec<_>>(), expected, "{answers:?}");
    }

    /// Reads all tasks, page by page, in the order of the reference's.
    fn read(&self) -> Vec<Task> {
        let (mut by_place, mut count) = (HashMap::new(), 0);
        for run in &self.runs {
            let mut after = None;
            loop {
                let page = self.store.tasks(*run, TaskFilter::default(), after, 3).unwrap();
                count += page.items.len();
                by_place
                    .extend(page.items.into_iter().map(|task| ((task.run, task.parent, task.index), task)));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        assert_eq!(count, by_place.len(), "every place is taken once");
        let mut tasks: Vec<Task> = Vec::new();
        for expected in &self.reference.tasks {
            let parent = expected.parent.map(|parent| tasks[parent].id);
            let task = by_place.remove(&(self.runs[expected.run], parent, expected.index));
            tasks.push(task.unwrap_or_else(|| panic!("there is no {}", expected.name)));
        }
        assert!(by_place.is_empty(), "nobody asked for {by_place:?}");
        tasks
    }

    /// What can be seen of all tasks, in the order of the reference's.
    fn seen(&self) -> Vec<Seen> {
        self.read().iter().map(Seen::from).collect()
    }

    fn count(&mut self, what: &'static str, happened: bool) {
        *self.met.entry(what).or_default() += u32::from(happened);
    }

    /// Reads everything and compares.
    fn check(&mut self) {
        self.tasks = self.read();
        self.check_tasks();
        self.check_runs();
        self.reference.assert_everything_follows();
        self.reference.assert_nothing_began_below_marks(&self.before);
        self.before = self.reference.clone();
        self.count_marks();
        assert_eq!(self.store.next_due().unwrap(), self.reference.next_due());
        assert_replays(&self.store);
        conductor_conformance::assert_verified(&self.store);
    }

    fn count_marks(&mut self) {
        let heads = self.reference.heads();
        let marks: Vec<_> = heads.into_iter().filter_map(|head| self.reference.heading(head).mark).collect();
        self.count("a mark of a policy that fails fast", marks.contains(&CancelCause::FailFast));
        self.count("a mark of a deadline", marks.contains(&CancelCause::Deadline));
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
            let numbers = expected.plan.as_ref().map(|_| self.reference.numbers_of(Head::Parent(number)));
            assert_eq!(task.child_counts, numbers, "{}", task.name);
            assert_eq!(task.cancel_cause, expected.heading.mark, "{}", task.name);
        }
    }

    fn check_runs(&self) {
        for (number, (id, expected)) in self.runs.iter().zip(&self.reference.runs).enumerate() {
            let run = self.store.run(*id).unwrap().unwrap();
            assert_eq!(run.state, expected.state);
            assert_eq!(run.child_counts, self.reference.numbers_of(Head::Run(number)));
            assert_eq!((run.cancel_cause, run.deadline), (expected.heading.mark, expected.deadline));
            let mut tally = StateCounts::default();
            for task in self.reference.tasks.iter().filter(|task| task.run == number && !task.is_join()) {
                tally.apply(None, task.state);
            }
            assert_eq!(run.state_counts, tally);
        }
    }
}

fn join_of(heading: &HeadingOp) -> Option<JoinDraft> {
    heading.join.map(|(kind, retries)| JoinDraft::new(KINDS[kind]).max_retries(retries))
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

fn the_store_agrees_with_the_reference(on_file: bool, program: &[Op]) -> Coverage {
    let mut world = World::new(on_file);
    for op in program {
        world.apply(op);
        world.check();
    }
    world.met
}

/// What the programs among people must have met, or they do not try what they are there for.
const INTERESTING: [&str; 13] = [
    "a claim meets what is doomed",
    "a join runs",
    "a join is revived",
    "a mark of a deadline",
    "a mark of a policy that fails fast",
    "a parent is cancelled",
    "a revive below a cancelled parent",
    "a revive is refused",
    "a revive of many in several transactions",
    "a revive of many skips some",
    "a sweep cancels a join",
    "a sweep marks parents",
    "a sweep stops in between",
];

#[test]
fn among_people_the_store_agrees_with_a_plain_reference() {
    let config = ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() };
    let met = RefCell::new(Coverage::new());
    let programs = programs::program_among_people();
    let outcome = TestRunner::new(config).run(&programs, |program| {
        for (what, times) in the_store_agrees_with_the_reference(false, &program) {
            *met.borrow_mut().entry(what).or_default() += times;
        }
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let met = met.into_inner();
    println!("{met:#?}");
    for what in INTERESTING {
        assert!(met.get(what).copied().unwrap_or(0) >= 1, "{what}, at least once: {met:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_memory_the_store_agrees_with_a_plain_reference(program in proptest::collection::vec(programs::op(), 1..80)) {
        let _ = the_store_agrees_with_the_reference(false, &program);
    }

    #[test]
    fn among_engines_the_store_agrees_with_a_plain_reference(
        program in proptest::collection::vec(programs::op_among_engines(), 1..80),
    ) {
        let _ = the_store_agrees_with_the_reference(false, &program);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_a_file_that_is_reopened_the_store_agrees_with_a_plain_reference(
        program in proptest::collection::vec(programs::op(), 1..80),
    ) {
        let _ = the_store_agrees_with_the_reference(true, &program);
    }
}
