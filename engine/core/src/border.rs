//! The one door for the control plane: start, stop, cut, verify, load beside, commit, stats,
//! config. Every call returns at once and waits neither for a disk nor for the engine lock (I8);
//! the end of a job arrives through `events`. The JSON shapes are `sidecar/_engine.pyi`. This file
//! only hands work on: what a job does is in `job`, which port is bound in `border::listen`, which
//! directive wins in `border::options`.

pub mod files;
pub mod listen;
pub mod log_files;
pub mod options;
mod stats_json;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::config::{Access, Config};
use crate::descriptors;
use crate::error::{EngineError, Result};
use crate::grpc::{self, DataDoor};
use crate::job::boot::BootOptions;
use crate::job::commit::{CommitRequest, PAUSE_SECONDS_MAX};
use crate::job::{self, Job, Jobs, SetOutcome, Setting, Stages};
use crate::random::fill_random;
use crate::server::{self, RespDoor};
use crate::snapshot;
use crate::state::Shared;
use crate::{cron, durable, failpoint};
use options::StartOptions;

/// How long a stop waits for cancelled jobs and for the running child.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Where the engine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The data set is being loaded; commands are answered `-LOADING`.
    Loading = 0,
    /// It serves.
    Ready = 1,
    /// The data set cannot be loaded.
    Failed = 2,
    /// It has stopped.
    Stopped = 3,
}

