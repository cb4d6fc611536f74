//! The two ways to make a file durable (I4): replace a file, or create one and refuse to replace,
//! callable as prepare and commit. File calls go through libc, so that a fault-injection shim sees
//! them. What is NOT here: appends to a log, quarantine of a tail, and the writing by the fork
//! child (which ends here too, through [`Prepared::adopt`]).
//!
//! What is on disk after a crash (process or power), line by line:
//!
//! ```text
//! prepare_file  open, fill       target as before; leftover `.<target>.tmp-<pid>-<n>`, any length
//!               fsync            target as before; leftover, whole (leftovers are swept at boot)
//! rename        rename           killed: target is the NEW file; power cut: old or new; each whole
//! commit        fsync directory  target is the NEW file, whole
//! ```

#![allow(unsafe_code)] // system calls: open, fsync, fstat, rename, link, unlink, kill

use std::ffi::CString;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{EngineError, Result};
use crate::failpoint;

/// Owner reads and writes, the group reads: a data set is nobody else's business.
const FILE_MODE: libc::mode_t = 0o640;
/// Stands between the target's name and the process id in a leftover's name.
const MARK: &str = ".tmp-";

/// The number of the next temporary file of this process; names below it are ours, names at or
/// above it were left by an earlier process with the same id (in a container every server is
/// process 1).
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file that is written and fsynced under a temporary name in its directory, not yet visible.
/// Dropped: removed.
#[derive(Debug)]
pub struct Prepared {
    /// The temporary name.
    pub temporary: PathBuf,
    /// The name it will have.
    pub target: PathBuf,
    /// Whether an existing target is replaced (else refused).
    pub is_replacing: bool,
}

/// A fresh temporary name beside `target`: `.<target>.tmp-<pid>-<n>`. Creates nothing.
pub fn temporary_beside(target: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    name.push(format!("{MARK}{}-{number}", std::process::id()));
    directory_of(target).join(name)
}

/// Create `path` for writing; it must not exist. The descriptor is closed on exec.
///
/// # Errors
/// I/O codes, `FILE_EXISTS`.
pub fn create_new(path: &Path) -> Result<OwnedFd> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    open(path, flags).map_err(|error| EngineError::from_io("create", path, &error))
}

/// Write `fill`'s bytes beside `target`: temporary name, write, length check, fsync, close. Nothing
/// is visible yet. `fill` writes to the descriptor and answers how many bytes the file must have.
///
/// # Errors
/// I/O codes; the temporary file is gone then.
pub fn prepare_file(
    target: &Path,
    is_replacing: bool,
    fill: &mut dyn FnMut(RawFd) -> std::result::Result<u64, i32>,
) -> Result<Prepared> {
    let temporary = temporary_beside(target);
    let file = create_new(&temporary)?;
    // From here on the drop of `prepared` removes the file, whatever fails.
    let prepared = Prepared { temporary, target: target.to_path_buf(), is_replacing };
    let path = &prepared.temporary;
    let size_bytes = fill(file.as_raw_fd()).map_err(|errno| {
        EngineError::from_io("write", path, &io::Error::from_raw_os_error(errno))
    })?;
    seal(&file, path, size_bytes)?;
    Ok(prepared)
}

/// Check that `file` has `size_bytes` bytes, then fsync it. Its name is not durable before
/// [`fsync_directory`].
///
/// # Errors
/// I/O codes (`IO_ERROR` when the length differs).
pub fn seal(file: &OwnedFd, path: &Path, size_bytes: u64) -> Result<()> {
    let wrap = |action| move |error: io::Error| EngineError::from_io(action, path, &error);
    let found = length(file.as_raw_fd()).map_err(wrap("stat"))?;
    if found != size_bytes {
        let text = format!("{found} bytes on disk instead of {size_bytes}");
        return Err(wrap("write")(io::Error::other(text)));
    }
    failpoint::hit("durable.written").map_err(wrap("write"))?;
    fsync(file.as_raw_fd()).map_err(wrap("fsync"))?;
    failpoint::hit("durable.fsynced").map_err(wrap("fsync"))
}

