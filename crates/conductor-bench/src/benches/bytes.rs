//! The bytes of a finished task in the file, with all its events.

use super::{drain, roots};
use crate::measure::Bench;
use crate::outcome::Outcome;
use conductor_store::Synchronous;

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let (n, sync) = (bench.size(100_000), Synchronous::Full);
    for (name, workload) in [
        ("bytes/no-op child", drain::NOOP),
        ("bytes/item and output", drain::OF_ITEMS),
        ("bytes/root with a name", roots::NAMED),
    ] {
        let ours = |workspace: &_| (workload.ours)(workspace, n);
        let both = bench.both(1, sync, ours, |workspace| (workload.baseline)(workspace, n))?;
        bench.print(&both.bytes_record(name, n, sync))?;
    }
    Ok(())
}