impl Phase {
    /// The word on the border.
    pub fn word(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// The doors, which are closed once.
struct Doors {
    resp: RespDoor,
    data: Vec<DataDoor>,
    cron: cron::Cron,
}

/// What the handle and its jobs share.
struct Inner {
    shared: Arc<Shared>,
    stages: Stages,
    doors: Mutex<Option<Doors>>,
    phase: AtomicU8,
}

/// One running engine. Dropped: stopped without a save.
pub struct EngineHandle {
    inner: Arc<Inner>,
    jobs: Arc<Jobs>,
    ports: (u16, u16),
}

impl EngineHandle {
    /// Bind the ports, start the threads and begin to load `dump.rdb` in the background.
    ///
    /// # Errors
    /// `CONFIG_...`, `ADDRESS_...`, `THREAD_FAILED`, I/O codes. Nothing is left running then.
    pub fn start(options_json: &str) -> Result<Self> {
        Self::start_with_clock(options_json, Clock::system())
    }

    /// As [`EngineHandle::start`], with a clock that a test drives.
    ///
    /// # Errors
    /// As [`EngineHandle::start`].
    pub fn start_with_clock(options_json: &str, clock: Clock) -> Result<Self> {
        failpoint::arm_from_environment().map_err(bad_failpoints)?;
        snapshot::install_panic_hook();
        let options = StartOptions::from_json(options_json)?;
        let mut config = options.config()?;
        let clients_asked = config.maxclients;
        config.maxclients = descriptors::make_room(clients_asked);
        let addresses = listen::resolve(&config.bind, options.insecure)?;
        let backlog = config.tcp_backlog;
        let resp = listen::listen(listen::RESP, &addresses, config.port, backlog)?;
        let data = listen::listen(listen::DATA, &addresses, options.data_port, backlog)?;
        let ports = (listen::port_of(&resp), listen::port_of(&data));
        prepare_directory(&config)?;
        let shared = Arc::new(Shared::new(config, clock, random_hex()));
        shared.stats.is_loading.store(true, Ordering::Release);
        shared.stats.resp_port.store(ports.0, Ordering::Relaxed);
        let doors = open_doors(&shared, resp, data)?;
        let inner = Arc::new(Inner {
            shared: Arc::clone(&shared),
            stages: Stages::default(),
            doors: Mutex::new(Some(doors)),
            phase: AtomicU8::new(Phase::Loading as u8),
        });
        let boot = BootOptions {
            server_uid: options.server_uid,
            is_source_told: options.is_boot_source_told,
        };
        let jobs = Arc::new(Jobs::new(&shared));
        let handle = Self { inner: Arc::clone(&inner), jobs, ports };
        tell_start(&shared, clients_asked);
        // On an error the handle's drop stops what was started.
        std::thread::Builder::new()
            .name("perdure-load".to_owned())
            .spawn(move || inner.load(&boot))
            .map_err(|error| job::thread_failed(&error))?;
        Ok(handle)
    }

    /// What all threads share. For tests of the engine; the control plane uses the other calls.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// The ports of the RESP door and of the data door.
    pub fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// A descriptor that is readable while there are events.
    pub fn event_fd(&self) -> i32 {
        self.inner.shared.events.fd()
    }

    /// All events since the last call, oldest first.
    pub fn take_events(&self) -> Vec<String> {
        self.inner.shared.events.take()
    }

    /// Figures that need no lock, as a JSON object.
    pub fn stats(&self) -> String {
        stats_json::render(&self.inner.shared, self.inner.phase().word()).to_string()
    }

    /// Fork a snapshot into the new file `path`. Gives the job.
    pub fn cut(&self, path: String, purpose: String) -> u64 {
        self.start_job(move |inner, job| {
            job::cut::run(&inner.shared, job, &PathBuf::from(path), &purpose)
        })
    }

    /// Read a file back and parse all of it. Gives the job.
    pub fn verify(&self, path: String) -> u64 {
        self.start_job(move |inner, job| job::cut::verify(&inner.shared, job, &PathBuf::from(path)))
    }

    /// Parse a file into a staged keyspace. Gives the job.
    pub fn load_beside(&self, path: String) -> u64 {
        self.start_job(move |inner, job| {
            job::load::load_beside(&inner.shared, job, &inner.stages, &PathBuf::from(path))
        })
    }

    /// Free a staged keyspace. Gives the job.
    pub fn discard(&self, stage: u64) -> u64 {
        self.start_job(move |inner, _| job::load::discard(&inner.stages, stage))
    }

    /// Replace the live data by a stage, a safety cut first. Gives the job.
    pub fn commit(&self, stage: u64, safety_path: String) -> u64 {
        self.start_job(move |inner, job| {
            let request = CommitRequest {
                stage,
                safety_path: &PathBuf::from(safety_path),
                pause_max: Duration::from_secs(PAUSE_SECONDS_MAX),
            };
            job::commit::run(&inner.shared, job, &inner.stages, request)
        })
    }

    /// Ask a job to end; best effort.
    pub fn cancel(&self, job: u64) {
        self.jobs.cancel(job);
    }

    /// Look up directives by glob pattern. Gives the job.
    pub fn config_get(&self, pattern: String) -> u64 {
        self.start_job(move |inner, _| {
            let found = inner.shared.state.lock().config.get(pattern.as_bytes());
            let parameters: serde_json::Map<String, Value> =
                found.into_iter().map(|(name, value)| (name, value.into())).collect();
            Ok(json!({"parameters": parameters}))
        })
    }

    /// Set all of the directives or none. Gives the job.
    pub fn config_set(&self, pairs: Vec<(String, String)>) -> u64 {
        self.start_job(move |inner, job| {
            let pairs = pairs.into_iter().map(|(name, value)| (name, value.into_bytes()));
            let shared = &inner.shared;
            let mut state = shared.state.lock();
            let allow_protected = state.config.enable_protected_configs != Access::No;
            let setting = Setting { pairs: pairs.collect(), allow_protected };
            let outcome = job::set_directives(&mut state, shared, &setting);
            drop(state);
            if outcome.map_err(config_set_failed)? == SetOutcome::Switches {
                job::switch(shared, &setting, &|| job.check())?;
            }
            Ok(json!({}))
        })
    }

    /// Stop as SHUTDOWN SAVE or NOSAVE does, or with `None` as a plain SHUTDOWN: saved if save
    /// points are configured. Gives the job; the engine is gone when it is done.
    pub fn stop(&self, is_saving: Option<bool>) -> u64 {
        let inner = Arc::clone(&self.inner);
        let jobs = Arc::clone(&self.jobs);
        self.jobs.start_last(move |_| inner.stop(&jobs, is_saving))
    }

    fn start_job(&self, work: impl FnOnce(&Inner, &Job) -> Result<Value> + Send + 'static) -> u64 {
        let inner = Arc::clone(&self.inner);
        self.jobs.start(move |job| work(&inner, job))
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        // Threads end by themselves; a drop waits for nothing that takes a disk.
        let shared = &self.inner.shared;
        shared.is_stopping.store(true, Ordering::Release);
        shared.wake_loops();
        let doors = self.inner.doors.lock().take();
        if let Some(doors) = doors {
            doors.close();
        }
    }
}

impl Doors {
    fn close(self) {
        self.resp.stop();
        drop(self.data);
        self.cron.stop();
    }
}

impl Inner {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Loading,
            1 => Phase::Ready,
            2 => Phase::Failed,
            _ => Phase::Stopped,
        }
    }

    fn tell(&self, phase: Phase, error: Option<&EngineError>) {
        let mut document = json!({"event": "state", "state": phase.word()});
        if let (Some(error), Value::Object(fields)) = (error, &mut document) {
            fields.insert("error".to_owned(), error.to_json());
        }
        self.shared.events.push(&document);
    }

