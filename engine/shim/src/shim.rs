//! What the shim knows, and the judgement about one call. Made once, before `main`, and never freed.
//! The journal has a line for each call below the folder, whatever the file's own name is:
//!
//! ```text
//! KIND ERRNO SIZE PATH     ERRNO 0: it succeeded. SIZE: a file's length, after a write or truncate,
//!                          before an fsync (so that much is on the disk). PATH: of a rename or link
//!                          the new name, with " <- " and the old one behind it
//! ```
//! A line is there before the process learns of the call's end. What a power cut leaves of a file
//! that only grows is so the largest SIZE of its successful fsyncs.

#![allow(unsafe_code)] // bare system calls, memory shared with children, errno

use std::ffi::CStr;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::orders::{Fault, Kind, NAMES, Orders, parse};
use crate::place::Place;

const COUNTERS: usize = NAMES.len();
const EXIT_USAGE: libc::c_int = 97;
const LINE_BYTES_MAX: usize = 9000;

/// Orders and counters.
pub struct Shim {
    orders: Orders,
    counts: &'static [AtomicU64; COUNTERS],
}

static SHIM: AtomicPtr<Shim> = AtomicPtr::new(std::ptr::null_mut());

/// Runs when the library is loaded, with one thread.
extern "C" fn begin() {
    let Ok(text) = std::env::var("PERDURE_SHIM") else { return };
    match parse(&text).and_then(Shim::new) {
        Ok(shim) => SHIM.store(Box::into_raw(Box::new(shim)), Ordering::Release),
        Err(reason) => {
            eprintln!("PERDURE_SHIM: {reason}");
            // SAFETY: ends the process.
            unsafe { libc::_exit(EXIT_USAGE) }
        }
    }
}

#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

/// What is to become of a call that goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make it.
    Make,
    /// Make it with half of the bytes.
    Short,
    /// Do not make it; errno is set.
    Failed,
}

/// Judge a call about `place`; gives what is needed to note its end.
pub fn judge(kind: Kind, place: impl FnOnce() -> Place) -> (Verdict, Option<Call>) {
    // SAFETY: null, or leaked by `begin`.
    let Some(shim) = (unsafe { SHIM.load(Ordering::Acquire).as_ref() }) else {
        return (Verdict::Make, None);
    };
    let place = place();
    let errno = errno();
    let is_ours = place.is_below(&shim.orders.below);
    if !is_ours || !shim.orders.from.as_deref().is_none_or(is_there) {
        set_errno(errno);
        return (Verdict::Make, None);
    }
    let call = Call { shim, kind, place };
    if !call.place.is_named(&shim.orders.named) {
        set_errno(errno);
        return (Verdict::Make, Some(call));
    }
    let count = |kind: Kind| shim.counts[kind as usize].fetch_add(1, Ordering::SeqCst) + 1;
    let (number, total) = (count(kind), count(Kind::Any));
    let order = shim.orders.orders.iter().find(|order| {
        let number = match order.kind {
            Kind::Any => total,
            one if one == kind => number,
            _ => return false,
        };
        (order.first..=order.last).contains(&number)
            && order.only_while.as_deref().is_none_or(is_there)
    });
    set_errno(errno);
    match order.map(|order| &order.fault) {
        None => (Verdict::Make, Some(call)),
        Some(Fault::Short) => (Verdict::Short, Some(call)),
        Some(Fault::Fail(errno)) => {
            call.note(*errno, 0, None);
            set_errno(*errno);
            (Verdict::Failed, None)
        }
        Some(Fault::SlowMs(ms)) => {
            sleep_ms(*ms);
            (Verdict::Make, Some(call))
        }
        Some(Fault::Stop(file)) => {
            stop(file);
            (Verdict::Make, Some(call))
        }
        Some(Fault::Kill) => {
            // SAFETY: plain integers.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            (Verdict::Make, Some(call))
        }
    }
}

/// A call that is being made.
pub struct Call {
    shim: &'static Shim,
    kind: Kind,
    place: Place,
}

impl Call {
    /// Note its end; errno stays as it is. `old` is the other name of a rename or link.
    pub fn end(&self, is_done: bool, size: u64, old: Option<&CStr>) {
        let errno = errno();
        self.note(if is_done { 0 } else { errno }, size, old);
        set_errno(errno);
    }

    fn note(&self, errno: libc::c_int, size: u64, old: Option<&CStr>) {
        let Some(journal) = &self.shim.orders.journal else { return };
        let mut line = Line { bytes: [0; LINE_BYTES_MAX], length: 0 };
        let _ = write!(line, "{} {errno} {size} ", NAMES[self.kind as usize]);
        line.push(self.place.bytes());
        if let Some(old) = old {
            line.push(b" <- ");
            line.push(old.to_bytes());
        }
        line.push(b"\n");
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        let (name, here) = (journal.as_ptr(), libc::AT_FDCWD);
        // SAFETY: a C string and bytes that live through the calls. Opened each time: a fork child
        // has closed all that is not its own.
        unsafe {
            let fd = libc::syscall(libc::SYS_openat, here, name, flags, 0o600);
            libc::syscall(libc::SYS_write, fd, line.bytes.as_ptr(), line.length);
            libc::syscall(libc::SYS_close, fd);
        }
    }
}

/// A line of text on the stack; what does not fit is cut off.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    length: usize,
}

impl Line {
    fn push(&mut self, more: &[u8]) {
        let length = more.len().min(LINE_BYTES_MAX - self.length);
        self.bytes[self.length..self.length + length].copy_from_slice(&more[..length]);
        self.length += length;
    }
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl Shim {
    fn new(orders: Orders) -> Result<Self, String> {
        let bytes = std::mem::size_of::<[AtomicU64; COUNTERS]>();
        let (mut fd, mut flags) = (-1, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        if let Some(file) = &orders.counts {
            flags = libc::MAP_SHARED;
            let how = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC;
            // SAFETY: a C string that lives through the calls; mmap refuses what they leave.
            unsafe {
                let opened =
                    libc::syscall(libc::SYS_openat, libc::AT_FDCWD, file.as_ptr(), how, 0o600);
                libc::syscall(libc::SYS_ftruncate, opened, bytes);
                fd = i32::try_from(opened).unwrap_or(-1);
            }
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of that size, zeros or whole counters, never unmapped.
        let counts = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, fd, 0) };
        if counts == libc::MAP_FAILED {
            return Err("the counters' file cannot be mapped".to_owned());
        }
        // SAFETY: as above; atomics may be shared between processes.
        Ok(Self { orders, counts: unsafe { &*counts.cast() } })
    }
}

fn is_there(file: &CStr) -> bool {
    // SAFETY: a C string.
    unsafe { libc::syscall(libc::SYS_faccessat, libc::AT_FDCWD, file.as_ptr(), libc::F_OK) == 0 }
}

fn stop(file: &CStr) {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: a C string that lives through the call, and a descriptor of our own.
    unsafe {
        let fd = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, file.as_ptr(), flags, 0o600);
        libc::syscall(libc::SYS_close, fd);
    }
    while is_there(file) {
        sleep_ms(2);
    }
}

fn sleep_ms(ms: i64) {
    let time = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    // SAFETY: a valid timespec; what remains is not asked for.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

fn errno() -> libc::c_int {
    // SAFETY: the thread's own errno.
    unsafe { *libc::__errno_location() }
}

fn set_errno(errno: libc::c_int) {
    // SAFETY: the thread's own errno.
    unsafe { *libc::__errno_location() = errno };
}
