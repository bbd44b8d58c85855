//! The input of a task is the same for `Query::task`, for the SQL view `tasks` and for a claim.
#![cfg(feature = "sqlite")]

use conductor_store::{
    Append, AttemptResult, Claim, ClaimedTask, Environment, FanOut, Fence, JoinDraft, Json, KindQuota,
    NodeId, Query, RegisterEngine, RunDraft, Scope, Seal, Settle, SqliteStore, State, Step, Store, Submit,
    Task, TaskDraft, TaskFilter, Timestamp,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    store: SqliteStore,
    env: Environment,
}

/// One tree of tasks, and what another program does to it.
struct Case {
    name: &'static str,
    parent: TaskDraft,
    /// Inputs that are appended to an open fan-out.
    appended: Vec<Value>,
    damage: &'static str,
    /// How many tasks a claim rejects because their input is missing.
    rejected: usize,
}

/// The root task has the row key 1024. Its children that are leaves are in one block, and share a row of inputs.
fn cases() -> Vec<Case> {
    let parent = || TaskDraft::new("P").kind("A");
    let counted = || parent().input(json!({"fanout": 2, "width": 80}));
    let items = || parent().input(json!({"fanout": ["a", {"size": 1}], "width": 80}));
    let nested = || {
        let inner = json!([{"fanout": 2, "x": 1}, {"fanout": ["p", "q"], "y": 2}]);
        parent().input(json!({"fanout": inner, "width": 80}))
    };
    let case = |name, parent, damage, rejected| Case { name, parent, appended: vec![], damage, rejected };
    let open = |name, parent: TaskDraft, damage, rejected| Case {
        name,
        parent: parent.open(),
        appended: vec![json!("a"), json!(null)],
        damage,
        rejected,
    };
    vec![
        case("leaf", parent().input(json!({"width": 80})), "", 0),
        case("leaf without input", parent(), "", 0),
        case("counted", counted(), "", 0),
        case("counted, input of the parent deleted", counted(), "DELETE FROM conductor_inputs", 2),
        case("items", items(), "", 0),
        case("items, one deleted", items(), FIRST_INPUT_DELETED, 1),
        case("items, all deleted", items(), "DELETE FROM conductor_inputs", 2),
        case("items, parent deleted", items(), "DELETE FROM conductor_inputs WHERE task = 1024", 0),
        case("count of zero", counted(), "UPDATE conductor_inputs SET inputs = '[{\"fanout\": 0}]'", 2),
        case("nested", nested(), "", 0),
        case("nested, items deleted", nested(), FIRST_INPUT_DELETED, 1),
        case(
            "nested, counted parent deleted",
            nested(),
            "DELETE FROM conductor_inputs WHERE inputs LIKE '%\"x\"%' AND task > 1024",
            2,
        ),
        open("open", parent(), "", 0),
        open("open, one deleted", parent(), FIRST_INPUT_DELETED, 1),
        open(
            "open with input, all deleted",
            parent().input(7),
            "DELETE FROM conductor_inputs WHERE task > 1024",
            2,
        ),
        open("imported parent without input", parent(), ADOPTED_WITHOUT_INPUTS, 0),
        open("imported parent with null", parent().input(json!(null)), ADOPTED_WITH_PARENTS_INPUT, 0),
        open("imported parent with input", parent().input(7), ADOPTED_WITH_PARENTS_INPUT, 2),
    ]
}

/// A run of the TypeScript version has an event with the name 18 (`run.adopted`).
const ADOPTED_WITHOUT_INPUTS: &str =
    "UPDATE conductor_events SET name = 18 WHERE key = 1; DELETE FROM conductor_inputs";
const ADOPTED_WITH_PARENTS_INPUT: &str =
    "UPDATE conductor_events SET name = 18 WHERE key = 1; DELETE FROM conductor_inputs WHERE task > 1024";
