//! Directives: Redis's names, syntax and defaults. R4 owns this room. Three classes besides those that work: harmless
//! (accepted, warned once), refused by name (they protect, persist or bound data and do not work yet), unknown (refused).

use crate::error::Result;

/// Directives in force. Typed fields for what the engine reads; CONFIG GET renders them.
#[derive(Debug, Clone)]
pub struct Config {
    /// `databases`.
    pub databases: usize,
    /// `bind` addresses.
    pub bind: Vec<String>,
    /// `port` (RESP).
    pub port: u16,
    /// `dir`: where `dbfilename` stands.
    pub dir: std::path::PathBuf,
    /// `dbfilename`.
    pub dbfilename: String,
    /// `save` points: (seconds, changes).
    pub save: Vec<(u64, u64)>,
    /// `rdbcompression`.
    pub rdbcompression: bool,
    /// `rdbchecksum`.
    pub rdbchecksum: bool,
    /// `stop-writes-on-bgsave-error`.
    pub stop_writes_on_bgsave_error: bool,
    /// `enable-debug-command`: no, local or yes.
    pub enable_debug_command: Access,
    /// `enable-protected-configs`: no, local or yes.
    pub enable_protected_configs: Access,
    /// `maxclients`.
    pub maxclients: usize,
    /// `timeout`, seconds; 0 never.
    pub timeout: u64,
    /// `tcp-keepalive`, seconds; 0 off.
    pub tcp_keepalive: u64,
    /// `tcp-backlog`.
    pub tcp_backlog: i32,
    /// `hz`.
    pub hz: u32,
    /// `io-threads`.
    pub io_threads: usize,
    /// `proto-max-bulk-len`.
    pub proto_max_bulk_len: usize,
    /// Warnings for harmless directives that do nothing here (event name, text), told once at start.
    pub warnings: Vec<String>,
}

/// Who may use a guarded feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    No,
    /// Connections from loopback.
    Local,
    /// Everybody.
    Yes,
}

/// One layer of directives as text: (name, value arguments), with where it stands for the error text.
#[derive(Debug, Clone)]
pub struct Directive {
    /// Lower-case name.
    pub name: String,
    /// Arguments after the name, unquoted.
    pub args: Vec<Vec<u8>>,
    /// `redis.conf line 12`, `command line`, `environment`, `TOML [redis]`.
    pub origin: String,
}

impl Config {
    /// Redis 7.0's defaults.
    pub fn redis_defaults() -> Self {
        todo!()
    }
    /// Apply layers in order, lowest precedence first. Harmless directives add to `warnings`.
    ///
    /// # Errors
    /// `CONFIG_INVALID`, `CONFIG_UNSUPPORTED` (refused by name), `CONFIG_UNKNOWN`.
    pub fn apply(&mut self, _directives: &[Directive]) -> Result<()> {
        todo!()
    }
    /// CONFIG GET: names and values that match the glob pattern.
    pub fn get(&self, _pattern: &[u8]) -> Vec<(String, String)> {
        todo!()
    }
    /// CONFIG SET of several at once, all or none. The error is the text after `CONFIG SET failed`.
    ///
    /// # Errors
    /// The name concerned and Redis's reason.
    pub fn set(
        &mut self,
        _pairs: &[(String, Vec<u8>)],
        _allow_protected: bool,
    ) -> std::result::Result<(), String> {
        todo!()
    }
    /// Full path of the RDB file.
    pub fn rdb_path(&self) -> std::path::PathBuf {
        self.dir.join(&self.dbfilename)
    }
}

/// Read a redis.conf file (quotes, escapes, comments, `include`).
///
/// # Errors
/// `CONFIG_INVALID` with file and line, `FILE_MISSING`.
pub fn read_redis_conf(_path: &std::path::Path) -> Result<Vec<Directive>> {
    todo!()
}

/// Read arguments as redis-server does: `--save '' --dbfilename x.rdb`, several values up to the next `--`.
///
/// # Errors
/// `CONFIG_INVALID` for words before the first `--name`.
pub fn read_redis_args(_args: &[String]) -> Result<Vec<Directive>> {
    todo!()
}
