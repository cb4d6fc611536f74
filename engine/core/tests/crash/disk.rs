//! The file calls of this test binary, seen on their way to the kernel: the program's own symbols
//! come before the C library's, so the engine in here calls these. They pass everything on, and note
//! for the files below one folder what was made durable and what was not, in a trace that outlives a
//! SIGKILL; `power` makes of it what a power cut would have left. Every file gets a second name in a
//! folder beside (the graves), so that a file which was replaced can come back, and bytes that are
//! overwritten by `pwrite` are kept there. `write` is not seen: it only makes files longer here.
//!
//! It also runs in the engine's fork child: no allocation, no lock, and the trace is opened for each
//! event, since the child closes every descriptor that it does not know.

#![allow(unsafe_code)] // system calls, and symbols of the C library

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_char, c_int, c_uint, c_void, mode_t, off_t, size_t, ssize_t};

/// What happened.
pub mod kind {
    /// It was there when the trace began.
    pub const FOUND: u64 = 1;
    /// A file or a directory got its first name.
    pub const CREATED: u64 = 2;
    pub const RENAMED: u64 = 3;
    /// A second name.
    pub const LINKED: u64 = 4;
    pub const UNLINKED: u64 = 5;
    /// About to be made shorter; a copy is among the graves.
    pub const TRUNCATED: u64 = 6;
    pub const SYNC_BEGUN: u64 = 7;
    pub const SYNC_ENDED: u64 = 8;
    /// A piece of a file is about to be overwritten; the old bytes are among the graves.
    pub const OVERWRITING: u64 = 9;
    /// All pieces of that serial are, as far as the call came.
    pub const OVERWRITTEN: u64 = 10;
}

/// Which copy of a file holds what was overwritten in it, piece after piece; no serial is this.
pub const OVERWRITTEN_COPY: u64 = 0;

const NAME_BYTES: usize = 96;
/// A file's bytes reach the disk in these.
pub const SECTOR_BYTES: usize = 512;
/// Old bytes that one event tells of, at the most.
const PIECE_BYTES: usize = 32 * SECTOR_BYTES;

/// One line of the trace.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    pub kind: u64,
    /// Which fsync, which overwrite, or which copy.
    pub serial: u64,
    pub inode: u64,
    pub directory: u64,
    pub other_directory: u64,
    /// Of the file, or of the piece.
    pub size: u64,
    /// Where the piece stands, in the file and in the copy.
    pub offset: u64,
    pub kept_at: u64,
    pub is_directory: u64,
    name: [u8; NAME_BYTES],
    other_name: [u8; NAME_BYTES],
}

pub const EVENT_BYTES: usize = size_of::<Event>();

impl Event {
    pub fn of(kind: u64) -> Self {
        let (name, other_name) = ([0; NAME_BYTES], [0; NAME_BYTES]);
        let (serial, inode, directory, other_directory, is_directory) = (0, 0, 0, 0, 0);
        let (size, offset, kept_at) = (0, 0, 0);
        Self {
            kind,
            serial,
            inode,
            directory,
            other_directory,
            size,
            offset,
            kept_at,
            is_directory,
            name,
            other_name,
        }
    }

    pub fn name(&self) -> String {
        text_of(&self.name)
    }

    pub fn other_name(&self) -> String {
        text_of(&self.other_name)
    }

    /// Events of a trace.
    pub fn read_all(bytes: &[u8]) -> Vec<Self> {
        let whole = bytes.chunks_exact(EVENT_BYTES);
        // SAFETY: numbers and bytes: every pattern is an event. The read is unaligned.
        whole.map(|bytes| unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) }).collect()
    }
}

