//! Subscriptions while the writing engines are killed.

use crate::child::ChildProcess;
use crate::database::Database;
use crate::harness::Fallible;
use crate::kills::large_run;
use crate::support::pages::all_events;
use crate::support::random::random_from_clock;
use crate::support::waiting::TIME_LIMIT;
use conductor_model::{Event, EventBody, RunId};
use conductor_store::{EventFilter, SqliteStore};
use conductor_workers::Subscription;
use rand::RngExt;
use std::thread;
use std::time::{Duration, Instant};

/// The number of an event in the middle of a row. The number of the first event of a row is a multiple of 1,024.
const MIDDLE: u64 = 20 * 1024 + 3;

pub(crate) fn subscription_sees_all_events_of_killed_writers() -> Fallible<String> {
    let mut random = random_from_clock();
    let database = Database::new()?;
    let run = database.submit(&large_run(1200))?;
    let mut from_the_start = Subscription::new(SqliteStore::open(&database.path)?, 0);
    let reader = thread::spawn(move || follow(&mut from_the_start, run).map_err(|error| error.to_string()));
    let start_engine = || ChildProcess::start_engine(&database, run, Duration::from_millis(500), 3);
    let mut processes = [start_engine()?, start_engine()?];
    let (mut kills, start) = (0, Instant::now());
    let mut late = None;
    while !database.is_settled(run)? {
        if start.elapsed() > TIME_LIMIT {
            return Err("the run does not settle".into());
        }
        thread::sleep(Duration::from_millis(5 + random.random_range(0..80)));
        let victim = &mut processes[usize::try_from(random.random_range(0..2))?];
        victim.kill()?;
        *victim = start_engine()?;
        kills += 1;
        late.get_or_insert(Subscription::new(SqliteStore::open(&database.path)?, MIDDLE));
    }
    for process in &mut processes {
        process.wait_for_exit()?;
    }
    let all = all_events(&database.store, EventFilter::default())?;
    let seen = reader.join().map_err(|_| "the reader panicked")??;
    if seen != all {
        return Err(format!("the subscription saw {} events; the store has {}", seen.len(), all.len()).into());
    }
    if let Some(mut late) = late
        && follow(&mut late, run)? != all[all.partition_point(|event| event.seq <= MIDDLE)..]
    {
        return Err("the late subscription saw other events".into());
    }
    Ok(format!("{} events, {kills} kills", all.len()))
}

/// Reads events until a run settles.
fn follow(events: &mut Subscription, run: RunId) -> Fallible<Vec<Event>> {
    let mut seen = Vec::new();
    loop {
        let event = events.next_timeout(TIME_LIMIT)?.ok_or("the run does not settle")?;
        let is_last = event.run == run && matches!(event.body, EventBody::RunAggregated { .. });
        seen.push(event);
        if is_last {
            return Ok(seen);
        }
    }
}
