//! How far an explanation finds the leaf at which something hangs, among more tasks than it looks at.
#![cfg(feature = "sqlite")]

use conductor_model::{
    ExplainTarget, Explanation, Policy, RunDraft, RunId, StateReason, Task, TaskDraft, TaskId, Timestamp,
};
use conductor_store::{
    Admin, Cancel, Environment, FanOut, NodeId, Query, Report, ReportBatch, Scope, SqliteStore, Step, Store,
    Submit, TaskFilter,
};
use rusqlite::Connection;
use serde_json::json;

struct World {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    store: SqliteStore,
    env: Environment,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("explained.db");
        let store = SqliteStore::open(&path).unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { _folder: folder, path, store, env }
    }

    /// A run of these tasks, with all their children; and its root tasks.
    fn run_of(&self, tasks: impl IntoIterator<Item = TaskDraft>) -> (RunId, Vec<Task>) {
        let draft = RunDraft::new().tasks(tasks).validate().unwrap();
        let run = self.store.submit(&Submit::new(draft, &self.env)).unwrap().run;
        while self.store.fan_out(&FanOut::new(Scope::All, 10_000, &self.env)).unwrap().more {}
        let roots = self.tasks(run).into_iter().filter(|task| task.parent.is_none()).collect();
        (run, roots)
    }

    fn tasks(&self, run: RunId) -> Vec<Task> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.tasks(run, TaskFilter::default(), after, 1000).unwrap();
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    fn children(&self, run: RunId, parent: TaskId) -> Vec<TaskId> {
        let tasks = self.tasks(run).into_iter().filter(|task| task.parent == Some(parent));
        tasks.map(|task| task.id).collect()
    }

    fn report(&self, reports: impl IntoIterator<Item = Report>) {
        self.store.report(&ReportBatch::new(reports, &self.env)).unwrap();
        let step = Step::new(Scope::All, 10_000, &self.env);
        while self.store.aggregate(&step).unwrap().more {}
    }

    fn explain(&self, subject: impl Into<NodeId>) -> Explanation {
        self.store.explain(subject.into(), self.env.now()).unwrap().unwrap()
    }
}

/// The names of the tasks that an explanation leads down to.
fn names(explained: &Explanation) -> Vec<String> {
    let (mut names, mut below) = (Vec::new(), explained.caused_by.as_ref());
    while let Some(one) = below {
        let ExplainTarget::Task { name, .. } = &one.target else { panic!("{explained}") };
        names.push(name.to_string());
        below = one.caused_by.as_ref();
    }
    names
}

fn parent(name: impl AsRef<str>, children: u32) -> TaskDraft {
    TaskDraft::new(name).input(json!({ "fanout": children }))
}

/// Many parents of one child each; the children of these are done.
fn many_parents(world: &World, done: impl Fn(usize) -> bool) -> RunId {
    let (run, roots) = world.run_of((0..1000).map(|nth| parent(format!("p{nth}"), 1).kind("b")));
    let done: Vec<_> =
        roots.iter().enumerate().filter(|(nth, _)| done(*nth)).map(|(_, root)| root.id).collect();
    let leaves =
        world.tasks(run).into_iter().filter(|task| task.parent.is_some_and(|parent| done.contains(&parent)));
    world.report(leaves.map(|leaf| Report::succeeded(leaf.id)));
    run
}

#[test]
fn parents_that_are_open_behind_many_are_found() {
    let world = World::new();
    let run = many_parents(&world, |nth| nth < 950);
    assert_eq!(names(&world.explain(run)), ["p950", "p950#1"]);
}

#[test]
fn parents_that_are_open_in_the_middle_are_found_by_what_is_open_below_them() {
    let world = World::new();
    let run = many_parents(&world, |nth| nth != 480);
    assert_eq!(names(&world.explain(run)), ["p480", "p480#1"]);
}

#[test]
fn leaves_that_are_ready_behind_many_of_another_parent_are_found() {
    let world = World::new();
    let (run, roots) = world.run_of([parent("big", 1000).kind("k"), parent("small", 900).kind("k")]);
    let children = world.children(run, roots[1].id);
    let done =
        |from: usize, to: usize| world.report(children[from..to].iter().map(|leaf| Report::succeeded(*leaf)));
    done(0, 320);
    assert_eq!(names(&world.explain(roots[1].id)), ["small#321"]);
    done(400, 900);
    assert_eq!(names(&world.explain(roots[1].id)), ["small#321"]);
    done(320, 399);
    assert_eq!(names(&world.explain(roots[1].id)), ["small#400"]);
    // One that is run alone, because leases were lost over it, is in an index of its own.
    let raw = Connection::open(&world.path).unwrap();
    raw.execute("UPDATE conductor_tasks SET lost = 2 WHERE ordinal = 400 AND parent = 2", []).unwrap();
    let explained = world.explain(roots[1].id);
    assert_eq!(names(&explained), ["small#400"]);
    world.report([Report::started(children[399])]);
    assert_eq!(names(&world.explain(roots[1].id)), ["small#400"]);
    world.report([Report::failed(children[399], "no")]);
    assert!(matches!(world.explain(roots[1].id).root_cause(), StateReason::RetryDue { .. }));
}

