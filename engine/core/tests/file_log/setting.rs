//! A server with a log in files, failpoints that one test at a time arms, and a reader of log files
//! that checks every annotation it meets.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use perdure_engine::aof::annotation::{self, Annotation, Checksum, FIELD_BYTES, Line};
use perdure_engine::aof::{FileLog, FsyncPolicy, LogPosition, LogSettings, Segment};
use perdure_engine::clock::Clock;
use perdure_engine::failpoint;

use crate::support::{PATIENCE, Server, wait_until};

/// Unix ms at which driven clocks begin.
pub const NOW_MS: i64 = 1_795_000_000_000;
/// The first epoch of a test's log.
pub const EPOCH: u64 = 77;

static ARMING: Mutex<()> = Mutex::new(());

/// A server, its log, and the directory with the files. Only one test has one at a time, since
/// failpoints are the whole process's.
pub struct Logged {
    pub log: Arc<FileLog>,
    pub server: Server,
    pub directory: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

pub fn settings(policy: FsyncPolicy) -> LogSettings {
    LogSettings { policy, is_timestamped: false, is_fsync_held: false }
}

impl Logged {
    /// With a log that binds.
    pub fn start(policy: FsyncPolicy) -> Self {
        let logged = Self::unbound(policy, Clock::system());
        logged.log.bind(PATIENCE).unwrap();
        logged.log.put_in_force();
        logged
    }

    /// With a log that is being switched on.
    pub fn unbound(policy: FsyncPolicy, clock: Clock) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let alone = ARMING.lock();
        failpoint::arm("").unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("perdure-file-log-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let server = Server::start_with(1, clock, |config| config.save = Vec::new());
        let first = segment(&place(&directory, "1"), EPOCH);
        let log = FileLog::start(&server.shared, first, settings(policy)).unwrap();
        server.shared.state.lock().effects.attach_file(Arc::clone(&log));
        Self { log, server, directory, _alone: alone }
    }

    /// Go on in another file, as a rewrite does.
    pub fn switch_to(&self, name: &str, epoch: u64) -> LogPosition {
        let next = segment(&place(&self.directory, name), epoch);
        self.server.shared.state.lock().effects.switch_log(&self.log, next)
    }

    /// What a file holds now.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(place(&self.directory, name)).unwrap()
    }

    /// The ring; empty if there is none.
    pub fn ring(&self) -> Vec<u8> {
        std::fs::read(self.directory.join("log.ring")).unwrap_or_default()
    }

    /// A file with nothing but what the annotations do not account for checked.
    pub fn read(&self, name: &str) -> LogFile {
        LogFile::read(&self.bytes(name))
    }

    /// Arm failpoints: until [`Logged::disarm`].
    pub fn arm(&self, text: &str) {
        failpoint::arm(text).unwrap();
    }

    /// Hold everybody who comes to `name`; gives the marker that is there once somebody has.
    pub fn hold(&self, name: &str) -> PathBuf {
        let marker = self.directory.join(format!("held-{name}"));
        self.arm(&format!("{name}=pause:{}", marker.display()));
        marker
    }

    /// Hold nobody any more.
    pub fn let_go(&self, marker: &Path) {
        self.disarm();
        let _ = std::fs::remove_file(marker);
    }

    pub fn disarm(&self) {
        failpoint::arm("").unwrap();
    }

    /// Wait until so many commands have been executed since the start, whether their turn has ended
    /// or is held.
    pub fn wait_for_commands(&self, count: u64) {
        let total = &self.server.shared.stats.counters.commands_total;
        wait_until("commands are executed", || total.load(SeqCst) >= count);
    }

    /// Fsyncs that have ended.
    pub fn fsyncs(&self) -> u64 {
        self.server.shared.stats.log.fsync.read().count
    }

    /// Those of them that were the ring's.
    pub fn ring_fsyncs(&self) -> u64 {
        self.server.shared.stats.log.ring_fsyncs_total.load(SeqCst)
    }

    /// Whether an event of that name was logged; takes all events.
    pub fn wait_for_event(&self, name: &str) {
        let wanted = format!("\"name\":\"{name}\"");
        wait_until(name, || {
            self.server.shared.events.take().iter().any(|text| text.contains(&wanted))
        });
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        failpoint::arm("").unwrap();
        for entry in std::fs::read_dir(&self.directory).unwrap().flatten() {
            let _ = std::fs::remove_file(entry.path()); // held markers let go whoever waits
        }
        let _ = self.log.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The incremental of that number.
fn place(directory: &Path, number: &str) -> PathBuf {
    directory.join(format!("log.{number}.incr.aof"))
}

/// A new file for a log.
pub fn segment(path: &Path, epoch: u64) -> Segment {
    let file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    Segment { file, path: path.to_owned(), epoch }
}

/// A log file, read to its end.
pub struct LogFile {
    /// Commands, words separated by blanks.
    pub commands: Vec<String>,
    /// Annotations of positions, each with where in the file it stands.
    pub annotations: Vec<(usize, Annotation)>,
    /// Seconds that `#TS:` lines name, each with the number of commands before it.
    pub times: Vec<(usize, i64)>,
}

impl LogFile {
    /// Read a whole file; every checksum must be right.
    pub fn read(bytes: &[u8]) -> Self {
        let mut found = Self { commands: Vec::new(), annotations: Vec::new(), times: Vec::new() };
        let (mut at, mut summed) = (0, 0);
        let mut checksum = Checksum::default();
        while at < bytes.len() {
            if bytes[at] != b'#' {
                at = found.read_command(bytes, at);
                continue;
            }
            let end = at + line(&bytes[at..]).len();
            match annotation::parse(&bytes[at..end]) {
                Line::Position(annotation, sum) => {
                    let field = end - 2 - FIELD_BYTES;
                    checksum.update(&bytes[summed..field]);
                    assert_eq!(checksum.take(), sum, "checksum of the line at {at}");
                    summed = end - 2;
                    found.annotations.push((at, annotation));
                }
                Line::Time(unix_s) => found.times.push((found.commands.len(), unix_s)),
                Line::Other => panic!("a strange line at {at}"),
            }
            at = end;
        }
        found
    }

    fn read_command(&mut self, bytes: &[u8], at: usize) -> usize {
        let (count, mut at) = header(bytes, at, b'*');
        let mut words = Vec::new();
        for _ in 0..count {
            let (length, from) = header(bytes, at, b'$');
            words.push(String::from_utf8_lossy(&bytes[from..from + length]).into_owned());
            at = from + length + 2;
        }
        self.commands.push(words.join(" "));
        at
    }
}

/// The number of a header, and what is behind it.
fn header(bytes: &[u8], at: usize, mark: u8) -> (usize, usize) {
    let line = line(&bytes[at..]);
    assert_eq!(line[0], mark, "at {at}");
    let digits = std::str::from_utf8(&line[1..line.len() - 2]).unwrap();
    (digits.parse().unwrap(), at + line.len())
}

fn line(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a whole line");
    &bytes[..end + 2]
}
