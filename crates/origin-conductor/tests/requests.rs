//! The requests on [`Engine`]: each one takes effect, reaches an idle engine, and returns errors that name the value.

use origin_conductor::prelude::*;
use origin_conductor::{
    AppendError, Health, Json, NodeId, OutputError, Report, ReportOutcome, ReportRejection, RunId, Scope,
    SealError, StoreError, TaskId,
};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A value that JSON cannot hold: the keys of an object must be text.
type NotJson = HashMap<Vec<u8>, u8>;

fn not_json() -> NotJson {
    HashMap::from([(vec![1], 1)])
}

fn engine() -> Engine {
    Engine::builder(SqliteStore::open_in_memory().unwrap())
        .handler("double", |number: u64, _: Context| Ok::<_, TaskError>(2 * number))
        .handler("refuse", |(): (), _: Context| Err::<(), _>(TaskError::fatal("refused")))
        .wait_for_external_work()
        .build()
        .unwrap()
}

/// An open parent whose handler is `double`.
fn open_parent(engine: &Engine) -> (RunId, TaskId) {
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("double").open())).unwrap();
    (run, engine.root_tasks(run).unwrap()[0].id)
}

fn outputs(engine: &Engine, of: impl Into<NodeId>) -> Vec<(u32, u64)> {
    engine.outputs(of.into()).unwrap().collect::<Result<_, _>>().unwrap()
}

mod append {
    use super::*;

    #[test]
    fn appended_items_run_and_keep_their_order() {
        let engine = engine();
        let (run, parent) = open_parent(&engine);
        let first = engine.append(parent, 1, [10_u64, 20]).unwrap();
        assert_eq!((first.created, first.next_index), (2, 3));
        engine.append(parent, first.next_index, [30_u64]).unwrap();
        engine.seal(parent, 3).unwrap();
        assert_eq!(engine.run_until_settled(run).unwrap().state, State::Succeeded);
        assert_eq!(outputs(&engine, parent), [(1, 20), (2, 40), (3, 60)]);
    }

    #[test]
    fn repeated_append_changes_nothing() {
        let engine = engine();
        let (_, parent) = open_parent(&engine);
        engine.append(parent, 1, [1, 2]).unwrap();
        let again = engine.append(parent, 1, [1, 2]).unwrap();
        assert_eq!((again.created, again.next_index), (0, 3));
    }

    #[test]
    fn append_with_gap_names_expected_index() {
        let engine = engine();
        let (_, parent) = open_parent(&engine);
        let error = engine.append(parent, 3, [1]).unwrap_err();
        assert!(matches!(error, AppendError::IndexGap { given: 3, expected: 1 }), "{error}");
    }

    #[test]
    fn invalid_item_is_named_by_its_place() {
        let engine = engine();
        let (_, parent) = open_parent(&engine);
        let error = engine.append(parent, 1, [NotJson::new(), not_json()]).unwrap_err();
        let AppendError::Invalid(invalid) = error else { panic!("{error}") };
        assert!(invalid.issues()[0].path.starts_with("items[1]"), "{invalid}");
        let children = engine.store().children(parent, 0, 10).unwrap();
        assert!(children.items.is_empty(), "no child is created");
    }

    #[test]
    fn append_to_unknown_or_leaf_task_fails() {
        let engine = engine();
        let unknown = TaskId::from_u128(1);
        let error = engine.append(unknown, 1, [1]).unwrap_err();
        assert!(matches!(error, AppendError::NotFound(NodeId::Task(task)) if task == unknown), "{error}");
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("elsewhere"))).unwrap();
        let leaf = engine.root_tasks(run).unwrap()[0].id;
        let error = engine.append(leaf, 1, [1]).unwrap_err();
        assert!(matches!(error, AppendError::NotAParent(task) if task == leaf), "{error}");
    }

    #[test]
    fn appended_root_tasks_run() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().open()).unwrap();
        let appended = engine.append_tasks(run, 1, [TaskDraft::new("double").input(4)]).unwrap();
        assert_eq!((appended.created, appended.next_index), (1, 2));
        engine.seal(run, 1).unwrap();
        assert_eq!(engine.run_until_settled(run).unwrap().state, State::Succeeded);
        assert_eq!(outputs(&engine, run), [(1, 8)]);
    }

    #[test]
    fn invalid_task_is_named_by_its_place() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().open()).unwrap();
        let tasks = [TaskDraft::new(""), TaskDraft::new("double"), TaskDraft::new("a#b").max_retries(1001)];
        let error = engine.append_tasks(run, 1, tasks).unwrap_err();
        let AppendError::Invalid(invalid) = error else { panic!("{error}") };
        let paths: Vec<&str> = invalid.issues().iter().map(|issue| issue.path.as_str()).collect();
        assert_eq!(paths, ["tasks[0].name", "tasks[2].name", "tasks[2].max_retries"]);
    }

    #[test]
    fn append_tasks_to_unknown_run_fails() {
        let unknown = RunId::from_u128(1);
        let error = engine().append_tasks(unknown, 1, [TaskDraft::new("double")]).unwrap_err();
        assert!(matches!(error, AppendError::NotFound(NodeId::Run(run)) if run == unknown), "{error}");
    }
}

