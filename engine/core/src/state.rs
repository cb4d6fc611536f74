//! What the one engine lock guards (`State`) and what every thread shares (`Shared`).
//! Order of locks: the engine lock first, then any other; never the other way round.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::aof::growth::Growth;
use crate::aof::{Attached, Gate, LogEnd, LogPosition, LogSettings};
use crate::clock::Clock;
use crate::command::figures::Figures;
use crate::config::Config;
use crate::effects::Effects;
use crate::events::Events;
use crate::keyspace::Keyspace;
use crate::session::ClientInfo;
use crate::snapshot::{Collapse, SaveState};
use crate::stats::Stats;

/// Everything that commands read and change, under the one engine lock.
pub struct State {
    /// The data.
    pub keyspace: Keyspace,
    /// The propagation seam.
    pub effects: Effects,
    /// Directives in force.
    pub config: Config,
    /// Save points, the running child, LASTSAVE.
    pub save: SaveState,
    /// Rewrites of the log, and who works on its files.
    pub growth: Growth,
    /// Writes wait (a commit is between its safety cut and its switch).
    pub are_writes_paused: bool,
    /// A log is being replayed: no key's time is over until the log says so.
    pub is_replaying: bool,
    /// CLIENT PAUSE.
    pub pause: Option<ClientPause>,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub is_active_expire_on: bool,
    /// What commands cost and how they failed.
    pub figures: Figures,
    /// Connected clients by id.
    pub clients: HashMap<u64, Arc<ClientInfo>>,
}

/// Commands wait until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPause {
    /// Unix ms.
    pub until_ms: i64,
    /// All commands, not only those that change data.
    pub is_all: bool,
}

impl State {
    /// Whether nothing may change by itself now: keys whose time is over are taken for missing but
    /// stay, since their DEL could not be logged.
    pub fn is_data_held(&self) -> bool {
        self.are_writes_paused || self.pause.is_some()
    }

    /// Forget a CLIENT PAUSE that is over; gives whether there was one. The caller wakes the loops.
    pub fn end_pause(&mut self, now_ms: i64) -> bool {
        let is_over = self.pause.is_some_and(|pause| now_ms >= pause.until_ms);
        if is_over {
            self.pause = None;
        }
        is_over
    }

    /// What the directives, and the child if one runs, ask of the log.
    pub fn log_settings(&self) -> LogSettings {
        LogSettings {
            policy: self.config.appendfsync,
            is_timestamped: self.config.aof_timestamp_enabled,
            is_fsync_held: self.config.no_appendfsync_on_rewrite && self.save.child.is_some(),
        }
    }

    /// Directives have changed: what keeps a copy of one learns of it. (The loops copy theirs
    /// whenever they hold the lock.)
    pub fn heed_config(&mut self) {
        self.figures.heed(&self.config);
    }
}

/// Shared by the loops, the doors, the jobs and the border.
pub struct Shared {
    /// The one engine lock.
    pub state: Mutex<State>,
    /// The reply gate.
    pub gate: Arc<Gate>,
    /// The log, for those who do not hold the engine lock. Filled in by `state.effects.attach`.
    pub log: Arc<Attached>,
    /// Lock-free figures.
    pub stats: Stats,
    /// Wall and monotonic time.
    pub clock: Arc<Clock>,
    /// Putting memory back on huge pages after a child.
    pub collapse: Collapse,
    /// Towards the control plane.
    pub events: Arc<Events>,
    /// Told to wake connections whose writes waited, or whose client was killed.
    pub loops: Mutex<Vec<Arc<dyn LoopWaker>>>,
    /// The engine is stopping: loops end.
    pub is_stopping: AtomicBool,
    /// 40 hex digits, new for each start (INFO's `run_id`).
    pub run_id: String,
}

/// A network loop as other threads see it.
pub trait LoopWaker: Send + Sync {
    /// Look again at killed clients, paused writes and the stop flag.
    fn wake(&self);
}

impl Shared {
    /// An empty data set that counts as loaded, with nothing attached.
    pub fn new(config: Config, clock: Clock, run_id: String) -> Self {
        let now_unix_s = clock.unix_ms().div_euclid(1000);
        let stats = Stats::default();
        let mut figures = Figures::default();
        figures.heed(&config);
        stats.last_save_unix_s.store(now_unix_s, Ordering::Relaxed);
        let save = SaveState {
            last_save_unix_s: now_unix_s,
            last_bgsave_seconds: -1,
            ..SaveState::default()
        };
        let log = Arc::<Attached>::default();
        Self {
            state: Mutex::new(State {
                keyspace: Keyspace::new(config.databases),
                effects: Effects::new(Arc::clone(&log)),
                config,
                save,
                growth: Growth::default(),
                are_writes_paused: false,
                is_replaying: false,
                pause: None,
                is_active_expire_on: true,
                figures,
                clients: HashMap::new(),
            }),
            gate: Arc::default(),
            log,
            stats,
            clock: Arc::new(clock),
            collapse: Collapse::default(),
            events: Arc::default(),
            loops: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            run_id,
        }
    }

    /// Where the log stands that a start would read; none without one (under the engine lock, between
    /// units).
    pub fn log_position(&self) -> Option<LogPosition> {
        self.log.file().filter(|log| log.is_in_force())?;
        self.gate.log_position(self.gate.appended())
    }

    /// Up to where the log must be fsynced that replies wait for; none without one (under the
    /// engine lock).
    pub fn log_end(&self) -> Option<LogEnd> {
        let log = self.log.file().filter(|log| log.is_binding())?;
        Some(LogEnd { log, offset: self.gate.appended() })
    }

    /// Directives have changed, or a child has begun or ended: the log learns of it.
    pub fn heed_log(&self, state: &State) {
        if let Some(log) = self.log.file() {
            log.set(state.log_settings());
        }
    }

    /// Wake every loop.
    pub fn wake_loops(&self) {
        self.loops.lock().iter().for_each(|waker| waker.wake());
    }
}