    /// The load has ended; a stop that came first has the last word.
    fn leave_loading(&self, phase: Phase, error: Option<&EngineError>) {
        let (loading, next) = (Phase::Loading as u8, phase as u8);
        let order = Ordering::AcqRel;
        if self.phase.compare_exchange(loading, next, order, Ordering::Acquire).is_ok() {
            self.tell(phase, error);
        }
    }

    fn load(&self, options: &BootOptions) {
        // A file that makes the parser panic must not leave the engine loading for ever.
        let load = AssertUnwindSafe(|| job::boot::load_at_boot(&self.shared, options));
        match catch_unwind(load).unwrap_or_else(|_| Err(job::panicked())) {
            Ok(loaded) => {
                self.shared.events.log("info", "data_set_loaded", &loaded);
                self.leave_loading(Phase::Ready, None);
            }
            Err(_) if self.shared.is_stopping.load(Ordering::Acquire) => {}
            Err(error) => {
                self.leave_loading(Phase::Failed, Some(&job::boot::boot_failed(error)));
            }
        }
    }

    fn stop(&self, jobs: &Jobs, is_saving: Option<bool>) -> Result<Value> {
        let shared = &self.shared;
        if self.phase() == Phase::Stopped {
            return Ok(json!({}));
        }
        // After SHUTDOWN the data is saved already, and nothing was executed since.
        if !shared.is_stopping.load(Ordering::Acquire) {
            let mut state = shared.state.lock();
            job::shut_down_locked(&mut state, shared, is_saving)?;
        }
        if !jobs.close(STOP_PATIENCE) {
            shared.events.log("warning", "stop_left_jobs", &json!({}));
        }
        let doors = self.doors.lock().take();
        if let Some(doors) = doors {
            doors.close();
        }
        self.wait_for_child();
        if self.phase.swap(Phase::Stopped as u8, Ordering::AcqRel) != Phase::Stopped as u8 {
            self.tell(Phase::Stopped, None);
        }
        Ok(json!({}))
    }

    fn wait_for_child(&self) {
        let deadline = std::time::Instant::now() + STOP_PATIENCE;
        let mut state = self.shared.state.lock();
        while state.save.child.is_some() && std::time::Instant::now() < deadline {
            let ended = Arc::clone(&state.save.child_ended);
            ended.wait_for(&mut state, Duration::from_millis(50));
        }
    }
}

fn bad_failpoints(text: String) -> EngineError {
    let hint = "Write name=kill, name=error:ERRNO or name=pause:FILE, separated by semicolons.";
    EngineError::new("CONFIG_INVALID", format!("PERDURE_FAILPOINTS: {text}"), hint)
}

fn config_set_failed(text: String) -> EngineError {
    let hint = "Look the directive up with: perdure config get NAME; nothing was set.";
    EngineError::new("CONFIG_SET_FAILED", text, hint)
}

/// The directory of `dump.rdb` is there, and what dead processes left in it is gone.
fn prepare_directory(config: &Config) -> Result<()> {
    std::fs::create_dir_all(&config.dir)
        .map_err(|error| EngineError::from_io("create", &config.dir, &error))?;
    durable::sweep_leftovers(&config.dir).map(drop)
}

/// 40 hex digits, new for each start (INFO's `run_id`).
fn random_hex() -> String {
    let mut bytes = [0u8; 20];
    fill_random(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open_doors(
    shared: &Arc<Shared>,
    resp: Vec<std::net::TcpListener>,
    data: Vec<std::net::TcpListener>,
) -> Result<Doors> {
    let io_threads = shared.state.lock().config.io_threads;
    let data: Vec<DataDoor> =
        data.into_iter().map(|listener| grpc::serve(shared, listener)).collect::<Result<_>>()?;
    let resp = server::serve(shared, resp, io_threads)?;
    match cron::start(shared) {
        Ok(cron) => Ok(Doors { resp, data, cron }),
        Err(error) => {
            shared.is_stopping.store(true, Ordering::Release);
            resp.stop();
            Err(error)
        }
    }
}

fn tell_start(shared: &Shared, clients_asked: usize) {
    let state = shared.state.lock();
    let (warnings, clients_max) = (state.config.warnings.clone(), state.config.maxclients);
    drop(state);
    if clients_max < clients_asked {
        let hint = "Raise the hard limit on open files (ulimit -Hn), then start again.";
        let fields = json!({"maxclients": clients_max, "asked": clients_asked, "hint": hint});
        shared.events.log("warning", "maxclients_lowered", &fields);
    }
    for warning in warnings {
        shared.events.log("warning", "directive_without_effect", &json!({"text": warning}));
    }
    shared.events.push(&json!({"event": "state", "state": Phase::Loading.word()}));
}