mod seal {
    use super::*;

    #[test]
    fn seal_with_same_number_changes_nothing() {
        let engine = engine();
        let (_, parent) = open_parent(&engine);
        engine.append(parent, 1, [1]).unwrap();
        engine.seal(parent, 1).unwrap();
        engine.seal(parent, 1).unwrap();
    }

    #[test]
    fn seal_with_wrong_number_names_both() {
        let engine = engine();
        let (_, parent) = open_parent(&engine);
        engine.append(parent, 1, [1]).unwrap();
        let error = engine.seal(parent, 2).unwrap_err();
        assert!(matches!(error, SealError::CountMismatch { exist: 1, given: 2, .. }), "{error}");
    }

    #[test]
    fn seal_of_unknown_run_fails() {
        let unknown = RunId::from_u128(1);
        let error = engine().seal(unknown, 0).unwrap_err();
        assert!(matches!(error, SealError::NotFound(NodeId::Run(run)) if run == unknown), "{error}");
    }
}

mod report {
    use super::*;

    #[test]
    fn reports_are_answered_one_by_one() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("elsewhere"))).unwrap();
        let task = engine.root_tasks(run).unwrap()[0].id;
        let unknown = TaskId::from_u128(1);
        let done = Report::succeeded_with(task, Json::of(&7).unwrap());
        let answers = engine.report([done.clone(), done, Report::succeeded(unknown)]).unwrap();
        assert_eq!(
            answers,
            [
                ReportOutcome::Applied,
                ReportOutcome::Unchanged,
                ReportOutcome::Rejected(ReportRejection::NotFound(unknown)),
            ]
        );
        assert_eq!(engine.run_until_settled(run).unwrap().state, State::Succeeded);
        assert_eq!(engine.output::<u64>(task).unwrap(), Some(7));
    }
}

mod reads {
    use super::*;

    #[test]
    fn root_tasks_leave_out_children_and_join() {
        let engine = engine();
        let tasks = [TaskDraft::new("elsewhere").fan_out([1, 2]), TaskDraft::new("other")];
        let run = engine.submit(RunDraft::new().tasks(tasks).join("elsewhere")).unwrap();
        let roots = engine.root_tasks(run).unwrap();
        let names: Vec<(u32, &str)> = roots.iter().map(|task| (task.index, task.name.as_str())).collect();
        assert_eq!(names, [(1, "elsewhere"), (2, "other")]);
    }

    #[test]
    fn root_tasks_are_read_beyond_one_page() {
        let engine = engine();
        let tasks = (0..2500).map(|number| TaskDraft::new(format!("task {number}")).kind("elsewhere"));
        let run = engine.submit(RunDraft::new().tasks(tasks)).unwrap();
        let roots = engine.root_tasks(run).unwrap();
        assert_eq!((roots.len(), roots[2499].index), (2500, 2500));
    }

    #[test]
    fn root_tasks_of_unknown_run_fail() {
        let unknown = RunId::from_u128(1);
        let error = engine().root_tasks(unknown).unwrap_err();
        assert!(matches!(error, StoreError::RunNotFound(run) if run == unknown), "{error}");
    }

    #[test]
    fn unknown_ids_are_none() {
        let engine = engine();
        assert_eq!(engine.run(RunId::from_u128(1)).unwrap(), None);
        assert_eq!(engine.task(TaskId::from_u128(1)).unwrap(), None);
    }