#[test]
fn a_failure_behind_many_that_were_tolerated_is_found() {
    let world = World::new();
    let tolerated = parent("tolerated", 1500).policy(Policy::Ignore);
    let (run, roots) = world.run_of([tolerated, parent("strict", 900)]);
    let failed = world.children(run, roots[0].id);
    for failed in failed.chunks(500) {
        world.report(failed.iter().map(|leaf| Report::failed_permanently(*leaf, "bad")));
    }
    let others = world.children(run, roots[1].id);
    let end = |(nth, leaf): (usize, &TaskId)| match nth {
        450 => Report::failed_permanently(*leaf, "worse"),
        _ => Report::succeeded(*leaf),
    };
    world.report(others.iter().enumerate().map(end));
    let explained = world.explain(run);
    assert_eq!(names(&explained), ["strict", "strict#451"], "{explained}");
}

#[test]
fn what_is_out_of_reach_is_said_not_to_have_been_looked_for() {
    let world = World::new();
    let (other, _) = world.run_of([parent("other", 900)]);
    let busy = world.tasks(other).into_iter().filter(|task| task.parent.is_some());
    world.report(busy.map(|leaf| Report::started(leaf.id)));
    let (run, roots) = world.run_of([parent("last", 900)]);
    let children = world.children(run, roots[0].id);
    world.report([Report::started(children[450])]);
    let done = children.iter().filter(|leaf| **leaf != children[450]);
    world.report(done.map(|leaf| Report::succeeded(*leaf)));
    let explained = world.explain(roots[0].id);
    assert_eq!(
        (explained.reason.clone(), explained.caused_by.clone()),
        (StateReason::WaitingForChildren { open: 1, children: 900 }, None)
    );
    assert!(
        explained
            .to_string()
            .ends_with("; the child that causes this was not found among the searched children"),
        "{explained}"
    );
}

#[test]
fn a_cancelled_leaf_behind_many_that_went_well_is_found() {
    let world = World::new();
    let (run, roots) = world.run_of((0..900).map(|nth| parent(format!("p{nth}"), 1)));
    let leaf = world.children(run, roots[450].id)[0];
    let cancel = Cancel::task(leaf, world.env.now()).reason("bad data");
    let _ = world.store.cancel(&cancel).unwrap();
    let others = world.tasks(run).into_iter().filter(|task| task.parent.is_some() && task.id != leaf);
    world.report(others.map(|leaf| Report::succeeded(leaf.id)));
    let explained = world.explain(run);
    assert_eq!(names(&explained), ["p450", "p450#1"], "{explained}");
    assert!(explained.to_string().ends_with("cancelled on request: bad data"), "{explained}");
}

/// Cancels so many leaves one by one, with so many milliseconds between them, and says what is said of each.
fn cancel_one_by_one(many: u32, every_ms: u64) -> Vec<String> {
    let world = World::new();
    let (run, roots) = world.run_of([parent("p", many)]);
    let leaves = world.children(run, roots[0].id);
    for (nth, leaf) in (0..).zip(&leaves) {
        let now = world.env.now().plus_millis(nth * every_ms);
        let _ = world.store.cancel(&Cancel::task(*leaf, now).reason("bad data")).unwrap();
    }
    leaves.iter().map(|leaf| world.explain(*leaf).reason.to_string()).collect()
}

#[test]
fn the_words_of_each_of_many_cancels_are_found_by_their_time() {
    let said = cancel_one_by_one(1202, 1);
    assert!(said.iter().all(|words| words == "cancelled on request: bad data"), "{said:?}");
}

#[test]
fn what_is_not_known_of_a_cancel_is_not_said() {
    let said = cancel_one_by_one(1202, 0);
    assert_eq!(
        (&*said[0], &*said[1201]),
        ("cancelled on request: bad data", "cancelled on request: bad data")
    );
    assert_eq!(said[600], "it was cancelled");
}
