//! Notifies of writes by other processes.

/// Notifies of writes by other processes, so that an idle engine polls less often.
///
/// Notifications may be spurious, and some may be missing. To miss no write, also poll
/// [`Query::change_token`](crate::Query::change_token) from time to time.
pub trait WriteNotifier: Send + Sync {
    /// Blocks until the next write, and returns `true`. The write may not be committed yet.
    ///
    /// Returns `false` at once after [`close`](WriteNotifier::close), and when the notifier no longer works.
    fn wait(&self) -> bool;

    /// Ends the present and all later calls of [`wait`](WriteNotifier::wait).
    fn close(&self);
}