fn text_of(bytes: &[u8; NAME_BYTES]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

struct Trace {
    file: CString,
    /// Only what is below counts.
    root: Vec<u8>,
    graves: Vec<u8>,
    /// Stands for the machine's boot id.
    boot_id: CString,
}

static TRACE: OnceLock<Trace> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Begin: everything below `root` as it is now counts as durable. `file`, `graves` and `boot_id`
/// stand outside of it, on the same file system.
pub fn trace(root: &Path, file: &Path, graves: &Path, boot_id: &Path) {
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let c_string = |path: &Path| CString::new(bytes(path)).unwrap();
    std::fs::create_dir_all(graves).unwrap();
    std::fs::write(file, "").unwrap();
    let (file, boot_id) = (c_string(file), c_string(boot_id));
    let trace = Trace { file, root: bytes(root), graves: bytes(graves), boot_id };
    note_found(&trace, root, graves);
    assert!(TRACE.set(trace).is_ok());
}

fn note_found(trace: &Trace, directory: &Path, graves: &Path) {
    let inode = std::fs::metadata(directory).unwrap().ino();
    for item in std::fs::read_dir(directory).unwrap() {
        let path = item.unwrap().path();
        let found = std::fs::metadata(&path).unwrap();
        let mut event = Event::of(kind::FOUND);
        (event.directory, event.inode, event.size) = (inode, found.ino(), found.len());
        event.is_directory = found.is_dir().into();
        event.name = name_of(path.as_os_str().as_bytes());
        note(trace, &event);
        if found.is_dir() {
            note_found(trace, &path, graves);
        } else {
            let _ = std::fs::hard_link(&path, graves.join(found.ino().to_string()));
        }
    }
}

/// Nanoseconds of a clock that all processes share.
pub fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn note(trace: &Trace, event: &Event) {
    // SAFETY: the event is plain bytes of that length; the path is a C string.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC;
        let fd = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, trace.file.as_ptr(), flags, 0);
        libc::syscall(libc::SYS_write, fd, std::ptr::from_ref(event), EVENT_BYTES);
        libc::syscall(libc::SYS_close, fd);
    }
}

fn next_serial() -> u64 {
    // SAFETY: plain numbers. A fork child has its parent's counter.
    let pid = unsafe { libc::getpid() } as u64;
    pid << 32 | NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The last part of a path.
fn name_of(path: &[u8]) -> [u8; NAME_BYTES] {
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let mut name = [0; NAME_BYTES];
    let part = &path[start..];
    let length = part.len().min(NAME_BYTES - 1);
    name[..length].copy_from_slice(&part[..length]);
    name
}

/// The trace, if this path is below its root.
///
/// # Safety
/// `path` is a C string.
unsafe fn traced<'a>(path: *const c_char) -> Option<(&'static Trace, &'a [u8])> {
    let trace = TRACE.get()?;
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    let is_below = bytes.starts_with(&trace.root) && bytes.get(trace.root.len()) == Some(&b'/');
    is_below.then_some((trace, bytes))
}

fn stat_of(path: *const c_char) -> Option<libc::stat> {
    // SAFETY: all zeros are a `stat`, which the call fills; `path` is a C string.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        (libc::lstat(path, &raw mut found) == 0).then_some(found)
    }
}

fn stat_of_open(fd: c_int) -> Option<libc::stat> {
    // SAFETY: all zeros are a `stat`, which the call fills.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        (libc::fstat(fd, &raw mut found) == 0).then_some(found)
    }
}

/// The number of the directory in which `path` stands.
fn directory_of(path: &[u8]) -> u64 {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let mut text = [0_u8; 512];
    text[..end].copy_from_slice(&path[..end]);
    stat_of(text.as_ptr().cast()).map_or(0, |found| found.st_ino)
}

