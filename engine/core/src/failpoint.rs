//! Failpoints: named places where a test can kill the process, fail a step or hold it. Off unless
//! `PERDURE_FAILPOINTS` was set at start; then `name=kill;name=kill@3;name=error:ENOSPC;
//! name=pause:FILE`. The table of names is `docs/operations/failpoints.md`.
//!
//! [`hit`] also runs in the fork child (I1): it takes no lock and allocates nothing, so everything
//! that it needs is made when arming. A replaced table is leaked on purpose: somebody may be held
//! at a point of it.

use std::ffi::CString;
use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

enum Action {
    /// At the hit that makes this 0. A fork child counts on its own.
    Kill(AtomicU64),
    Error(i32),
    Pause(CString),
}

type Table = Vec<(String, Action)>;

static ARMED: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());

/// Read `PERDURE_FAILPOINTS`; without it nothing is armed.
///
/// # Errors
/// A text that is not in the documented form, so that a typing error never disarms a test.
pub fn arm_from_environment() -> Result<(), String> {
    match std::env::var("PERDURE_FAILPOINTS") {
        Ok(text) => arm(&text),
        Err(_) => Ok(()),
    }
}

/// Arm exactly what `text` says, in place of what was armed before.
///
/// # Errors
/// A text that is not in the documented form; then what was armed stays.
pub fn arm(text: &str) -> Result<(), String> {
    let table = Box::new(parse(text)?);
    ARMED.store(Box::into_raw(table), Ordering::Release);
    Ok(())
}

fn parse(text: &str) -> Result<Table, String> {
    let mut armed = Vec::new();
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, action) = item.split_once('=').ok_or_else(|| format!("no `=` in {item:?}"))?;
        let action = match action.split_once(':') {
            None if action.starts_with("kill") => Action::Kill(hits_to_kill(action, item)?.into()),
            Some(("error", errno)) => Action::Error(errno_by_name(errno)?),
            Some(("pause", file)) => {
                Action::Pause(CString::new(file).map_err(|_| format!("a NUL in {item:?}"))?)
            }
            _ => return Err(format!("unknown failpoint action {action:?}")),
        };
        armed.push((name.to_owned(), action));
    }
    Ok(armed)
}

/// `kill`: the first hit; `kill@N`: the Nth.
fn hits_to_kill(action: &str, item: &str) -> Result<u64, String> {
    let hits = match action.split_once('@') {
        None if action == "kill" => Some(1),
        Some(("kill", hits)) => hits.parse().ok().filter(|hits| *hits > 0),
        _ => None,
    };
    hits.ok_or_else(|| format!("unknown failpoint action in {item:?}"))
}

fn errno_by_name(name: &str) -> Result<i32, String> {
    match name {
        "ENOSPC" => Ok(libc::ENOSPC),
        "EDQUOT" => Ok(libc::EDQUOT),
        "EIO" => Ok(libc::EIO),
        "EACCES" => Ok(libc::EACCES),
        "EROFS" => Ok(libc::EROFS),
        "ENOMEM" => Ok(libc::ENOMEM),
        "EAGAIN" => Ok(libc::EAGAIN),
        "EMFILE" => Ok(libc::EMFILE),
        _ => Err(format!("unknown errno {name:?}")),
    }
}

/// Pass the failpoint `name`: does nothing unless a test armed it.
///
/// # Errors
/// The operating system's error that the test asked for.
#[allow(unsafe_code)] // reads the armed table, which is never freed
pub fn hit(name: &str) -> io::Result<()> {
    // SAFETY: the pointer is null or came from `Box::into_raw` in `arm`, and no table is ever
    // freed.
    let Some(armed) = (unsafe { ARMED.load(Ordering::Acquire).as_ref() }) else { return Ok(()) };
    let Some((_, action)) = armed.iter().find(|(armed_name, _)| armed_name == name) else {
        return Ok(());
    };
    match action {
        Action::Kill(hits) if hits.fetch_sub(1, Ordering::Relaxed) > 1 => Ok(()),
        Action::Kill(_) => kill_self(),
        Action::Error(errno) => Err(io::Error::from_raw_os_error(*errno)),
        Action::Pause(file) => pause(file),
    }
}

#[allow(unsafe_code)] // one system call, no memory involved
fn kill_self() -> io::Result<()> {
    // SAFETY: getpid and kill take plain integers and touch no memory.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    Ok(())
}

/// Create the marker, then wait until it is removed. System calls only: std's paths would allocate.
#[allow(unsafe_code)] // system calls on a C string that lives as long as the process
fn pause(file: &CString) -> io::Result<()> {
    // SAFETY: `file` is a C string; the flags ask for a new descriptor, closed at once.
    unsafe {
        let fd = libc::open(file.as_ptr(), libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC, 0o600);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::close(fd);
    }
    let tick = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    // SAFETY: `file` is a C string, `tick` a valid timespec; the remainder is not asked for.
    unsafe {
        while libc::access(file.as_ptr(), libc::F_OK) == 0 {
            libc::nanosleep(&raw const tick, std::ptr::null_mut());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_another_form_is_refused() {
        let texts =
            ["name", "name=stop", "name=error:EWHAT", "name=pause", "name=kill@", "a=kill@0"];
        for text in texts {
            assert!(parse(text).is_err(), "{text}");
        }
        let armed = parse(" a=kill; b=error:ENOSPC ;c=pause:/tmp/x;").unwrap();
        assert_eq!(armed.len(), 3);
        let third = parse("a=kill@3").unwrap();
        assert!(matches!(&third[0].1, Action::Kill(hits) if hits.load(Ordering::Relaxed) == 3));
        assert!(matches!(armed[1].1, Action::Error(libc::ENOSPC)));
    }
}
