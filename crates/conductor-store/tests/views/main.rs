//! The views show what the queries return, at every stage of a workload with all kinds of rows.

mod workload;
mod world;

use conductor_model::{EVENT_NAMES, State, Timestamp};
use conductor_store::{Admin, Append, Prune, Query, Store};
use rusqlite::Connection;
use world::World;

#[test]
fn views_match_queries_at_every_stage() {
    let mut world = World::new();
    let run = workload::submit_all(&world);
    world.next_stage();
    world.fan_out();
    let open = world.task("OPEN").id;
    for (first, items) in [(1, vec!["[1]", r#"{"fanout": 9}"#]), (3, vec!["null"])] {
        let items = items.into_iter().map(|text| text.parse().unwrap()).collect();
        world.store.append(&Append::items(open, first, items, &world.env)).unwrap();
        world.next_stage();
        world.fan_out();
    }
    workload::claims(&mut world);
    workload::reports(&mut world);
    for state in State::ALL {
        assert_ne!(world.ask(&format!("SELECT count(*) FROM tasks WHERE state = '{state}'")), 0, "{state}");
    }
    workload::cancel_and_finish(&mut world, run);
    let prune = Prune { settled_before: Timestamp::MAX, limit: 400 };
    while world.store.prune(&prune).unwrap().more {
        world.next_stage();
    }
    assert_eq!(world.ask("SELECT count(*) FROM tasks"), 5);
}

/// The steps of a query that read a table or an index of ours from its beginning.
fn scans(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement.query_map([], |row| row.get::<_, String>("detail")).unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    assert!(steps.iter().any(|step| step.contains("(id=?)")), "{steps:#?}");
    // A scan of a virtual table reads one value of JSON, and `t` and `e` are the rows of the subquery.
    let is_scan =
        |step: &String| step.starts_with("SCAN") && !step.contains("VIRTUAL") && step.len() > "SCAN t".len();
    steps.into_iter().filter(is_scan).collect()
}

#[test]
fn run_is_found_by_index() {
    let world = World::new();
    let connection = world.connect();
    for view in ["tasks", "events"] {
        for rest in ["", " LIMIT 10", " AND id = 'x'", " ORDER BY id"] {
            let sql = format!("SELECT * FROM {view} WHERE run_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'{rest}");
            assert_eq!(scans(&connection, &sql), Vec::<String>::new(), "{sql}");
        }
    }
    assert_ne!(scans(&connection, "SELECT * FROM tasks, runs WHERE runs.id = 'x'"), Vec::<String>::new());
}

/// The statement of the reference, with which a task is found by its id.
fn documented_seek() -> &'static str {
    let page = include_str!("../../../../docs/reference/views.md");
    let section = page.split("## One task by its id").nth(1).expect("the section");
    section.split("```sql").nth(1).and_then(|code| code.split("```").next()).expect("a statement")
}

#[test]
fn documented_seek_finds_each_task() {
    let mut world = World::new();
    workload::submit_all(&world);
    world.fan_out();
    workload::claims(&mut world);
    let connection = world.connect();
    let mut seek = connection.prepare(documented_seek()).unwrap();
    let ended = [State::Succeeded, State::Failed];
    for run in world.store.runs(None, 100).unwrap().items {
        for task in world.tasks(run.id) {
            let found: Vec<(i64, Option<i64>)> = seek
                .query_map([task.id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let is_ended_leaf =
                ended.contains(&task.state) && task.due_at.is_none() && task.child_counts.is_none();
            let state = is_ended_leaf.then(|| task.state.code());
            assert_eq!((found.len(), found[0].1), (1, state), "{task:?}");
        }
    }
}

#[test]
fn views_have_the_names_of_the_model() {
    let world = World::new();
    let sql: String = world
        .connect()
        .query_row("SELECT group_concat(sql) FROM sqlite_master WHERE type = 'view'", [], |row| row.get(0))
        .unwrap();
    for (code, name) in EVENT_NAMES.iter().enumerate() {
        assert!(sql.contains(&format!("WHEN {code} THEN '{name}'\n")), "{name}");
    }
    for state in State::ALL {
        assert_eq!(sql.matches(&format!("WHEN {} THEN '{state}'", state.code())).count(), 2, "{state}");
    }
    assert!(sql.contains(&format!("BETWEEN 1 AND {}", conductor_model::MAX_FANOUT)));
}

#[test]
fn damaged_json_does_not_stop_the_views() {
    let world = World::new();
    workload::submit_all(&world);
    world.fan_out();
    let tasks = world.ask("SELECT count(*) FROM tasks");
    let damage = "UPDATE conductor_inputs SET inputs = '[broken'; UPDATE conductor_blocks SET names = '[' WHERE names IS NOT NULL; \
                  UPDATE conductor_events SET payload = '{', name = 20 WHERE key = 1; \
                  UPDATE conductor_events SET tasks = '[' WHERE key = 2";
    world.connect().execute_batch(damage).unwrap();
    assert_eq!(world.rows("tasks", &[]).len(), usize::try_from(tasks).unwrap());
    assert!(!world.rows("events", &[]).is_empty());
}
