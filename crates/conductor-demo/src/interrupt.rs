//! Ctrl-C. The library leaves signals alone: what they mean is for the program to say, and this one says it here.

use crate::failure::Failure;
use conductor_workers::{Engine, StopHandle};
use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The exit code of a program that Ctrl-C ended, by custom: 128 and the number of the signal.
pub(crate) const EXIT: u8 = 130;

/// Listens to Ctrl-C. The first one stops the engine gracefully: what runs finishes, the rest is handed back, and the demo
/// ends. The second one stops it at once, and the third one waits for nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    times: u32,
    /// The engine that works at the moment.
    engine: Option<StopHandle>,
}

impl Interrupt {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let interrupt = Self::default();
        let listener = interrupt.clone();
        // It is called in a thread of its own, and so may lock.
        ctrlc::set_handler(move || listener.hear())?;
        Ok(interrupt)
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn came(&self) -> bool {
        self.lock().times > 0
    }

    /// Holds unless Ctrl-C was pressed: for whatever takes long without an engine.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.came() { Err(Failure::new("stopped by Ctrl-C")) } else { Ok(()) }
    }

    /// From now on Ctrl-C stops this engine; it may have been pressed already.
    pub(crate) fn stops(&self, engine: &Engine) {
        let stop_handle = engine.stop_handle();
        let mut state = self.lock();
        if state.times > 0 {
            stop_handle.stop();
        }
        state.engine = Some(stop_handle);
    }

    fn hear(&self) {
        let mut state = self.lock();
        state.times += 1;
        match &state.engine {
            // Asked for the second time, it stops at once.
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
    use conductor_model::{RunDraft, TaskDraft};
    use conductor_store::SqliteStore;
    use conductor_workers::{Context, RunError};
    use std::{sync::mpsc, time::Duration};

    /// An engine with a task that takes an hour, unless it is told to give up.
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
    fn the_second_time_what_runs_is_handed_back() {
        let (engine, begun) = engine();
        let interrupt = Interrupt::default();
        interrupt.stops(&engine);
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("slow"))).unwrap();
        engine.start();
        begun.recv().unwrap();
        assert!(interrupt.check().is_ok());
        interrupt.hear();
        assert!(interrupt.came() && interrupt.check().is_err());
        interrupt.hear();
        assert!(matches!(engine.run_until_settled(run), Err(RunError::Stopped)));
        assert_eq!(engine.store().run(run).unwrap().unwrap().state_counts.pending, 1);
    }

    #[test]
    fn an_engine_that_comes_too_late_does_nothing() {
        let (engine, _) = engine();
        let interrupt = Interrupt::default();
        interrupt.hear();
        interrupt.stops(&engine);
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("slow"))).unwrap();
        assert!(matches!(engine.run_until_settled(run), Err(RunError::Stopped)));
    }
}