    #[test]
    fn output_is_none_until_settled() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("double").input(4))).unwrap();
        let task = engine.root_tasks(run).unwrap()[0].id;
        assert_eq!(engine.output::<u64>(task).unwrap(), None);
        engine.run_until_settled(run).unwrap();
        assert_eq!(engine.output::<u64>(task).unwrap(), Some(8));
        assert_eq!(engine.task(task).unwrap().unwrap().state, State::Succeeded);
    }

    #[test]
    fn output_of_wrong_type_names_task() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("double").input(4))).unwrap();
        engine.run_until_settled(run).unwrap();
        let task = engine.root_tasks(run).unwrap()[0].id;
        let error = engine.output::<String>(task).unwrap_err();
        assert!(matches!(error, OutputError::WrongType { task: named, .. } if named == task), "{error}");
        assert!(error.to_string().contains(&task.to_string()), "{error}");
    }

    #[test]
    fn root_tasks_exclude_join_and_children() {
        let sum = |parts: Children<u64>, _: Context| parts.outputs().sum::<Result<u64, TaskError>>();
        let store = SqliteStore::open_in_memory().unwrap();
        let engine = Engine::builder(store)
            .handler("double", |number: u64, _: Context| Ok::<_, TaskError>(2 * number))
            .handler("sum", sum)
            .build()
            .unwrap();
        let tasks = (0..2_500_u64).map(|number| TaskDraft::new("double").input(number));
        let parent = TaskDraft::new("double").fan_out(0..100_u64);
        let run = engine
            .submit(RunDraft::new().tasks(tasks).task(parent).join("sum").policy(Policy::Ignore))
            .unwrap();
        engine.run_until_settled(run).unwrap();
        let roots = engine.root_tasks(run).unwrap();
        assert!(roots.iter().map(|task| task.index).eq(1..=2_501), "{}", roots.len());
    }

    #[test]
    fn output_of_unknown_task_fails() {
        let unknown = TaskId::from_u128(1);
        let error = engine().output::<u64>(unknown).unwrap_err();
        assert!(matches!(error, OutputError::NotFound(node) if node == unknown.into()), "{error}");
    }

    #[test]
    fn outputs_of_wrong_type_name_child() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("double").fan_out([1, 2]))).unwrap();
        engine.run_until_settled(run).unwrap();
        let parent = engine.root_tasks(run).unwrap()[0].id;
        let read: Vec<Result<(u32, String), OutputError>> = engine.outputs(parent).unwrap().collect();
        assert_eq!(read.len(), 2);
        let Err(OutputError::WrongChildType { index: 2, .. }) = read[1] else { panic!("{read:?}") };
    }

    #[test]
    fn outputs_skip_failed_children() {
        let engine = engine();
        let draft =
            TaskDraft::new("double").fan_out([Json::of(&1).unwrap(), Json::of(&"no number").unwrap()]);
        let run = engine.submit(RunDraft::new().task(draft.policy(Policy::Ignore))).unwrap();
        assert_eq!(engine.run_until_settled(run).unwrap().state, State::Succeeded);
        let parent = engine.root_tasks(run).unwrap()[0].id;
        assert_eq!(outputs(&engine, parent), [(1, 2)]);
    }

    #[test]
    fn health_follows_scope() {
        let engine = engine();
        assert_eq!(engine.health(Scope::All).unwrap().health, Health::Healthy);
        let good = engine.submit(RunDraft::new().task(TaskDraft::new("double").input(1))).unwrap();
        let bad = engine.submit(RunDraft::new().task(TaskDraft::new("refuse"))).unwrap();
        engine.run_until_settled(good).unwrap();
        assert_eq!(engine.run_until_settled(bad).unwrap().state, State::Failed);
        assert_eq!(engine.health(Scope::Run(good)).unwrap().health, Health::Healthy);
        let report = engine.health(Scope::All).unwrap();
        assert_eq!((report.health, report.counts.failed_leaves), (Health::Critical, 1));
        assert!(!report.warnings.is_empty());
    }
}

/// An engine also finds these by polling, so these tests show that it reacts, not how soon.
mod idle_engine {
    use super::*;

    /// Waits until the engine polls at its longest interval.
    fn idle(engine: &Engine) {
        engine.start();
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Waits for a condition; fails after ten seconds.
    fn until(condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < Duration::from_secs(10), "the engine does not react");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn succeeded(engine: &Engine) -> u64 {
        engine.store().state_counts(Scope::All).unwrap().succeeded
    }

    #[test]
    fn append_reaches_idle_engine() {
        let engine = engine();
        let (_, parent) = open_parent(&engine);
        idle(&engine);
        engine.append(parent, 1, [1]).unwrap();
        until(|| succeeded(&engine) == 1);
    }

    #[test]
    fn seal_reaches_idle_engine() {
        let engine = engine();
        let (_, parent) = open_parent(&engine);
        idle(&engine);
        engine.seal(parent, 0).unwrap();
        until(|| succeeded(&engine) == 1);
    }

    #[test]
    fn append_of_root_tasks_reaches_idle_engine() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().open()).unwrap();
        idle(&engine);
        engine.append_tasks(run, 1, [TaskDraft::new("double").input(1)]).unwrap();
        until(|| succeeded(&engine) == 1);
    }

    #[test]
    fn report_reaches_idle_engine() {
        let engine = engine();
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("elsewhere"))).unwrap();
        let task = engine.root_tasks(run).unwrap()[0].id;
        idle(&engine);
        assert_eq!(engine.report([Report::succeeded(task)]).unwrap(), [ReportOutcome::Applied]);
        until(|| engine.run(run).unwrap().unwrap().state == State::Succeeded);
    }
}
