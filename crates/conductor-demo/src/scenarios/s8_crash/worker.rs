//! The process that is killed, and what it does.

use super::CHUNK;
use crate::{failure::Failure, look, stage};
use conductor_model::{RunId, State, Task, TaskId};
use conductor_store::{FanOut, Query, Report, Reports, Scope, Source, Store};
use std::{
    io::{self, Write},
    path::Path,
};

/// What the process does that is killed.
pub(crate) fn crash_worker(database: &Path, run: RunId) -> Result<(), Failure> {
    let (store, source) = stage::open(database)?;
    let (mut out, stdin) = (io::stdout(), io::stdin());
    work(&store, &source, run, || {
        writeln!(out, ".")?;
        out.flush()?;
        match stdin.read_line(&mut String::new())? {
            0 => Err(Failure::new("whoever started this worker is gone")),
            _ => Ok(()),
        }
    })
}

/// Creates and settles children in small transactions, and tells after each that it is done.
///
/// It remembers nothing: what there is to do is in the database.
pub(super) fn work(
    store: &(impl Store + Query),
    source: &Source,
    run: RunId,
    mut tell: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let parent = look::root(store, run)?.id;
    let mut settled_to = 0;
    loop {
        let step = FanOut { scope: Scope::Run(run), now: source.now(), ids: source.ids(CHUNK) };
        let created = store.fan_out(&step)?.children;
        if created > 0 {
            tell()?;
        }
        let pending = next_pending(store, parent, &mut settled_to)?;
        if !pending.is_empty() {
            // Each report names the attempt that it speaks of, so that no other's is taken for it.
            let reports =
                pending.iter().map(|child| Report::succeeded(child.id).of_attempt(child.attempt + 1));
            look::applied(store.report(&Reports::new(reports, source))?)?;
            tell()?;
        } else if created == 0 {
            return Ok(());
        }
    }
}

/// The next children that nobody has settled, from an index on; what others have settled is passed over.
fn next_pending(store: &impl Query, parent: TaskId, settled_to: &mut u32) -> Result<Vec<Task>, Failure> {
    loop {
        let mut page = store.children(parent, *settled_to, CHUNK)?.items;
        let Some(last) = page.last() else { return Ok(page) };
        *settled_to = last.index;
        page.retain(|child| child.state == State::Pending);
        if !page.is_empty() {
            return Ok(page);
        }
    }
}
