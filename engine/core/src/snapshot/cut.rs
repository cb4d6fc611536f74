//! A cut: the instant a snapshot shows, and the file that keeps it. Two steps, so that another way
//! of cutting (stripe by stripe, without a fork) can take this one's place: [`CutPlan::start`]
//! under the engine lock, [`RunningCut::finish`] without it. Everything that can fail or take time
//! (files, memory) is done before the lock, in [`CutPlan::prepare`].

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::child::{self, Room};
use super::fork::{self, Side};
use super::watch::{self, Watcher};
use super::{Child, Purpose};
use crate::aof::{LogEnd, LogPosition};
use crate::durable::{self, Prepared};
use crate::error::{EngineError, Result};
use crate::failpoint;
use crate::rdb::{SaveOptions, SaveScratch};
use crate::state::{Shared, State};
use crate::stats::Counters;

/// What to cut, and where to.
#[derive(Debug, Clone)]
pub struct CutRequest {
    /// What the child is for.
    pub purpose: Purpose,
    /// The file's final name.
    pub target: PathBuf,
    /// Whether an existing file is replaced (else it is refused).
    pub is_replacing: bool,
    /// What the file is.
    pub form: Form,
    /// How it is written; what only the cut knows (its instant, memory, where the log stands) is
    /// filled in then.
    pub options: SaveOptions,
}

/// What a cut's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An RDB file.
    Rdb,
    /// Plain commands: a log's base without the RDB preamble.
    Commands,
}

/// A cut that can start without failing for want of a file or memory.
pub struct CutPlan {
    request: CutRequest,
    prepared: Prepared,
    file: OwnedFd,
    pipe_read: File,
    pipe_write: OwnedFd,
    scratch: SaveScratch,
}

impl CutPlan {
    /// Open the temporary file beside the target and the pipe, and allocate what the child works
    /// with.
    ///
    /// # Errors
    /// `FILE_EXISTS` when the target is there and must not be replaced; I/O codes.
    pub fn prepare(request: CutRequest) -> Result<Self> {
        if !request.is_replacing && request.target.symlink_metadata().is_ok() {
            let exists = std::io::Error::from_raw_os_error(libc::EEXIST);
            return Err(EngineError::from_io("create", &request.target, &exists));
        }
        let temporary = durable::temporary_beside(&request.target);
        let file = durable::create_new(&temporary)?;
        let prepared = Prepared::adopt(temporary, request.target.clone(), request.is_replacing);
        let (pipe_read, pipe_write) = pipe()
            .map_err(|error| EngineError::from_io("open a pipe for", &request.target, &error))?;
        let scratch = SaveScratch::new(&request.options);
        Ok(Self { request, prepared, file, pipe_read, pipe_write, scratch })
    }

    /// Where the log stands at the cut, if the gate does not say.
    pub fn set_log_position(&mut self, position: LogPosition) {
        self.request.options.log_position = Some(position);
    }

