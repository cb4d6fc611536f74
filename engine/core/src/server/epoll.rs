//! The system calls of the loops, each behind a small safe function: epoll, eventfd, accept,
//! receive, send, options. Every descriptor made here is closed on exec and non-blocking. What to
//! do with them is `event_loop`'s business.
#![allow(unsafe_code)] // the one module of this room that talks to the kernel directly

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Events taken by one wait.
const EVENTS_MAX: usize = 512;
/// Parts of output sent by one call.
pub const PARTS_MAX: usize = 16;

/// What a registered descriptor is ready for.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The number given at registration.
    pub token: u64,
    /// Something to read, an end of stream or an error to be met by reading.
    pub is_readable: bool,
    /// Room to write.
    pub is_writable: bool,
    /// Both directions are closed, or the socket failed.
    pub is_hung_up: bool,
}

/// What to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Readability.
    pub read: bool,
    /// Writability.
    pub write: bool,
}

/// A level-triggered epoll instance.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

impl Epoll {
    /// Make an instance.
    ///
    /// # Errors
    /// The operating system's (out of descriptors).
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes flags only; the descriptor is new and owned from here.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    /// Watch `fd`, with `token` to tell it apart.
    ///
    /// # Errors
    /// The operating system's.
    pub fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Change what is watched of `fd`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Stop watching `fd`. A failure means that it was not watched.
    pub fn remove(&self, fd: RawFd) {
        drop(self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest { read: false, write: false }));
    }

    fn control(&self, op: i32, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let read = if interest.read { libc::EPOLLIN } else { 0 };
        let write = if interest.write { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: (read | write) as u32, u64: token };
        // SAFETY: `event` lives across the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd, &raw mut event) })?;
        Ok(())
    }

    /// Wait until something is ready or `timeout` is over; `ready` is replaced by what is ready.
    ///
    /// # Errors
    /// The operating system's, except interruption, which gives nothing.
    pub fn wait(&mut self, timeout: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the pointer and the count describe `self.events`, which outlives the call.
        let count = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS_MAX as i32,
                timeout_ms,
            )
        };
        let count = match check(count) {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        ready.extend(self.events[..count].iter().map(|event| {
            let has = |flags: i32| event.events & flags as u32 != 0;
            Ready {
                token: event.u64,
                is_readable: has(libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR),
                is_writable: has(libc::EPOLLOUT),
                is_hung_up: has(libc::EPOLLHUP | libc::EPOLLERR),
            }
        }));
        Ok(())
    }
}

/// A counter that makes a waiting loop look up.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Make one.
    ///
    /// # Errors
    /// The operating system's (out of descriptors).
    pub fn new() -> io::Result<Self> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: takes plain numbers; the descriptor is new and owned from here.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, flags))?) }))
    }

    /// Make it readable. A full counter is readable already, so the result says nothing.
    pub fn signal(&self) {
        let one = 1_u64;
        // SAFETY: writes the eight bytes of `one`.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Make it unreadable until the next signal.
    pub fn drain(&self) {
        let mut count = 0_u64;
        // SAFETY: reads at most the eight bytes of `count`.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// The descriptor, to watch it.
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Accept one connection; `WouldBlock` when there is none.
///
/// # Errors
/// The operating system's.
pub fn accept(listener: RawFd) -> io::Result<TcpStream> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    loop {
        // SAFETY: null address pointers are allowed (the address is not wanted); the descriptor is
        // new and owned.
        let fd =
            unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), flags) };
        match check(fd) {
            // SAFETY: a descriptor just made by the kernel, owned by nobody else.
            Ok(fd) => return Ok(unsafe { TcpStream::from_raw_fd(fd) }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receive once into the spare room of `buffer`, which must have some; gives the count, 0 at the
/// end of the stream.
///
/// # Errors
/// `WouldBlock` when nothing is there; else the connection is broken.
pub fn receive(socket: RawFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        let spare = buffer.spare_capacity_mut();
        // SAFETY: pointer and length describe the spare room of `buffer`, which outlives the call.
        let result = unsafe { libc::recv(socket, spare.as_mut_ptr().cast(), spare.len(), 0) };
        match check_size(result) {
            Ok(count) => {
                // SAFETY: the kernel has just initialised `count` bytes after the old length,
                // within the capacity.
                unsafe { buffer.set_len(buffer.len() + count) };
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Send `parts` in order, as much as the socket takes. Never raises SIGPIPE.
///
/// # Errors
/// `WouldBlock` when the socket is full; else the connection is broken.
pub fn send(socket: RawFd, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let result = if let [one] = parts {
            // SAFETY: pointer and length describe `one`, which outlives the call.
            unsafe { libc::send(socket, one.as_ptr().cast(), one.len(), libc::MSG_NOSIGNAL) }
        } else {
            // SAFETY: an all-zero msghdr is a valid empty one.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            // IoSlice has the layout of iovec on Unix (documented), and sendmsg does not write
            // through it.
            message.msg_iov = parts.as_ptr().cast_mut().cast();
            message.msg_iovlen = parts.len();
            // SAFETY: the message names `parts` only, which outlive the call.
            unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) }
        };
        match check_size(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Set the queue length of a listener that already listens.
///
/// # Errors
/// The operating system's.
pub fn set_backlog(listener: RawFd, backlog: i32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    check(unsafe { libc::listen(listener, backlog) }).map(|_| ())
}

/// Probe an idle peer after `seconds`, then three times at a third of it, as Redis does; 0 turns
/// probing off.
///
/// # Errors
/// The operating system's.
pub fn set_keepalive(socket: RawFd, seconds: u64) -> io::Result<()> {
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, i32::from(seconds > 0))?;
    if seconds == 0 {
        return Ok(());
    }
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, (seconds / 3).max(1))?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3)
}

fn set_option(socket: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which outlives the call.
    check(unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), length) })
        .map(|_| ())
}
