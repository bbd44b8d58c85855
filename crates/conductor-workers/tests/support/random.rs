//! Random numbers whose seed the test prints.

use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns a generator seeded by the clock, and prints the seed.
pub(crate) fn random_from_clock() -> StdRng {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos();
    let seed = u64::try_from(nanos & u128::from(u64::MAX)).expect("a number of 64 bits");
    println!("seed: {seed}");
    StdRng::seed_from_u64(seed)
}