    /// Fork: the cut is now. Under the engine lock (`state`), when no child runs.
    ///
    /// # Errors
    /// `FORK_FAILED`, `CHILD_BUSY`; nothing is left then.
    pub fn start(mut self, state: &mut State, shared: &Shared) -> Result<RunningCut> {
        if state.save.child.is_some() {
            return Err(super::child_busy(&state.save));
        }
        failpoint::hit("snapshot.fork")
            .map_err(|error| fork_failed(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        let cut_unix_ms = shared.clock.unix_ms();
        let options = &mut self.request.options;
        options.ctime_unix_s = cut_unix_ms.div_euclid(1000);
        options.used_memory_bytes = state.keyspace.memory_bytes() as u64;
        options.log_position = options.log_position.or_else(|| shared.log_position());
        self.scratch.stamp(options);
        shared.collapse.stop();
        let (pid, fork_duration) = match fork::fork().map_err(fork_failed)? {
            Side::Child => child::run(&mut Room {
                keyspace: &state.keyspace,
                form: self.request.form,
                options: &self.request.options,
                scratch: &mut self.scratch,
                file: self.file.as_raw_fd(),
                pipe: self.pipe_write.as_raw_fd(),
            }),
            Side::Parent { pid, duration } => (pid, duration),
        };
        let child = Arc::new(Child::new(pid, self.request.purpose));
        state.save.adopt_child(&child);
        shared.heed_log(state);
        let fork_ms = u64::try_from(fork_duration.as_millis()).unwrap_or(u64::MAX);
        state.figures.monitor.note("fork", cut_unix_ms.div_euclid(1000), fork_ms);
        shared.stats.observe_fork(self.request.purpose.label(), fork_duration.as_secs_f64());
        Ok(RunningCut {
            child,
            prepared: self.prepared,
            file: self.file,
            pipe_read: self.pipe_read,
            is_replacing: self.request.is_replacing,
            log: (self.request.purpose == Purpose::Bgsave).then(|| shared.log_end()).flatten(),
            keys: state.keyspace.len() as u64,
            cut_unix_ms,
            log_position: self.request.options.log_position,
            fork_duration,
            started: Instant::now(),
            _scratch: self.scratch,
        })
        // Dropped here, in the parent: the pipe's write end, so that the child's end is its end.
    }
}

/// A cut whose child writes.
pub struct RunningCut {
    child: Arc<Child>,
    prepared: Prepared,
    file: OwnedFd,
    pipe_read: File,
    is_replacing: bool,
    /// A log that must be as far as this before the file takes the place of `dump.rdb`.
    log: Option<LogEnd>,
    /// Keys at the cut.
    pub keys: u64,
    /// Unix ms of the cut.
    pub cut_unix_ms: i64,
    /// Where the log stood then.
    log_position: Option<LogPosition>,
    /// How long the call took.
    pub fork_duration: Duration,
    started: Instant,
    /// The child's, freed with the rest and not under the engine lock.
    _scratch: SaveScratch,
}

/// A finished cut.
#[derive(Debug, Clone, PartialEq)]
pub struct CutReport {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub size_bytes: u64,
    /// Keys in it.
    pub keys: u64,
    /// Unix ms of the cut.
    pub cut_unix_ms: i64,
    /// Where the log stood then, if there is one.
    pub log_position: Option<LogPosition>,
    /// How long the fork took.
    pub fork_duration: Duration,
    /// Bytes copied because somebody wrote to shared pages.
    pub cow_bytes: u64,
    /// From the fork until the file had its name.
    pub write_duration: Duration,
}

impl RunningCut {
    /// Wait for the child, give the file its name, then run `settle` under the engine lock together
    /// with the end of the child's reign, and let memory go back on huge pages. Never call it with
    /// the lock held.
    ///
    /// # Errors
    /// `SNAPSHOT_CHILD_FAILED` (killed, panicked), `DISK_FULL` and other I/O codes of the child or
    /// of naming the file, `CANCELLED`; no file is left then.
    pub fn finish(
        self,
        shared: &Arc<Shared>,
        watcher: &mut dyn Watcher,
        settle: impl FnOnce(&mut State, &Result<CutReport>),
    ) -> Result<CutReport> {
        let counters = &shared.stats.counters;
        counters.child_keys_total.store(self.keys, Relaxed);
        let outcome = self.collect(&mut Mirrored { inner: watcher, counters });
        counters.child_keys_total.store(0, Relaxed);
        counters.child_keys_written.store(0, Relaxed);
        if let Ok(report) = &outcome {
            counters.cow_bytes_last.store(report.cow_bytes, Relaxed);
        }
        let mut state = shared.state.lock();
        state.save.forget_child();
        shared.heed_log(&state);
        settle(&mut state, &outcome);
        drop(state);
        super::collapse::begin(shared);
        outcome
    }

    fn collect(self, watcher: &mut dyn Watcher) -> Result<CutReport> {
        let target = self.prepared.target.clone();
        if let Err(error) = failpoint::hit("snapshot.forked") {
            self.child.end();
            let _ = watch::supervise(&self.child, &self.pipe_read, &target, watcher);
            return Err(EngineError::from_io("fork for", &target, &error));
        }
        let result = watch::supervise(&self.child, &self.pipe_read, &target, watcher)?;
        durable::seal(&self.file, &self.prepared.temporary, result.size_bytes)?;
        if let Some(log) = &self.log {
            log.wait_fsynced()?;
        }
        hit("snapshot.before_rename", &target)?;
        let prepared = self.prepared;
        self.child.unless_ended(|| prepared.rename())?;
        let settled =
            hit("snapshot.after_rename", &target).and_then(|()| durable::fsync_directory(&target));
        if let Err(error) = settled {
            if !self.is_replacing {
                let _ = std::fs::remove_file(&target); // ours: the name was free
            }
            return Err(error);
        }
        Ok(CutReport {
            path: target,
            size_bytes: result.size_bytes,
            keys: result.keys,
            cut_unix_ms: self.cut_unix_ms,
            log_position: self.log_position,
            fork_duration: self.fork_duration,
            cow_bytes: result.cow_bytes,
            write_duration: self.started.elapsed(),
        })
    }
}

/// Lets INFO see the child's progress too.
struct Mirrored<'a> {
    inner: &'a mut dyn Watcher,
    counters: &'a Counters,
}

impl Watcher for Mirrored<'_> {
    fn progress(&mut self, keys: u64) {
        self.counters.child_keys_written.store(keys, Relaxed);
        self.inner.progress(keys);
    }

    fn check(&mut self) -> Result<()> {
        self.inner.check()
    }
}

fn hit(name: &str, path: &std::path::Path) -> Result<()> {
    failpoint::hit(name).map_err(|error| EngineError::from_io("rename to", path, &error))
}

fn fork_failed(errno: i32) -> EngineError {
    EngineError::new(
        "FORK_FAILED",
        format!("fork failed: {}", std::io::Error::from_raw_os_error(errno)),
        "Free memory or allow overcommit (vm.overcommit_memory=1); check the limit of processes.",
    )
    .retryable()
}

/// A pipe that other programs started by this process do not inherit; the child's end never blocks.
#[allow(unsafe_code)] // pipe2 fills an array with two new descriptors
fn pipe() -> std::io::Result<(File, OwnedFd)> {
    let mut ends = [0i32; 2];
    // SAFETY: the array has two places, and both descriptors are new and only ours.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok((File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}