/// The C string of a place among the graves.
fn grave(trace: &Trace, inode: u64, copy: Option<u64>) -> [u8; 512] {
    let mut text = [0_u8; 512];
    text[..trace.graves.len()].copy_from_slice(&trace.graves);
    let mut at = trace.graves.len();
    for (mark, number) in [(b'/', Some(inode)), (b'.', copy)] {
        let Some(number) = number else { break };
        text[at] = mark;
        at += 1;
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut rest = number;
        for place in (at..at + digits).rev() {
            text[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        at += digits;
    }
    text
}

fn note_created(trace: &Trace, path: *const c_char, bytes: &[u8]) {
    let Some(found) = stat_of(path) else { return };
    let is_directory = found.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if !is_directory {
        let place = grave(trace, found.st_ino, None);
        let here = libc::AT_FDCWD;
        // SAFETY: two C strings.
        unsafe { libc::syscall(libc::SYS_linkat, here, path, here, place.as_ptr(), 0) };
    }
    let mut event = Event::of(kind::CREATED);
    (event.inode, event.directory) = (found.st_ino, directory_of(bytes));
    (event.name, event.is_directory) = (name_of(bytes), is_directory.into());
    note(trace, &event);
}

unsafe fn open_any(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let open = |path: *const c_char| {
        let (here, mode) = (libc::AT_FDCWD, mode as c_uint);
        // SAFETY: the caller's C string and numbers.
        let fd = unsafe { libc::syscall(libc::SYS_openat, here, path, flags, mode) };
        fd as c_int
    };
    if let Some(trace) = TRACE.get()
        // SAFETY: the caller's C string.
        && unsafe { CStr::from_ptr(path) } == c"/proc/sys/kernel/random/boot_id"
    {
        return open(trace.boot_id.as_ptr());
    }
    // SAFETY: the caller's C string.
    let below = unsafe { traced(path) }.filter(|_| flags & libc::O_CREAT != 0);
    let is_there = below.is_none() || stat_of(path).is_some();
    let fd = open(path);
    if let Some((trace, bytes)) = below.filter(|_| fd >= 0 && !is_there) {
        note_created(trace, path, bytes);
    }
    fd
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_any(path, flags, mode) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_any(path, flags, mode) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's C string and number.
    let made = unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path, mode as c_uint) };
    // SAFETY: the caller's C string.
    if let Some((trace, bytes)) = unsafe { traced(path) }.filter(|_| made == 0) {
        note_created(trace, path, bytes);
    }
    made as c_int
}

unsafe fn rename_any(from: *const c_char, to: *const c_char, flags: c_uint) -> c_int {
    let inode = stat_of(from).map_or(0, |found| found.st_ino);
    let here = libc::AT_FDCWD;
    // SAFETY: the caller's C strings.
    let made = unsafe { libc::syscall(libc::SYS_renameat2, here, from, here, to, flags) };
    // SAFETY: the caller's C strings.
    let both = unsafe { traced(from).zip(traced(to)) };
    if let Some(((trace, from), (_, to))) = both.filter(|_| made == 0) {
        let mut event = Event::of(kind::RENAMED);
        (event.inode, event.name, event.other_name) = (inode, name_of(from), name_of(to));
        (event.directory, event.other_directory) = (directory_of(from), directory_of(to));
        note(trace, &event);
    }
    made as c_int
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { rename_any(from, to, 0) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat2(
    _: c_int,
    from: *const c_char,
    _: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's promise; the engine's paths are whole.
    unsafe { rename_any(from, to, flags) }
}

unsafe fn link_any(from: *const c_char, to: *const c_char) -> c_int {
    let here = libc::AT_FDCWD;
    // SAFETY: the caller's C strings.
    let made = unsafe { libc::syscall(libc::SYS_linkat, here, from, here, to, 0) };
    // SAFETY: the caller's C string.
    if let Some((trace, to)) = unsafe { traced(to) }.filter(|_| made == 0) {
        let mut event = Event::of(kind::LINKED);
        (event.directory, event.name) = (directory_of(to), name_of(to));
        event.inode = stat_of(from).map_or(0, |found| found.st_ino);
        note(trace, &event);
    }
    made as c_int
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { link_any(from, to) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let inode = stat_of(path).map_or(0, |found| found.st_ino);
    // SAFETY: the caller's C string.
    let made = unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0) };
    // SAFETY: the caller's C string.
    if let Some((trace, bytes)) = unsafe { traced(path) }.filter(|_| made == 0) {
        let mut event = Event::of(kind::UNLINKED);
        (event.inode, event.directory) = (inode, directory_of(bytes));
        event.name = name_of(bytes);
        note(trace, &event);
    }
    made as c_int
}

fn sync_any(fd: c_int, call: libc::c_long) -> c_int {
    // SAFETY: plain numbers.
    let run = || unsafe { libc::syscall(call, fd) as c_int };
    let Some((trace, found)) = TRACE.get().zip(stat_of_open(fd)) else { return run() };
    let mut event = Event::of(kind::SYNC_BEGUN);
    (event.serial, event.inode) = (next_serial(), found.st_ino);
    event.size = u64::try_from(found.st_size).unwrap_or(0);
    note(trace, &event);
    let outcome = run();
    if outcome == 0 {
        event.kind = kind::SYNC_ENDED;
        note(trace, &event);
    }
    outcome
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    sync_any(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync_any(fd, libc::SYS_fdatasync)
}

fn truncate_any(fd: c_int, length: off_t) -> c_int {
    if let Some((trace, found)) = TRACE.get().zip(stat_of_open(fd)) {
        let mut event = Event::of(kind::TRUNCATED);
        (event.serial, event.inode) = (next_serial(), found.st_ino);
        event.size = u64::try_from(length).unwrap_or(0);
        keep_copy(&grave(trace, found.st_ino, Some(event.serial)), fd);
        note(trace, &event);
    }
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) as c_int }
}

