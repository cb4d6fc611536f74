//! The parent's side of a running child: read its reports, kill it when it must end, reap exactly
//! its pid. The host is a Python process: no SIGCHLD handler is installed and nobody else's child
//! is ever waited for. Limit: a killed child that hangs inside the kernel (a disk that does not
//! answer) is waited for until the kernel lets it go; if it is a commit's safety cut, writes wait
//! with it.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::child::{KIND_PANIC, KIND_PROGRESS, KIND_RESULT, REPORT_BYTES, Report};
use super::{CHILD_SECONDS_MAX, CHILD_SILENT_SECONDS_MAX, Child};
use crate::error::{EngineError, Result};

/// How often the child is looked after while it says nothing.
const TICK_MS: i32 = 20;

/// Who waits for a child.
pub trait Watcher {
    /// The child has written this many keys.
    fn progress(&mut self, keys: u64);
    /// Asked several times a second: an error kills the child and becomes the outcome.
    ///
    /// # Errors
    /// Why the child must end.
    fn check(&mut self) -> Result<()>;
}

/// Wait until the child has ended and is reaped. Gives its result.
///
/// # Errors
/// `SNAPSHOT_CHILD_FAILED`, the child's own I/O error as a code, or what the watcher said.
pub fn supervise(
    child: &Child,
    pipe: &File,
    target: &Path,
    watcher: &mut dyn Watcher,
) -> Result<Report> {
    let mut patience = Patience::new();
    let mut result: Option<Report> = None;
    let mut verdict: Result<()> = Ok(());
    let status = loop {
        wait_readable(pipe);
        if drain(pipe, &mut result, watcher) {
            patience.heard();
        }
        if verdict.is_ok() {
            verdict = may_go_on(child, &patience, watcher);
            if verdict.is_err() {
                kill(child.pid);
            }
        }
        // Not the end of the pipe decides but the end of the process: somebody else's fork may hold
        // a copy of the pipe.
        if let Some(status) = reap(child.pid, result.is_some() || verdict.is_err()) {
            break status;
        }
    };
    drain(pipe, &mut result, watcher);
    verdict?;
    judge(result, status, target)
}

/// How long a child may run, and how long it may say nothing (its fsync says nothing).
struct Patience {
    ends: Instant,
    silent_until: Instant,
}

impl Patience {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            ends: now + Duration::from_secs(CHILD_SECONDS_MAX),
            silent_until: now + Duration::from_secs(CHILD_SILENT_SECONDS_MAX),
        }
    }

    fn heard(&mut self) {
        self.silent_until = Instant::now() + Duration::from_secs(CHILD_SILENT_SECONDS_MAX);
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends.min(self.silent_until)
    }
}

fn may_go_on(child: &Child, patience: &Patience, watcher: &mut dyn Watcher) -> Result<()> {
    child.unless_ended(|| Ok(()))?;
    if patience.is_over() {
        return Err(failed(
            &format!(
                "the snapshot child ran longer than {CHILD_SECONDS_MAX} seconds, or said nothing \
                 for {CHILD_SILENT_SECONDS_MAX}"
            ),
            "Check how fast the disk is; free memory if the machine swaps.",
        ));
    }
    watcher.check()
}

fn failed(message: &str, hint: &str) -> EngineError {
    EngineError::new("SNAPSHOT_CHILD_FAILED", message, hint).retryable()
}

/// Read every whole report that is there. Reports are written atomically, so a read never sees half
/// of one.
/// Gives whether there was one.
fn drain(pipe: &File, result: &mut Option<Report>, watcher: &mut dyn Watcher) -> bool {
    let mut has_report = false;
    let mut bytes = [0u8; REPORT_BYTES];
    let mut reader = pipe;
    while matches!(reader.read(&mut bytes), Ok(REPORT_BYTES)) {
        has_report = true;
        let report = decode(&bytes);
        match report.kind {
            KIND_PROGRESS => watcher.progress(report.keys),
            KIND_RESULT | KIND_PANIC => *result = Some(report),
            _ => {}
        }
    }
    has_report
}

