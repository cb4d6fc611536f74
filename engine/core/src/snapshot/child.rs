//! The child's room (I1). After `_Fork` only this code runs: no allocation, no lock, no panic that
//! unwinds, no Python, no gRPC. It writes the RDB into a descriptor that the parent opened, fsyncs
//! it, reports over a pipe and leaves by `_exit`. It ends when its parent does: a report into a
//! pipe without a reader is SIGPIPE.
//!
//! What it may touch: the keyspace, the scratch memory made before the fork, its own stack, system
//! calls. A report is one [`Report`], a plain struct far below PIPE_BUF, so that it arrives whole
//! or not at all.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use super::cut::Form;
use crate::aof::save_commands;
use crate::failpoint;
use crate::keyspace::Keyspace;
use crate::rdb::{self, SaveOptions, SaveScratch, Saved};

/// What a [`Report`] tells.
pub const KIND_PROGRESS: u32 = 1;
/// The last report: `errno` says how it ended.
pub const KIND_RESULT: u32 = 2;
/// The child panicked: a bug.
pub const KIND_PANIC: u32 = 3;

/// What the child tells its parent; always sent whole.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// `KIND_...`.
    pub kind: u32,
    /// 0, or the operating system's error number.
    pub errno: i32,
    /// Keys written so far.
    pub keys: u64,
    /// Bytes of the file (result only).
    pub size_bytes: u64,
    /// Bytes that were copied because somebody wrote to shared pages (result only).
    pub cow_bytes: u64,
}

/// Bytes of a [`Report`] in the pipe.
pub const REPORT_BYTES: usize = size_of::<Report>();

/// What the parent made ready before the fork.
pub struct Room<'a> {
    /// The data, as it was at the fork.
    pub keyspace: &'a Keyspace,
    /// What to write.
    pub form: Form,
    /// How to write it.
    pub options: &'a SaveOptions,
    /// Memory to write it with.
    pub scratch: &'a mut SaveScratch,
    /// Where to write it.
    pub file: RawFd,
    /// Where to report.
    pub pipe: RawFd,
}

/// The pipe of the process if it is a snapshot child, else -1. Read by the panic hook.
static CHILD_PIPE: AtomicI32 = AtomicI32::new(-1);

/// Teach the process's panic hook that a snapshot child must not unwind, print or allocate: it
/// reports and leaves. To be called once, before the first fork.
pub fn install_panic_hook() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let pipe = CHILD_PIPE.load(Ordering::Relaxed);
            if pipe >= 0 {
                send(pipe, &Report { kind: KIND_PANIC, errno: libc::EFAULT, ..Report::default() });
                leave(70);
            }
            previous(info);
        }));
    });
}

/// Do the child's whole work and leave the process.
pub fn run(room: &mut Room<'_>) -> ! {
    CHILD_PIPE.store(room.pipe, Ordering::Relaxed);
    close_other_descriptors(room.file, room.pipe);
    reset_signals();
    let report = match write(room) {
        Ok(saved) => Report {
            kind: KIND_RESULT,
            errno: 0,
            keys: saved.keys,
            size_bytes: saved.size_bytes,
            cow_bytes: copied_bytes(),
        },
        Err(errno) => Report { kind: KIND_RESULT, errno, ..Report::default() },
    };
    // The last report may wait for room in the pipe; progress never does.
    while !send(room.pipe, &report) && last_errno() == libc::EAGAIN {
        wait_writable(room.pipe);
    }
    leave(i32::from(report.errno != 0));
}

fn write(room: &mut Room<'_>) -> Result<Saved, i32> {
    hit("snapshot.child_started")?;
    let pipe = room.pipe;
    let mut tell = |keys: u64| {
        let report = Report { kind: KIND_PROGRESS, keys, ..Report::default() };
        send(pipe, &report) || last_errno() == libc::EAGAIN // anything else: nobody listens, stop
    };
    let save = match room.form {
        Form::Rdb => rdb::save,
        Form::Commands => save_commands,
    };
    let saved = save(room.keyspace, room.options, room.scratch, room.file, &mut tell)?;
    hit("snapshot.child_written")?;
    sync(room.file)?;
    hit("snapshot.child_fsynced")?;
    Ok(saved)
}

