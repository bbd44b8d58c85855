//! What a claim costs beside what it does not want: delayed tasks, tasks of a kind that nobody handles, another run.
//! `cargo bench -p conductor-store --bench claim [-- N]`

mod common;

use common::{Outcome, fan_out_all, median, time};
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Claim, Ending, Enlist, Settle, Source, SqliteStore, Store, Submit, Turn, Want};
use serde_json::json;
use std::time::Duration;

const ROUNDS: usize = 5;
const CLAIMS: u32 = 200;
const TASKS_PER_CLAIM: u32 = 100;

fn main() -> Outcome<()> {
    let others: u32 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let (mut crowded, mut empty) = (Vec::new(), Vec::new());
    let folder = tempfile::tempdir()?;
    let (crowd, nobody) =
        (prepare(&folder.path().join("crowd.db"), others)?, prepare(&folder.path().join("empty.db"), 0)?);
    for _ in 0..ROUNDS {
        crowded.push(settle_and_claim(&crowd)?);
        empty.push(settle_and_claim(&nobody)?);
    }
    let ((crowded, _), (empty, _)) = (median(crowded), median(empty));
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(CLAIMS * TASKS_PER_CLAIM);
    println!(
        "settle and claim {TASKS_PER_CLAIM}, synchronous=FULL, per task, median of {ROUNDS} rounds\n  \
         beside {others} delayed, {others} of another kind and {others} of another run: {:.2} µs\n  \
         alone: {:.2} µs, ratio {:.2}",
        each(crowded),
        each(empty),
        crowded.as_secs_f64() / empty.as_secs_f64()
    );
    Ok(())
}

/// A file with the tasks that are claimed, and three times so many others.
fn prepare(path: &std::path::Path, others: u32) -> Outcome<(SqliteStore, Source)> {
    let (store, source) = (SqliteStore::open(path)?, Source::system());
    let later = source.now().plus_millis(86_400_000);
    let many = |name: &str, count: u32| TaskDraft::new(name).kind("wanted").input(json!({ "fanout": count }));
    if others > 0 {
        let strange = many("strange", others).kind("strange");
        submit(&store, &source, [strange])?;
        submit(&store, &source, [many("another run", others)])?;
        // Roots, for a delayed parent does not fan out.
        for _ in 0..others.div_ceil(50_000) {
            let delayed = |_| TaskDraft::new("delayed").kind("wanted").due_at(later);
            submit(&store, &source, (0..others.min(50_000)).map(delayed))?;
        }
    }
    let rounds = u32::try_from(ROUNDS)?;
    submit(&store, &source, [many("ours", CLAIMS * TASKS_PER_CLAIM * rounds)])?;
    fan_out_all(&store, &source)?;
    Ok((store, source))
}

fn submit(store: &SqliteStore, source: &Source, tasks: impl IntoIterator<Item = TaskDraft>) -> Outcome<()> {
    store.submit(&Submit::new(RunDraft::new().tasks(tasks).check()?, source))?;
    Ok(())
}

fn settle_and_claim((store, source): &(SqliteStore, Source)) -> Outcome<Duration> {
    let presence = store.enlist(&Enlist::new(source))?;
    let mut endings = Vec::new();
    let mut turn = Turn::default();
    time(|| {
        for _ in 0..CLAIMS {
            let claim = Claim {
                holder: presence.holder(),
                wants: vec![Want { kind: "wanted".parse()?, limit: TASKS_PER_CLAIM, turn }],
                limit: TASKS_PER_CLAIM,
                lease_ms: 30_000,
                alone: true,
                now: source.now(),
            };
            let request = Settle {
                endings: std::mem::take(&mut endings),
                claim: Some(claim),
                now: source.now(),
                jitter: source.jitter(),
            };
            let claimed = store.settle(&request)?.claimed;
            assert_eq!(claimed.tasks.len(), TASKS_PER_CLAIM as usize);
            turn = claimed.turns[0];
            let done = |task: &conductor_store::ClaimedTask| (task.fence, Ending::Succeeded { output: None });
            endings = claimed.tasks.iter().map(done).collect();
        }
        Ok(())
    })
}