fn decode(bytes: &[u8; REPORT_BYTES]) -> Report {
    let four =
        |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    // Little-endian machines: the lower half comes first.
    let eight = |at: usize| u64::from(four(at)) | (u64::from(four(at + 4)) << 32);
    Report {
        kind: four(0),
        errno: i32::from_ne_bytes(four(4).to_ne_bytes()),
        keys: eight(8),
        size_bytes: eight(16),
        cow_bytes: eight(24),
    }
}

fn judge(result: Option<Report>, status: i32, target: &Path) -> Result<Report> {
    let again = "Take the snapshot again; look for the kernel's out-of-memory killer in its log.";
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        let message = format!("the snapshot child was killed by signal {signal}");
        return Err(failed(&message, again).with("signal", signal.to_string()));
    }
    match result {
        Some(report) if report.kind == KIND_PANIC => {
            Err(failed("the snapshot child panicked", "Report this: it is a bug."))
        }
        Some(report) if report.errno == 0 => Ok(report),
        Some(report) => {
            let error = std::io::Error::from_raw_os_error(report.errno);
            Err(EngineError::from_io("write the snapshot", target, &error))
        }
        None => {
            let message = format!("the snapshot child ended without a result (status {status})");
            Err(failed(&message, again))
        }
    }
}

#[allow(unsafe_code)] // one system call on one pollfd
fn wait_readable(pipe: &File) {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    let ready = unsafe { libc::poll(&raw mut poll, 1, TICK_MS) };
    if ready == 1 && poll.revents & libc::POLLIN == 0 {
        // The end of the pipe: the child is about to end. Do not spin until it has.
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[allow(unsafe_code)] // a system call with plain integers
fn kill(pid: i32) {
    // SAFETY: plain integers; the pid is our child's, which is not reaped yet, so it is nobody
    // else's.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Reap this child, waiting if it `is_about_to_end`. `None`: it still runs. A child that somebody
/// else reaped (a host that ignores SIGCHLD) counts as ended well: its result decides.
#[allow(unsafe_code)] // a system call that fills one integer
fn reap(pid: i32, is_about_to_end: bool) -> Option<i32> {
    let mut status = 0;
    let flags = if is_about_to_end { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `status` is ours; only this pid is waited for.
        let reaped = unsafe { libc::waitpid(pid, &raw mut status, flags) };
        match reaped {
            0 => return None,
            -1 if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            -1 => return Some(0),
            _ => return Some(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_s_end_becomes_a_typed_error() {
        let path = Path::new("/spool/x.rdb");
        let code = |result, status| judge(result, status, path).unwrap_err().code;
        let report = |errno| Some(Report { kind: KIND_RESULT, errno, ..Report::default() });
        assert_eq!(code(None, libc::SIGKILL), "SNAPSHOT_CHILD_FAILED");
        assert_eq!(code(None, 1 << 8), "SNAPSHOT_CHILD_FAILED");
        assert_eq!(code(report(libc::ENOSPC), 1 << 8), "DISK_FULL");
        assert_eq!(
            code(Some(Report { kind: KIND_PANIC, ..Report::default() }), 70 << 8),
            "SNAPSHOT_CHILD_FAILED"
        );
        assert!(judge(report(0), 0, path).is_ok());
    }

    #[test]
    fn a_report_survives_the_pipe() {
        let report =
            Report { kind: 2, errno: -3, keys: 1 << 40, size_bytes: 7, cow_bytes: u64::MAX };
        let mut bytes = [0u8; REPORT_BYTES];
        bytes[..4].copy_from_slice(&report.kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&report.errno.to_ne_bytes());
        bytes[8..16].copy_from_slice(&report.keys.to_ne_bytes());
        bytes[16..24].copy_from_slice(&report.size_bytes.to_ne_bytes());
        bytes[24..].copy_from_slice(&report.cow_bytes.to_ne_bytes());
        assert_eq!(decode(&bytes), report);
    }
}
