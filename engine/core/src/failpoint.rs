//! Failpoints: named places where a test can kill the process, fail a step or hold it.
//! Off unless `PERDURE_FAILPOINTS` was set at start; then `name=kill;name=error:ENOSPC;name=pause:FILE`.
//! The table of names is `docs/operations/failpoints.md`. Safe in the forked child for names armed by the parent (I1).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

enum Action {
    Kill,
    Error(i32),
    Pause(PathBuf),
}

static ARMED: OnceLock<Vec<(String, Action)>> = OnceLock::new();

/// Read `PERDURE_FAILPOINTS` once; later calls do nothing.
///
/// # Errors
/// A text that is not in the documented form, so that a typing error never disarms a test.
pub fn arm_from_environment() -> Result<(), String> {
    let text = std::env::var("PERDURE_FAILPOINTS").unwrap_or_default();
    let armed = parse(&text)?;
    ARMED.get_or_init(|| armed);
    Ok(())
}

fn parse(text: &str) -> Result<Vec<(String, Action)>, String> {
    let mut armed = Vec::new();
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, action) = item.split_once('=').ok_or_else(|| format!("no `=` in {item:?}"))?;
        let action = match action.split_once(':') {
            None if action == "kill" => Action::Kill,
            Some(("error", errno)) => Action::Error(errno_by_name(errno)?),
            Some(("pause", file)) => Action::Pause(PathBuf::from(file)),
            _ => return Err(format!("unknown failpoint action {action:?}")),
        };
        armed.push((name.to_owned(), action));
    }
    Ok(armed)
}

fn errno_by_name(name: &str) -> Result<i32, String> {
    match name {
        "ENOSPC" => Ok(libc::ENOSPC),
        "EIO" => Ok(libc::EIO),
        "EACCES" => Ok(libc::EACCES),
        "ENOMEM" => Ok(libc::ENOMEM),
        _ => Err(format!("unknown errno {name:?}")),
    }
}

/// Pass the failpoint `name`: does nothing unless a test armed it.
///
/// # Errors
/// The operating system's error that the test asked for.
pub fn hit(name: &str) -> io::Result<()> {
    let Some(armed) = ARMED.get() else { return Ok(()) };
    let Some((_, action)) = armed.iter().find(|(armed_name, _)| armed_name == name) else {
        return Ok(());
    };
    match action {
        Action::Kill => kill_self(),
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

fn pause(file: &Path) -> io::Result<()> {
    std::fs::write(file, b"paused\n")?;
    while file.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
