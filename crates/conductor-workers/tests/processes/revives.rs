//! Joins, cancels and revives while engines are killed.

use crate::child::ChildProcess;
use crate::database::Database;
use crate::harness::Fallible;
use crate::is_long;
use crate::support::random::random_from_clock;
use crate::support::waiting::TIME_LIMIT;
use conductor_model::{JoinDraft, RunDraft, RunId, State, Task, TaskDraft};
use conductor_store::{Admin, Cancel, CancelError, Query, Revive, ReviveFilter, TaskFilter};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// Creates a run with a join. Its tasks are parents of parents, each with a join. A third of the leaves fails once.
fn joined_run() -> RunDraft {
    let join = || JoinDraft::new("count").max_retries(1000);
    let item =
        |number: u64| json!({"takes_us": 1000 + 1000 * (number % 7), "fails": number.is_multiple_of(3)});
    let parent = |number: u64| {
        let nested = json!({"fanout": (0..40).map(|leaf| item(number + leaf)).collect::<Vec<_>>()});
        let items: Vec<Value> =
            (0..60).map(|leaf| if leaf % 20 == 7 { nested.clone() } else { item(leaf) }).collect();
        let task = TaskDraft::new(format!("parent {number}")).kind("work").input(json!({ "fanout": items }));
        task.max_retries(1000).join(join())
    };
    RunDraft::new().tasks((0..3).map(parent)).join(join())
}

/// Three engines that a test kills at random.
struct Victims<'p> {
    database: &'p Database,
    run: RunId,
    processes: Vec<ChildProcess>,
    kills: u32,
}

impl<'p> Victims<'p> {
    fn start(database: &'p Database, run: RunId) -> Fallible<Self> {
        let mut victims = Self { database, run, processes: Vec::new(), kills: 0 };
        for _ in 0..3 {
            victims.processes.push(victims.start_one()?);
        }
        Ok(victims)
    }

    fn start_one(&self) -> Fallible<ChildProcess> {
        ChildProcess::start_engine(self.database, self.run, Duration::from_millis(500), 3)
    }

    /// Kills a random engine after a random time, and starts a new one. The killed engine may have ended before.
    fn kill_one(&mut self, random: &mut StdRng) -> Fallible<()> {
        thread::sleep(Duration::from_millis(5 + random.random_range(0..120)));
        let victim = usize::try_from(random.random_range(0..3))?;
        self.processes[victim].kill()?;
        self.processes[victim] = self.start_one()?;
        self.kills += 1;
        Ok(())
    }

    /// Kills engines until the run is settled, and waits until all engines end. Returns the number of kills.
    fn kill_until_settled(mut self, random: &mut StdRng) -> Fallible<u32> {
        let start = Instant::now();
        while !self.database.is_settled(self.run)? {
            if start.elapsed() > TIME_LIMIT {
                return Err("the run does not settle".into());
            }
            self.kill_one(random)?;
        }
        for process in &mut self.processes {
            if !process.wait_for_exit()? {
                return Err("a process that was not killed failed".into());
            }
        }
        Ok(self.kills)
    }
}

pub(crate) fn joins_cancels_and_revives_survive_kills() -> Fallible<String> {
    let mut random = random_from_clock();
    let start = Instant::now();
    let (mut rounds, mut kills, mut revived) = (0, 0, 0);
    let duration = if is_long() { Duration::from_secs(20) } else { Duration::from_secs(3) };
    // On a fast machine a cancel may come too late.
    while start.elapsed() < duration || (rounds == 0 && start.elapsed() < TIME_LIMIT) {
        let database = Database::new()?;
        let run = database.submit(&joined_run())?;
        let mut victims = Victims::start(&database, run)?;
        victims.processes[0].wait_for_line("started")?;
        victims.kill_one(&mut random)?;
        let root = database.store.tasks(run, TaskFilter::default(), None, 1)?.items.remove(0);
        let now = database.env.now();
        let cancel =
            if random.random_range(0..2) == 0 { Cancel::run(run, now) } else { Cancel::task(root.id, now) };
        match database.store.cancel(&cancel) {
            Ok(_) | Err(CancelError::AlreadySettled { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        kills += victims.kill_until_settled(&mut random)?;
        database.check_nothing_left(run)?;
        match database.store.run(run)?.ok_or("the run is missing")?.state {
            State::Cancelled => {}
            State::Succeeded => continue,
            other => return Err(format!("the run is {other}, but no task fails permanently").into()),
        }
        let (victims, more) = revive_under_way(&database, run, &mut random)?;
        kills += victims.kill_until_settled(&mut random)?;
        database.check_all_succeeded(run)?;
        check_joins(&database, run)?;
        (rounds, revived) = (rounds + 1, revived + more);
    }
    if rounds == 0 {
        return Err("every cancel came too late".into());
    }
    Ok(format!("{rounds} rounds, {kills} kills, {revived} revived"))
}

/// Revives all tasks of a run in small transactions, while engines run the revived tasks.
fn revive_under_way<'p>(
    database: &'p Database,
    run: RunId,
    random: &mut StdRng,
) -> Fallible<(Victims<'p>, u32)> {
    let (mut victims, mut after, mut tasks) = (None, None, 0);
    loop {
        let (below, which) = (run.into(), ReviveFilter::FailedAndCancelled);
        let step = Revive::All { below, which, cursor: after, limit: 100, now: database.env.now() };
        let revived = database.store.revive(&step)?;
        if revived.skipped > 0 {
            return Err(format!("some tasks were skipped: {revived:?}").into());
        }
        tasks += revived.tasks;
        let victims: &mut Victims<'p> = match &mut victims {
            Some(victims) => victims,
            empty => empty.insert(Victims::start(database, run)?),
        };
        victims.kill_one(random)?;
        after = revived.next;
        if after.is_none() {
            break;
        }
    }
    Ok((victims.ok_or("no step was taken")?, tasks))
}

/// Checks that each join counted all its children.
fn check_joins(database: &Database, run: RunId) -> Fallible<()> {
    let joins: Vec<Task> = database.leaves(run)?.into_iter().filter(|task| task.index == 0).collect();
    let mut counted = Vec::new();
    for join in joins {
        counted.push(join.output.ok_or("a join without an output")?.to::<u64>()?);
    }
    counted.sort_unstable();
    if counted == [3, 60, 60, 60] { Ok(()) } else { Err(format!("the joins counted {counted:?}").into()) }
}
