//! Sees commits of other processes through inotify: every commit appends to the write-ahead log.

use super::open::place;
use crate::WriteNotifier;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

struct WalLookout {
    wal: PathBuf,
    /// The notifications of the system for the log.
    told: OwnedFd,
    /// Readable from the end on.
    over: OwnedFd,
}

/// A lookout for the database at this path, if the system gives one.
pub(super) fn of(database: &Path) -> Option<Box<dyn WriteNotifier>> {
    let told = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let over = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    Some(Box::new(WalLookout { wal: place::beside(database, "-wal"), told, over }))
}

impl WalLookout {
    fn wait_for_write(&self) -> io::Result<bool> {
        self.forget_earlier()?;
        // One notification per watch: otherwise a busy log would cost a wake-up per commit.
        inotify::add_watch(&self.told, &self.wal, WatchFlags::MODIFY | WatchFlags::ONESHOT)?;
        let mut both = [PollFd::new(&self.told, PollFlags::IN), PollFd::new(&self.over, PollFlags::IN)];
        io::retry_on_intr(|| poll(&mut both, None))?;
        Ok(both[1].revents().is_empty())
    }

    /// Discards the notifications of earlier writes.
    fn forget_earlier(&self) -> io::Result<()> {
        let mut earlier = [0; 4096];
        loop {
            match io::retry_on_intr(|| io::read(&self.told, &mut earlier)) {
                Ok(_) => {}
                Err(io::Errno::WOULDBLOCK) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl WriteNotifier for WalLookout {
    fn wait(&self) -> bool {
        self.wait_for_write().unwrap_or(false)
    }

    fn close(&self) {
        // A counter that is full is readable as well.
        let _ = io::write(&self.over, &1_u64.to_ne_bytes());
    }
}
