//! Seeing at once that another process wrote.

/// Sees the writes of other processes as they happen, so that whoever waits for them need not ask all the time.
///
/// It may see writes that were none, and miss some: whoever must not miss any asks [`Query::change_token`](crate::Query::change_token)
/// as well, only more rarely.
pub trait WriteNotifier: Send + Sync {
    /// Waits for the next write; whether there is one. It may be on its way, and not committed yet.
    ///
    /// `false`, and at once from then on, after [`end`](Lookout::end), and when nothing can be seen any more.
    fn wait(&self) -> bool;

    /// Ends the waiting, of now and later.
    fn close(&self);
}
