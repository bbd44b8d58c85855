//! Time, ids and randomness, as parameters.

use conductor_model::{IdBlock, Jitter, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock.
pub trait Clock: Send + Sync {
    /// Returns the present time.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(millis).unwrap_or(Timestamp::MAX)
    }
}

/// A timestamp is a clock that does not move.
impl Clock for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }
}

/// The source of time, ids and randomness of a process.
///
/// A process creates one and passes it to the code that creates requests. Tests create one from their own clock and seed,
/// so that each test run is identical.
pub struct Environment {
    clock: Box<dyn Clock>,
    ids: Mutex<Ids>,
}

struct Ids {
    random: StdRng,
    /// The last id that was returned. Every later one is greater, even if the clock goes back.
    last: u128,
}

impl Environment {
    /// Creates an environment with the clock of the machine and randomness of the operating system.
    pub fn system() -> Self {
        let seed = rand::make_rng::<StdRng>();
        Self { clock: Box::new(SystemClock), ids: Mutex::new(Ids { random: seed, last: 0 }) }
    }

    /// Creates an environment with a given clock and a seed.
    pub fn seeded(clock: impl Clock + 'static, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { clock: Box::new(clock), ids: Mutex::new(Ids { random, last: 0 }) }
    }

    /// Returns the present time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the next `count` ids: consecutive ULIDs, greater than all earlier ones.
    ///
    /// # Panics
    /// At the end of the last millisecond that a ULID can hold, in the year 10889.
    pub fn ids(&self, count: u32) -> IdBlock {
        const RANDOM_BITS: u32 = 80;
        let millis = u128::try_from(self.now().as_millis()).unwrap_or(0);
        let mut ids = self.lock();
        let random = u128::from(ids.random.next_u64()) << 16 | u128::from(ids.random.next_u32() >> 16);
        let fresh = millis << RANDOM_BITS | random;
        // In the same millisecond, or after the clock went back, continue from the last one.
        let first = fresh.max(ids.last + 1);
        ids.last = first + u128::from(count);
        IdBlock::new(first, count).expect("a clock shows years up to 9999, a ULID holds years up to 10889")
    }

    /// Returns the random number for the delays of retries in one transaction.
    pub fn jitter(&self) -> Jitter {
        Jitter(self.lock().random.next_u64())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ids> {
        // No code panics while it has the lock, and a skipped id does no harm.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("now", &self.now()).finish_non_exhaustive()
    }
}
