//! Sees commits of other processes through inotify: every commit appends to the write-ahead log.

use crate::WriteNotifier;
use crate::sqlite::connection::files;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

struct WalWatcher {
    wal: PathBuf,
    /// The notifications of the system for the log.
    notifications: OwnedFd,
    /// Readable after `close`.
    closed: OwnedFd,
}

/// Returns a notifier for the database at this path, if the system supports it.
pub(crate) fn watch(database: &Path) -> Option<Box<dyn WriteNotifier>> {
    let notifications = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let closed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    Some(Box::new(WalWatcher { wal: files::beside(database, "-wal"), notifications, closed }))
}

impl WalWatcher {
    fn wait_for_write(&self) -> io::Result<bool> {
        self.discard_earlier()?;
        // One notification per watch: otherwise a busy log would cost a wake-up per commit.
        inotify::add_watch(&self.notifications, &self.wal, WatchFlags::MODIFY | WatchFlags::ONESHOT)?;
        let mut events =
            [PollFd::new(&self.notifications, PollFlags::IN), PollFd::new(&self.closed, PollFlags::IN)];
        io::retry_on_intr(|| poll(&mut events, None))?;
        Ok(events[1].revents().is_empty())
    }

    /// Discards the notifications of earlier writes.
    fn discard_earlier(&self) -> io::Result<()> {
        let mut earlier = [0; 4096];
        loop {
            match io::retry_on_intr(|| io::read(&self.notifications, &mut earlier)) {
                Ok(_) => {}
                Err(io::Errno::WOULDBLOCK) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl WriteNotifier for WalWatcher {
    fn wait(&self) -> bool {
        self.wait_for_write().unwrap_or(false)
    }

    fn close(&self) {
        // A counter that is full is readable as well.
        let _ = io::write(&self.closed, &1_u64.to_ne_bytes());
    }
}
