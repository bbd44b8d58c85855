//! The workers of a simulated engine.

use super::behavior::{Behavior, Outcome};
use super::clock::VirtualClock;
use crate::engine::scheduler::{LeaseValidity, Scheduler, Workers};
use crate::handler::attempt::Attempt;
use crate::handler::batch::Batch;
use crate::handler::call::Call;
use crate::handler::context::{Context, ContextShared};
use crate::handler::running::RunningAttempts;
use conductor_model::TaskId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The handler of a kind in a simulation.
pub(super) enum SimHandler {
    /// A function of the user, called when its attempt starts.
    Function(Call),
    Script(Box<dyn Fn(&Context) -> Behavior>),
}

/// The parts of a simulation that all its engines share.
pub(super) struct SimWorld<'a> {
    pub(super) clock: &'a VirtualClock,
    pub(super) context: &'a Arc<ContextShared>,
    /// One handler per kind, in the order of the kinds.
    pub(super) handlers: &'a [SimHandler],
}

pub(super) struct SimWorkers {
    lease_validity: LeaseValidity,
    /// The batches with tasks that have not started.
    queue: VecDeque<Arc<Batch>>,
    running: Vec<Running>,
    /// What the scheduler sees of it.
    slots: Arc<RunningAttempts>,
    free_slots: Vec<usize>,
}

/// A started attempt.
pub(super) struct Running {
    pub(super) attempt: Arc<Attempt>,
    /// When `outcome` happens.
    pub(super) ends_at: Duration,
    pub(super) outcome: Outcome,
    /// The engine does not wait for it any longer.
    abandoned: bool,
}

impl Running {
    pub(super) fn new(attempt: Arc<Attempt>, ends_at: Duration, outcome: Outcome) -> Self {
        Self { attempt, ends_at, outcome, abandoned: false }
    }

    /// Returns whether nothing ends the attempt.
    fn hangs(&self) -> bool {
        self.ends_at == Duration::MAX && self.attempt.deadline().is_none()
    }
}

impl SimWorkers {
    pub(super) fn new(scheduler: &Scheduler) -> Self {
        let slots = scheduler.running();
        Self {
            lease_validity: scheduler.lease_validity(),
            queue: VecDeque::new(),
            running: Vec::new(),
            free_slots: slots.free_slots(),
            slots,
        }
    }

    /// Returns when the first attempt ends.
    pub(super) fn next_end(&self) -> Option<Duration> {
        self.running.iter().map(|running| running.ends_at).min()
    }

    /// Takes the attempts that have ended.
    pub(super) fn take_ended(&mut self, now: Duration) -> Vec<Running> {
        let running = std::mem::take(&mut self.running);
        let (ended, running) = running.into_iter().partition(|running| running.ends_at <= now);
        self.running = running;
        for Running { attempt, .. } in &ended {
            self.free(attempt);
        }
        ended
    }

    /// Frees the slot of an attempt, unless that was done.
    fn free(&mut self, attempt: &Attempt) {
        if attempt.finish() {
            self.slots.clear(attempt.slot);
            self.free_slots.push(attempt.slot);
        }
    }

    pub(super) fn push_running(&mut self, running: Running) {
        self.running.push(running);
    }

    pub(super) fn enqueue(&mut self, batches: Vec<Arc<Batch>>) {
        self.queue.extend(batches);
    }

    /// Returns whether each running attempt hangs without a timeout.
    pub(super) fn all_hang(&self) -> bool {
        self.running.iter().all(|running| running.abandoned || running.hangs())
    }

    /// Returns the tasks whose handlers hang without a timeout.
    pub(super) fn hanging(&self) -> impl Iterator<Item = TaskId> {
        let hanging = self.running.iter().filter(|running| !running.abandoned && running.hangs());
        hanging.map(|running| running.attempt.fence().task)
    }

    /// Returns whether another attempt could start.
    pub(super) fn has_room(&self) -> bool {
        !self.free_slots.is_empty()
    }

    /// Starts as many tasks as workers are free.
    fn start(&mut self, now: Duration, world: &SimWorld<'_>) {
        while let Some(slot) = self.free_slots.last().copied()
            && let Some(batch) = self.queue.front()
            && self.lease_validity.holds(now)
        {
            let Some(bit) = batch.take_waiting() else {
                self.queue.pop_front();
                continue;
            };
            let attempt = Attempt::start(Arc::clone(batch), bit, slot, now);
            self.free_slots.pop();
            self.slots.start(&attempt);
            let Behavior { duration, outcome } = call(&attempt, world);
            let ends_at =
                if outcome == Outcome::Hangs { Duration::MAX } else { now.saturating_add(duration) };
            self.running.push(Running::new(attempt, ends_at, outcome));
        }
    }
}

/// Calls a handler, and returns its behavior.
fn call(attempt: &Arc<Attempt>, world: &SimWorld<'_>) -> Behavior {
    let context = Context { attempt: Arc::clone(attempt), shared: Arc::clone(world.context) };
    match &world.handlers[attempt.batch.kind] {
        SimHandler::Script(script) => script(&context),
        SimHandler::Function(Call::Sync(handler)) => {
            let outcome = Outcome::Returns(handler(context));
            Behavior { duration: world.clock.take_slept(), outcome }
        }
        #[cfg(feature = "tokio")]
        SimHandler::Function(Call::Async(_)) => Behavior::hang(),
    }
}

/// The workers during a turn of their engine.
pub(super) struct WorkersInTurn<'a> {
    pub(super) workers: &'a mut SimWorkers,
    pub(super) now: Duration,
    pub(super) world: &'a SimWorld<'a>,
}

impl Workers for WorkersInTurn<'_> {
    fn lost(&self) -> u32 {
        0
    }

    fn abandon(&mut self, attempts: Vec<Arc<Attempt>>) {
        for attempt in attempts {
            self.workers.free(&attempt);
            let mut running = self.workers.running.iter_mut();
            if let Some(running) = running.find(|running| Arc::ptr_eq(&running.attempt, &attempt)) {
                running.abandoned = true;
            }
        }
    }

    fn run(&mut self, batches: Vec<Arc<Batch>>) {
        self.workers.enqueue(batches);
        self.workers.start(self.now, self.world);
    }
}
