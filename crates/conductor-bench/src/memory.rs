//! Memory, processor time and writes of this process, on systems that report them.

use std::fs;

/// Resets the peak memory.
pub(crate) fn reset_peak() {
    // Where this fails, the peak is that of the whole process.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Returns the peak memory since the reset, in MB.
pub(crate) fn peak_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// Returns the processor time of this process, in seconds.
pub(crate) fn cpu_seconds() -> Option<f64> {
    // In nanoseconds; `/proc/self/stat` counts in hundredths of a second.
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let spent = |thread: fs::DirEntry| -> Option<f64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some(threads.filter_map(Result::ok).filter_map(spent).sum::<f64>() / 1e9)
}

/// Returns the number of write calls of this process.
pub(crate) fn writes() -> Option<f64> {
    let counts = fs::read_to_string("/proc/self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("syscw: "))?.parse().ok()
}