impl Prepared {
    /// Take over a temporary file that somebody else wrote and fsynced (the fork child and its
    /// parent, through [`seal`]).
    pub fn adopt(temporary: PathBuf, target: PathBuf, is_replacing: bool) -> Self {
        Self { temporary, target, is_replacing }
    }

    /// The commit point: rename (refusing to replace when not replacing). Not durable before
    /// [`fsync_directory`].
    ///
    /// # Errors
    /// I/O codes, `FILE_EXISTS`; the temporary file is gone then and the target is as it was.
    pub fn rename(self) -> Result<()> {
        let renamed = if self.is_replacing {
            rename_over(&self.temporary, &self.target)
        } else {
            rename_to_new(&self.temporary, &self.target)
        };
        renamed.map_err(|error| EngineError::from_io("rename to", &self.target, &error))
        // The drop of `self` unlinks the temporary name: gone after success, removed after failure.
    }

    /// Rename and fsync the directory.
    ///
    /// # Errors
    /// As [`Prepared::rename`]. When the directory's fsync fails, the target already has the new
    /// content, but a power cut can bring the old one back.
    pub fn commit(self) -> Result<()> {
        let target = self.target.clone();
        self.rename()?;
        failpoint::hit("durable.renamed")
            .map_err(|error| EngineError::from_io("fsync the directory of", &target, &error))?;
        fsync_directory(&target)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Best effort: what stays is swept at the next boot.
        let _ = unlink(&self.temporary);
    }
}

/// Replace `target`, or make it, with these bytes. A file that is there keeps its mode.
///
/// # Errors
/// As [`prepare_file`] and [`Prepared::commit`].
pub fn replace_file(target: &Path, bytes: &[u8]) -> Result<()> {
    prepare_bytes(target, bytes)?.commit()
}

/// The first half of [`replace_file`].
///
/// # Errors
/// As [`prepare_file`].
pub fn prepare_bytes(target: &Path, bytes: &[u8]) -> Result<Prepared> {
    let mode = std::fs::metadata(target).map_or(FILE_MODE, |found| found.permissions().mode());
    let mut fill = |fd| {
        // SAFETY: a system call with plain integers.
        retried(|| unsafe { libc::fchmod(fd, mode & 0o7777) }).map_err(errno_of)?;
        write_all(fd, bytes).map(|()| bytes.len() as u64)
    };
    prepare_file(target, true, &mut fill)
}

/// Another name for a file that is whole and fsynced, to take the place of `target` when it is
/// renamed. Some file systems have no such names, and none has them across its borders.
///
/// # Errors
/// I/O codes; nothing is left then.
pub fn prepare_link(file: &Path, target: &Path) -> Result<Prepared> {
    let temporary = temporary_beside(target);
    let wrap = |error: io::Error| EngineError::from_io("link", &temporary, &error);
    let (from, to) = (c_path(file).map_err(wrap)?, c_path(&temporary).map_err(wrap)?);
    // SAFETY: two C strings that live through the call.
    retried(|| unsafe { libc::link(from.as_ptr(), to.as_ptr()) }).map_err(wrap)?;
    Ok(Prepared { temporary, target: target.to_path_buf(), is_replacing: true })
}

/// Read a small file whole; `None` if it has more than `bytes_max` bytes.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

fn errno_of(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// Write all of `bytes`; an interrupted or short write goes on.
pub(crate) fn write_all(fd: RawFd, mut bytes: &[u8]) -> std::result::Result<(), i32> {
    while !bytes.is_empty() {
        // SAFETY: the bytes live through the call.
        let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(0) => return Err(libc::EIO),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(_) => match errno_of(io::Error::last_os_error()) {
                libc::EINTR => {}
                errno => return Err(errno),
            },
        }
    }
    Ok(())
}

