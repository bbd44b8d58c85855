//! A gate that handlers wait at.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

/// Creates a closed gate, and the side that handlers wait at.
pub(crate) fn new_gate() -> (Gate, Waiter) {
    let (sender, receiver) = mpsc::channel();
    (Gate(sender), Waiter(Arc::new(Mutex::new(receiver))))
}

/// The side that opens. Dropping it opens the gate permanently, also when a test fails.
pub(crate) struct Gate(Sender<()>);

impl Gate {
    /// Lets one waiting handler continue.
    pub(crate) fn let_one_through(&self) {
        self.0.send(()).unwrap();
    }

    /// Lets all handlers continue, now and later.
    pub(crate) fn open(self) {
        drop(self);
    }
}

/// The side that waits. Clones wait at the same gate.
#[derive(Clone)]
pub(crate) struct Waiter(Arc<Mutex<Receiver<()>>>);

impl Waiter {
    /// Blocks until the gate lets this call through.
    pub(crate) fn wait(&self) {
        // An error means that the gate is open permanently.
        let _ = self.0.lock().unwrap().recv();
    }
}
