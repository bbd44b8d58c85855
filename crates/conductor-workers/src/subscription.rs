//! Follows what happens: every event, in commit order.
//!
//! Nothing is buffered for a reader but the page that it reads: its place is a number, and the events are in the store. So a
//! slow reader holds nobody up and loses nothing, and one that was away goes on where it was.
//!
//! No event is skipped, because numbers become visible in their order: a store numbers events under the lock that all
//! writers wait for (SQLite: AUTOINCREMENT inside `BEGIN IMMEDIATE`), so a transaction whose events have larger numbers
//! begins after the one with the smaller numbers has been committed. A reader that sees a number sees all before it.

use crate::POLL_INTERVAL;
use crate::event_signal::EventSignal;
use conductor_model::{Event, RunId};
use conductor_store::{EventFilter, Query, StoreError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many events are read at once, and so held in memory at most.
const EVENTS_PER_PAGE: u32 = 250;

/// Every event after a place, in the order of `seq`: those that are there already, and those that come, from whichever
/// engine or process they come. It only reads.
///
/// Made by [`Engine::subscribe`](crate::Engine::subscribe), or without an engine:
///
/// ```
/// use conductor_model::{RunDraft, TaskDraft};
/// use conductor_store::{Environment, SqliteStore, Store, Submit};
/// use conductor_workers::Subscription;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let store = Arc::new(SqliteStore::open_in_memory()?);
/// let mut events = Subscription::new(Arc::clone(&store), 0);
/// assert!(events.next_timeout(Duration::ZERO)?.is_none());
///
/// let run = RunDraft::new().task(TaskDraft::new("T")).validate()?;
/// let run = store.submit(&Submit::new(run, &Environment::system()))?.run;
/// let event = events.next_timeout(Duration::from_secs(10))?.expect("the submission");
/// assert_eq!((event.run, event.body.name()), (run, "run.created"));
///
/// // A program that remembers this goes on behind it, whatever happens meanwhile.
/// assert_eq!(events.position(), event.seq);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Subscription {
    store: Arc<dyn Query>,
    /// Rung by the engine that made it.
    events: Arc<EventSignal>,
    run: Option<RunId>,
    position: u64,
    page: VecDeque<Event>,
}

impl Subscription {
    /// The events of a store after that `seq`; 0 from the first one on.
    ///
    /// What is written is noticed within 50 ms; a subscription of an engine notices what that engine does at once.
    pub fn new(store: impl Query + 'static, after: u64) -> Self {
        Self::of(Arc::new(store), Arc::default(), after)
    }

    pub(crate) fn of(store: Arc<dyn Query>, events: Arc<EventSignal>, after: u64) -> Self {
        Self { store, events, run: None, position: after, page: VecDeque::new() }
    }

    /// Only the events of this run. It reads nothing of the others.
    pub fn for_run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self.page.clear();
        self
    }

    /// The `seq` of the last event that was given, or where it began: where to go on after a restart.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next event, as soon as there is one; `None` when there is none for so long. It blocks the thread.
    ///
    /// # Errors
    /// [`StoreError`], when the store cannot be read; nothing is lost by asking again. At an event that another program made
    /// unreadable it stops: nothing is left out in silence. Whoever wants to go on makes a new one behind it.
    pub fn next_timeout(&mut self, patience: Duration) -> Result<Option<Event>, StoreError> {
        if self.page.is_empty() && !self.wait(patience)? {
            return Ok(None);
        }
        let event = self.page.pop_front();
        if let Some(event) = &event {
            self.position = event.seq;
        }
        Ok(event)
    }

    /// The events one after the other, until there is none for so long.
    ///
    /// ```
    /// # let mut events = conductor_workers::Subscription::new(conductor_store::SqliteStore::open_in_memory()?, 0);
    /// for event in events.iter_timeout(std::time::Duration::from_millis(10)) {
    ///     println!("{} {}", event?.seq, "happened");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter_timeout(&mut self, patience: Duration) -> impl Iterator<Item = Result<Event, StoreError>> {
        std::iter::from_fn(move || self.next_timeout(patience).transpose())
    }

    /// Waits until there is a page with something on it; whether there is.
    fn wait(&mut self, patience: Duration) -> Result<bool, StoreError> {
        let began = Instant::now();
        loop {
            // Whoever is behind asks for nothing but events: the pulse may have to wait for a commit.
            if self.read()? {
                return Ok(true);
            }
            // Both before the next look: what is written from here on changes one of them.
            let (rings, change_token) = (self.events.rings(), self.store.change_token()?);
            if self.read()? {
                return Ok(true);
            }
            loop {
                let left = patience.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Ok(false);
                }
                if self.events.wait(rings, left.min(POLL_INTERVAL))
                    || self.store.change_token()? != change_token
                {
                    break;
                }
            }
        }
    }

    /// Reads the next page; whether something is on it.
    fn read(&mut self) -> Result<bool, StoreError> {
        let filter = EventFilter { run: self.run, ..EventFilter::default() };
        self.page = self.store.events(filter, self.position, EVENTS_PER_PAGE)?.items.into();
        Ok(!self.page.is_empty())
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("run", &self.run)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