/// The inputs of the leaves begin with that of the first.
const FIRST_INPUT_DELETED: &str = "UPDATE conductor_inputs \
    SET task = task + 1, count = count - 1, inputs = json_remove(inputs, '$[0]') WHERE count = 2";

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inputs.db");
        let store = SqliteStore::open(&path).unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { _folder: folder, path, store, env }
    }

    /// Creates the tree of a case with all its children, and damages it.
    fn of(case: &Case) -> Self {
        let fixture = Self::new();
        fixture.create(&case.parent, &case.appended);
        fixture.damage(case.damage);
        fixture
    }

    fn create(&self, parent: &TaskDraft, appended: &[Value]) {
        let run = RunDraft::new().task(parent.clone()).validate().unwrap();
        self.store.submit(&Submit::new(run, &self.env)).unwrap();
        if !appended.is_empty() {
            let parent = self.tasks()[0].id;
            let items = appended.iter().map(|item| item.to_string().parse().unwrap()).collect();
            self.store.append(&Append::items(parent, 1, items, &self.env)).unwrap();
            self.store
                .seal(&Seal::new(NodeId::Task(parent), u32::try_from(appended.len()).unwrap(), &self.env))
                .unwrap();
        }
        while self.store.fan_out(&FanOut::new(Scope::All, 100, &self.env)).unwrap().children > 0 {}
    }

    fn damage(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    fn tasks(&self) -> Vec<Task> {
        let run = self.store.runs(None, 1).unwrap().items[0].id;
        self.store.tasks(run, TaskFilter::default(), None, 100).unwrap().items
    }

    fn claim(&self, kind: &str) -> Vec<ClaimedTask> {
        let engine = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let quotas = vec![KindQuota::new(kind.parse().unwrap(), 100)];
        self.store.claim(&Claim::new(engine.key(), quotas, 1000, &self.env)).unwrap().tasks()
    }

    /// Settles these claims with success, and lets a join start.
    fn succeed(&self, fences: &[Fence]) {
        let results = fences.iter().map(|fence| (*fence, AttemptResult::Succeeded { output: None }));
        let _ = self.store.settle(&Settle::new(results.collect(), &self.env)).unwrap();
        let step = Step { scope: Scope::All, now: self.env.now(), limit: 100 };
        let _ = self.store.aggregate(&step).unwrap();
    }

    /// The inputs in the view, by the text of the task's id.
    fn view(&self) -> HashMap<String, Option<Value>> {
        let connection = Connection::open(&self.path).unwrap();
        let mut statement = connection.prepare("SELECT id, input FROM tasks").unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?));
        let rows = statement.query_map([], read).unwrap().map(Result::unwrap);
        rows.map(|(id, input)| (id, input.map(|input| serde_json::from_str(&input).unwrap()))).collect()
    }

    /// Checks the view, the list and the single record of each task against each other.
    fn assert_view_agrees(&self, name: &str) {
        let view = self.view();
        for task in self.tasks() {
            let input = value(task.input.as_ref());
            let single = self.store.task(task.id).unwrap().unwrap();
            assert_eq!(value(single.input.as_ref()), input, "{name}: {task:?}");
            assert_eq!(view[&task.id.to_string()], input, "{name}: {task:?}");
        }
    }

    /// Claims all leaves, and checks each claim against the task that a query read before; how many were rejected.
    fn assert_claims_agree(&self, name: &str) -> usize {
        let before = self.tasks();
        let claimed = self.claim("A");
        let mut rejected = 0;
        for task in before.iter().filter(|task| task.child_counts.is_none()) {
            if let Some(claimed) = claimed.iter().find(|claimed| claimed.fence.task == task.id) {
                assert_eq!(claimed.input, task.input, "{name}: {task:?}");
                continue;
            }
            let after = self.store.task(task.id).unwrap().unwrap();
            let error = after.last_error.expect("a claim rejects a task with an error");
            assert!(error.as_str().starts_with("its input was changed"), "{name}: {error}");
            assert_eq!((after.state, &task.input), (State::Failed, &None), "{name}");
            rejected += 1;
        }
        rejected
    }
}

fn value(input: Option<&Json>) -> Option<Value> {
    input.map(|input| serde_json::from_str(input.as_str()).unwrap())
}

#[test]
fn query_and_claim_agree_on_each_input() {
    for case in cases() {
        let fixture = Fixture::of(&case);
        assert_eq!(fixture.assert_claims_agree(case.name), case.rejected, "{}", case.name);
    }
}

#[test]
fn view_and_query_agree_on_each_input() {
    for case in cases() {
        Fixture::of(&case).assert_view_agrees(case.name);
    }
}

#[test]
fn deleted_input_is_not_replaced_by_parents() {
    let fixture = Fixture::new();
    fixture.create(&TaskDraft::new("P").kind("A").input(json!({"fanout": ["a"], "width": 80})), &[]);
    fixture.damage("DELETE FROM conductor_inputs WHERE inputs = '[\"a\"]'");
    assert_eq!(fixture.tasks()[1].input, None);
    assert_eq!(fixture.view()[&fixture.tasks()[1].id.to_string()], None);
    assert!(fixture.claim("A").is_empty());
}

#[test]
fn join_inherits_any_input_of_its_parent() {
    let parent = || TaskDraft::new("P").kind("A").join(JoinDraft::new("J"));
    for (input, expected) in [
        (json!({"fanout": 1, "width": 80}), json!({"width": 80})),
        (json!({"fanout": ["a"], "width": 80}), json!({"width": 80})),
    ] {
        let fixture = Fixture::new();
        fixture.create(&parent().input(input), &[]);
        let fences: Vec<Fence> = fixture.claim("A").iter().map(|task| task.fence).collect();
        fixture.succeed(&fences);
        fixture.assert_view_agrees("join");
        let join = fixture
            .tasks()
            .into_iter()
            .find(|task| task.index == 0 && task.parent.is_some())
            .expect("the join has started");
        assert_eq!(value(join.input.as_ref()), Some(expected));
        assert_eq!(fixture.claim("J")[0].input, join.input);
    }
}