fn keep_copy(place: &[u8; 512], fd: c_int) {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
    let mut piece = [0_u8; 4096];
    // SAFETY: a C string, plain numbers, and a buffer of the length that is told.
    unsafe {
        let here = libc::AT_FDCWD;
        let copy = libc::syscall(libc::SYS_openat, here, place.as_ptr(), flags, 0o600) as c_int;
        let mut at = 0;
        loop {
            let got = libc::pread(fd, piece.as_mut_ptr().cast::<c_void>(), piece.len(), at);
            let Some(got) = usize::try_from(got).ok().filter(|got| *got > 0) else { break };
            libc::syscall(libc::SYS_write, copy, piece.as_ptr(), got);
            at += got as off_t;
        }
        libc::syscall(libc::SYS_close, copy);
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    truncate_any(fd, length)
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    truncate_any(fd, length)
}

fn overwrite_any(fd: c_int, bytes: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the caller's bytes and numbers.
    let run = || unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset) as ssize_t };
    let Some((trace, found)) = TRACE.get().zip(stat_of_open(fd)) else { return run() };
    let mut event = Event::of(kind::OVERWRITING);
    (event.serial, event.inode) = (next_serial(), found.st_ino);
    let number = |it: off_t| u64::try_from(it).unwrap_or(0);
    let end = number(found.st_size).min(number(offset) + count as u64);
    keep_overwritten(trace, &mut event, number(offset), end);
    let written = run();
    // Also when it failed: from here on an fsync makes sure what stands there.
    event.kind = kind::OVERWRITTEN;
    if event.size > 0 {
        note(trace, &event);
    }
    written
}

/// Keep what stands in the event's file from `at` to `end`, read by its name among the graves: who
/// writes it may have opened it for that alone.
fn keep_overwritten(trace: &Trace, event: &mut Event, mut at: u64, end: u64) {
    let from = grave(trace, event.inode, None);
    let to = grave(trace, event.inode, Some(OVERWRITTEN_COPY));
    let append = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
    let (here, read) = (libc::AT_FDCWD, libc::O_RDONLY | libc::O_CLOEXEC);
    let mut piece = [0_u8; PIECE_BYTES];
    // SAFETY: C strings, plain numbers, and a buffer that is as long as what is asked for.
    unsafe {
        let from = libc::syscall(libc::SYS_openat, here, from.as_ptr(), read, 0) as c_int;
        if from < 0 {
            return; // not below the root
        }
        let to = libc::syscall(libc::SYS_openat, here, to.as_ptr(), append, 0o600) as c_int;
        while at < end {
            let whole = PIECE_BYTES - at as usize % SECTOR_BYTES; // pieces split no sector
            let wanted = whole.min((end - at) as usize);
            let got = libc::syscall(libc::SYS_pread64, from, piece.as_mut_ptr(), wanted, at);
            let Some(got) = usize::try_from(got).ok().filter(|got| *got > 0) else { break };
            libc::syscall(libc::SYS_write, to, piece.as_ptr(), got);
            let behind = libc::syscall(libc::SYS_lseek, to, 0, libc::SEEK_CUR) as u64;
            (event.offset, event.size, event.kept_at) = (at, got as u64, behind - got as u64);
            note(trace, event);
            at += got as u64;
        }
        libc::syscall(libc::SYS_close, from);
        libc::syscall(libc::SYS_close, to);
    }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    overwrite_any(fd, bytes, count, offset)
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    overwrite_any(fd, bytes, count, offset)
}