fn hit(name: &str) -> Result<(), i32> {
    failpoint::hit(name).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[allow(unsafe_code)] // one system call with plain integers
fn sync(file: RawFd) -> Result<(), i32> {
    // SAFETY: a plain integer.
    if unsafe { libc::fsync(file) } == 0 { Ok(()) } else { Err(last_errno()) }
}

#[allow(unsafe_code)] // one system call on our own struct
fn send(pipe: RawFd, report: &Report) -> bool {
    // SAFETY: `Report` is plain old data without padding, REPORT_BYTES long; such a write is atomic
    // (PIPE_BUF).
    let written = unsafe { libc::write(pipe, std::ptr::from_ref(report).cast(), REPORT_BYTES) };
    written == isize::try_from(REPORT_BYTES).unwrap_or(isize::MAX)
}

#[allow(unsafe_code)] // one system call on one pollfd
fn wait_writable(pipe: RawFd) {
    let mut poll = libc::pollfd { fd: pipe, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, -1) };
}

#[allow(unsafe_code)] // ends the process without running anything of it
fn leave(code: i32) -> ! {
    // SAFETY: `_exit` takes a plain integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Close every descriptor but these two: a listener or client socket that lives on in the child
/// would outlive a killed parent, and a pipe's read end would hide the parent's death.
fn close_other_descriptors(a: RawFd, b: RawFd) {
    let (low, high) = (a.min(b), a.max(b));
    let (low, high) = (low.unsigned_abs(), high.unsigned_abs());
    if low > 0 {
        close_range(0, low - 1);
    }
    if high > low + 1 {
        close_range(low + 1, high - 1);
    }
    close_range(high + 1, u32::MAX);
}

#[allow(unsafe_code)] // system calls with plain integers
fn close_range(first: u32, last: u32) {
    // SAFETY: plain integers. The raw call, since a wrapper might not be there.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) } == 0 {
        return;
    }
    // A kernel before 5.9: one by one, up to the limit of open files.
    // SAFETY: sysconf takes a plain integer; closing what is not open is harmless.
    unsafe {
        let limit =
            u32::try_from(libc::sysconf(libc::_SC_OPEN_MAX)).map_or(1 << 20, |it| it.min(1 << 30));
        for fd in first..=last.min(limit) {
            libc::close(fd as i32); // far below i32::MAX: limit
        }
    }
}

/// The host's handlers are not for this process. All signals were blocked at the fork.
#[allow(unsafe_code)] // signal dispositions are C structures
fn reset_signals() {
    // SAFETY: SIG_DFL for each number; those that cannot be set fail harmlessly. The empty set is
    // made on our stack.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// `Private_Dirty` of the whole process: pages that are no longer shared with the parent. 0 if the
/// kernel does not say.
#[allow(unsafe_code)] // system calls into a buffer on the stack
fn copied_bytes() -> u64 {
    let mut buffer = [0u8; 2048];
    // SAFETY: a C string literal, and a read bounded by the buffer's length.
    let length = unsafe {
        let fd = libc::open(c"/proc/self/smaps_rollup".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return 0;
        }
        let length = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(fd);
        length
    };
    let text = buffer.get(..usize::try_from(length).unwrap_or(0)).unwrap_or(&[]);
    kilobytes_after(text, b"Private_Dirty:").saturating_mul(1024)
}

fn kilobytes_after(text: &[u8], name: &[u8]) -> u64 {
    let Some(at) = text.windows(name.len()).position(|window| window == name) else { return 0 };
    text.iter()
        .skip(at + name.len())
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_copied_pages_is_read_from_the_kernel_s_text() {
        let text = b"Shared_Dirty:   12 kB\nPrivate_Clean:  3 kB\nPrivate_Dirty:      4711 kB\n";
        assert_eq!(kilobytes_after(text, b"Private_Dirty:"), 4711);
        assert_eq!(kilobytes_after(b"nothing", b"Private_Dirty:"), 0);
        assert!(copied_bytes() > 0);
    }

    #[test]
    fn a_report_has_no_padding_and_fits_a_pipe_write() {
        assert_eq!(REPORT_BYTES, 32);
    }
}