/// Make the names in the directory of `path` durable.
///
/// # Errors
/// I/O codes.
pub fn fsync_directory(path: &Path) -> Result<()> {
    let directory = directory_of(path);
    open(directory, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
        .and_then(|opened| fsync(opened.as_raw_fd()))
        .map_err(|error| EngineError::from_io("fsync directory", directory, &error))
}

/// Remove the temporary files in `directory` whose writer is dead; gives what was removed. Call it
/// at boot, under the data dir's lock. A file of a living process with that id stays (it may be a
/// stranger's; the next boot looks again).
///
/// # Errors
/// I/O codes when the directory cannot be read or a leftover cannot be removed.
pub fn sweep_leftovers(directory: &Path) -> Result<Vec<PathBuf>> {
    let wrap = |error: io::Error| EngineError::from_io("sweep", directory, &error);
    let mut removed = Vec::new();
    for item in std::fs::read_dir(directory).map_err(wrap)? {
        let item = item.map_err(wrap)?;
        let Some((pid, number)) = item.file_name().to_str().and_then(parse_leftover) else {
            continue;
        };
        if is_dead(pid, number) {
            let path = item.path();
            unlink(&path).map_err(|error| EngineError::from_io("remove", &path, &error))?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// Process id and number of a leftover's name; `None` for a file that is none of ours.
fn parse_leftover(name: &str) -> Option<(u32, u64)> {
    let (_, tail) = name.strip_prefix('.')?.rsplit_once(MARK)?;
    let (pid, number) = tail.split_once('-')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(pid) || !is_digits(number) {
        return None;
    }
    Some((pid.parse().ok()?, number.parse().ok()?))
}

fn is_dead(pid: u32, number: u64) -> bool {
    if pid == std::process::id() {
        return number >= NEXT.load(Ordering::Relaxed);
    }
    let Ok(pid) = libc::pid_t::try_from(pid) else { return true };
    // SAFETY: signal 0 sends nothing; plain integers. `pid` is not negative, so it names no group.
    let answer = unsafe { libc::kill(pid, 0) };
    pid == 0 || (answer == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Call until it is not interrupted; -1 becomes the error.
fn retried(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        let answer = call();
        if answer != -1 {
            return Ok(answer);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn open(path: &Path, flags: libc::c_int) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string that lives through the call.
    let fd = retried(|| unsafe { libc::open(path.as_ptr(), flags, FILE_MODE) })?;
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn fsync(fd: RawFd) -> io::Result<()> {
    // SAFETY: a system call on a descriptor, no memory involved.
    retried(|| unsafe { libc::fsync(fd) }).map(|_| ())
}

fn length(fd: RawFd) -> io::Result<u64> {
    // SAFETY: all-zero bytes are a valid `stat`; the kernel fills it.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is a valid place for the answer.
    retried(|| unsafe { libc::fstat(fd, &mut found) })?;
    Ok(u64::try_from(found.st_size).unwrap_or(0))
}

fn unlink(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: a C string that lives through the call.
    retried(|| unsafe { libc::unlink(path.as_ptr()) }).map(|_| ())
}

fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: two C strings that live through the call.
    retried(|| unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(|_| ())
}

/// Rename without replacing. File systems that cannot (some network ones) get a hard link, which
/// refuses as well; the temporary name goes with the drop of [`Prepared`].
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_NOREPLACE);
    let renamed = retried(|| {
        // SAFETY: two C strings that live through the call.
        unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) }
    });
    match renamed.as_ref().map_err(io::Error::raw_os_error) {
        Err(Some(libc::EINVAL | libc::ENOSYS)) => {
            // SAFETY: two C strings that live through the call.
            retried(|| unsafe { libc::link(from.as_ptr(), to.as_ptr()) }).map(|_| ())
        }
        _ => renamed.map(|_| ()),
    }
}
