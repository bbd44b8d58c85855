//! Handles Ctrl-C. The library installs no signal handlers; each program decides what a signal does.

use crate::failure::Failure;
use origin_conductor::{Engine, StopHandle};
use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The exit code after Ctrl-C: 128 plus the number of the signal.
pub(crate) const EXIT: u8 = 130;

/// The Ctrl-C handler. The first signal stops the engine gracefully: running handlers finish, other claims are released,
/// and the demo ends. The second signal stops the engine at once. The third one ends the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    times: u32,
    /// The engine that works at the moment.
    engine: Option<StopHandle>,
}

impl Interrupt {
    /// Installs the handler.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let interrupt = Self::default();
        let listener = interrupt.clone();
        // The handler runs in a thread of its own, so it may lock.
        ctrlc::set_handler(move || listener.on_signal())?;
        Ok(interrupt)
    }

    /// Returns whether Ctrl-C was pressed.
    pub(crate) fn was_pressed(&self) -> bool {
        self.lock().times > 0
    }

    /// Fails if Ctrl-C was pressed. Long work without an engine calls this.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.was_pressed() { Err(Failure::new("stopped by Ctrl-C")) } else { Ok(()) }
    }

    /// Lets Ctrl-C stop this engine, also if it was pressed before.
    pub(crate) fn stops(&self, engine: &Engine) {
        let stop_handle = engine.stop_handle();
        let mut state = self.lock();
        if state.times > 0 {
            stop_handle.stop();
        }
        state.engine = Some(stop_handle);
    }

    fn on_signal(&self) {
        let mut state = self.lock();
        state.times += 1;
        match &state.engine {
            // The second request stops the engine at once.
            Some(engine) if state.times <= 2 => engine.stop(),
            _ if state.times > 1 => process::exit(EXIT.into()),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use origin_conductor::{Context, RunDraft, RunError, SqliteStore, TaskDraft};
    use std::{sync::mpsc, time::Duration};

    /// Returns an engine with a task that takes an hour, unless it is cancelled.
    fn engine() -> (Engine, mpsc::Receiver<()>) {
        let (says, hears) = mpsc::channel();
        let slow = move |(): (), context: Context| {
            says.send(())?;
            let _ = context.sleep(Duration::from_hours(1));
            Ok(())
        };
        let store = SqliteStore::open_in_memory().unwrap();
        (Engine::builder(store).handler("slow", slow).build().unwrap(), hears)
    }

    #[test]
    fn second_signal_releases_running_tasks() {
        let (engine, begun) = engine();
        let interrupt = Interrupt::default();
        interrupt.stops(&engine);
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("slow"))).unwrap();
        engine.start();
        begun.recv().unwrap();
        assert!(interrupt.check().is_ok());
        interrupt.on_signal();
        assert!(interrupt.was_pressed() && interrupt.check().is_err());
        interrupt.on_signal();
        assert!(matches!(engine.run_until_settled(run), Err(RunError::Stopped)));
        assert_eq!(engine.store().run(run).unwrap().unwrap().state_counts.pending, 1);
    }

    #[test]
    fn engine_started_after_signal_does_nothing() {
        let (engine, _) = engine();
        let interrupt = Interrupt::default();
        interrupt.on_signal();
        interrupt.stops(&engine);
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("slow"))).unwrap();
        assert!(matches!(engine.run_until_settled(run), Err(RunError::Stopped)));
    }
}
