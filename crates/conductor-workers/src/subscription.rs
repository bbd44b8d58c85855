//! Subscriptions: all events, in the order of their commits.
//!
//! The events are in the store, and the position of a subscription is a number. Only the page that it reads is in memory.
//! So a slow subscription does not block any writer and loses no event, and a program can continue after a restart.
//!
//! No event is skipped, because sequence numbers become visible in their order. A store assigns them under the write lock
//! (SQLite: AUTOINCREMENT inside `BEGIN IMMEDIATE`). So a transaction with larger numbers begins after the transaction
//! with smaller numbers has been committed. A reader that sees a number can see all smaller ones.

use crate::event_signal::EventSignal;
use crate::limits::POLL_INTERVAL;
use conductor_model::{Event, RunId};
use conductor_store::{EventFilter, Query, StoreError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many events are read at once, and are in memory at most.
const EVENTS_PER_PAGE: u32 = 250;

/// All events after a position, in the order of `seq`: first the stored events, then new events of all engines and
/// processes. A subscription only reads.
///
/// It is created by [`Engine::subscribe`](crate::Engine::subscribe), or without an engine:
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
/// // A program that stores this position can continue after it.
/// assert_eq!(events.position(), event.seq);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Subscription {
    store: Arc<dyn Query>,
    /// Notified by the engine that created it.
    signal: Arc<EventSignal>,
    run: Option<RunId>,
    position: u64,
    page: VecDeque<Event>,
}

impl Subscription {
    /// Subscribes to the events of a store after the sequence number `cursor`; 0 begins with the first event.
    ///
    /// The subscription receives new events within 50 ms. A subscription of an engine receives that engine's events at once.
    pub fn new(store: impl Query + 'static, cursor: u64) -> Self {
        Self::with_signal(Arc::new(store), Arc::default(), cursor)
    }

    pub(crate) fn with_signal(store: Arc<dyn Query>, signal: Arc<EventSignal>, cursor: u64) -> Self {
        Self { store, signal, run: None, position: cursor, page: VecDeque::new() }
    }

    /// Restricts the subscription to the events of one run. It does not read other events.
    pub fn for_run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self.page.clear();
        self
    }

    /// Returns the `seq` of the last returned event, or the position at which the subscription began. Pass it as `cursor` to
    /// continue after a restart.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the next event; `None` if there is none before the timeout. Blocks the thread.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read. The call can be repeated, and no event is lost. If another program has
    /// corrupted an event, every call fails. To continue, create a subscription after that event.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Event>, StoreError> {
        if self.page.is_empty() && !self.wait(timeout)? {
            return Ok(None);
        }
        let event = self.page.pop_front();
        if let Some(event) = &event {
            self.position = event.seq;
        }
        Ok(event)
    }

    /// Returns an iterator over the next events. It ends when there is none for the duration of the timeout.
    ///
    /// ```
    /// # let mut events = conductor_workers::Subscription::new(conductor_store::SqliteStore::open_in_memory()?, 0);
    /// for event in events.iter_timeout(std::time::Duration::from_millis(10)) {
    ///     println!("{} {}", event?.seq, "happened");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter_timeout(&mut self, timeout: Duration) -> impl Iterator<Item = Result<Event, StoreError>> {
        std::iter::from_fn(move || self.next_timeout(timeout).transpose())
    }

    /// Waits until the page has an event. Returns `false` after the timeout.
    fn wait(&mut self, timeout: Duration) -> Result<bool, StoreError> {
        let began = Instant::now();
        loop {
            // First without the change token: a subscription that is behind should not wait for a commit.
            if self.read()? {
                return Ok(true);
            }
            // Before the next read: a later write changes one of them.
            let (count, change_token) = (self.signal.count(), self.store.change_token()?);
            if self.read()? {
                return Ok(true);
            }
            loop {
                let left = timeout.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Ok(false);
                }
                if self.signal.wait(count, left.min(POLL_INTERVAL))
                    || self.store.change_token()? != change_token
                {
                    break;
                }
            }
        }
    }

    /// Reads the next page. Returns whether it has an event.
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
