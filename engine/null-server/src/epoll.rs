//! Waiting for readable descriptors. The only unsafe code of the null server: three calls of the
//! kernel that the standard library has no words for.
#![allow(unsafe_code)] // epoll_create1, epoll_ctl, epoll_wait

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const EVENTS_MAX: usize = 64;

/// A level-triggered epoll set of descriptors to read from.
pub struct Epoll {
    set: OwnedFd,
}

impl Epoll {
    /// Make an empty set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let made = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else has.
        Ok(Self { set: unsafe { OwnedFd::from_raw_fd(made) } })
    }

    /// Report `descriptor` from now on whenever it can be read.
    pub fn watch(&self, descriptor: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: descriptor as u64 };
        let (set, add) = (self.set.as_raw_fd(), libc::EPOLL_CTL_ADD);
        // SAFETY: `event` lives through the call, which copies it.
        let done = unsafe { libc::epoll_ctl(set, add, descriptor, &raw mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Wait without end; give the descriptors that can be read.
    pub fn wait(&self) -> io::Result<impl Iterator<Item = RawFd> + use<>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        // SAFETY: the kernel writes at most EVENTS_MAX events into the array of that length.
        let count = unsafe {
            libc::epoll_wait(self.set.as_raw_fd(), events.as_mut_ptr(), EVENTS_MAX as i32, -1)
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let ready = usize::try_from(count).unwrap_or(0);
        Ok(events.into_iter().take(ready).map(|event| event.u64 as RawFd))
    }
}
