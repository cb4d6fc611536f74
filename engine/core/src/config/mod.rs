//! Directives: Redis's names, syntax and defaults. Three classes besides those
//! that work: harmless (accepted, warned once), refused by name (they protect, persist or bound
//! data and do not work yet), unknown (refused). `table` has every directive with its class, `kind`
//! and `words` the syntax of values, `fields` where they are kept, `file` redis.conf and arguments
//! as text, `set` CONFIG SET, `rewrite` CONFIG REWRITE. What `bind` may name is not checked here:
//! the border refuses addresses.

mod fields;
mod file;
mod kind;
mod rewrite;
mod row;
mod set;
mod table;
mod words;

use std::collections::BTreeMap;

pub use file::{read_redis_args, read_redis_conf, split_words};
pub(crate) use kind::quote;
use kind::{Kind, Reason};
use row::{Class, Row};

use crate::aof::FsyncPolicy;
use crate::command::glob_matches;
use crate::error::{EngineError, Result};
use crate::limits::{BULK_BYTES_MAX, CLIENTS_DEFAULT};
use crate::value::packing::Packing;

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
    /// The layer at hand has given `dir`: a relative one goes on from there.
    is_dir_given: bool,
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
    /// `latency-tracking`.
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`.
    pub latency_percentiles: Vec<f64>,
    /// `latency-monitor-threshold`, milliseconds; 0 is off.
    pub latency_monitor_threshold: u64,
    /// `slowlog-log-slower-than`, microseconds; -1 is off.
    pub slowlog_log_slower_than: i64,
    /// `slowlog-max-len`.
    pub slowlog_max_len: usize,
    /// `appendonly`: whether writes are logged.
    pub appendonly: bool,
    /// `appendfilename`: how the log's files begin.
    pub appendfilename: String,
    /// `appenddirname`: the log's folder in `dir`.
    pub appenddirname: String,
    /// `appendfsync`.
    pub appendfsync: FsyncPolicy,
    /// `no-appendfsync-on-rewrite`.
    pub no_appendfsync_on_rewrite: bool,
    /// `auto-aof-rewrite-percentage`; 0 is off.
    pub auto_aof_rewrite_percentage: u64,
    /// `auto-aof-rewrite-min-size`, bytes.
    pub auto_aof_rewrite_min_size: u64,
    /// `aof-load-truncated`.
    pub aof_load_truncated: bool,
    /// `aof-timestamp-enabled`.
    pub aof_timestamp_enabled: bool,
    /// `aof-rewrite-incremental-fsync`.
    pub aof_rewrite_incremental_fsync: bool,
    /// `aof-use-rdb-preamble`: a base is an RDB file.
    pub aof_use_rdb_preamble: bool,
    /// The redis.conf that was read, absolute: what CONFIG REWRITE rewrites.
    pub file: Option<std::path::PathBuf>,
    /// When small collections stop being packed (`hash-max-listpack-entries` and its like).
    pub packing: Packing,
    /// Warnings for harmless directives that do nothing here (event name, text), told once at
    /// start.
    pub warnings: Vec<String>,
    /// Values of directives without effect that differ from their defaults, for CONFIG GET.
    others: BTreeMap<&'static str, String>,
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

/// One layer of directives as text: (name, value arguments), with where it stands for the error
/// text.
#[derive(Debug, Clone)]
pub struct Directive {
    /// Lower-case name.
    pub name: String,
    /// Arguments after the name, unquoted.
    pub args: Vec<Vec<u8>>,
    /// `redis.conf line 12`, `command line`, `environment`, `TOML [redis]`.
    pub origin: String,
    /// Stands in a file that the main one includes.
    pub(crate) is_included: bool,
    /// Stands behind an `include` line of its file.
    pub(crate) is_after_include: bool,
}

impl Config {
    /// Redis 7.0's defaults.
    pub fn redis_defaults() -> Self {
        Self {
            databases: 16,
            bind: vec!["127.0.0.1".to_owned()],
            port: 6379,
            dir: ".".into(),
            is_dir_given: false,
            dbfilename: "dump.rdb".to_owned(),
            save: vec![(3600, 1), (300, 100), (60, 10_000)],
            rdbcompression: true,
            rdbchecksum: true,
            stop_writes_on_bgsave_error: true,
            enable_debug_command: Access::No,
            enable_protected_configs: Access::No,
            maxclients: CLIENTS_DEFAULT,
            timeout: 0,
            tcp_keepalive: 300,
            tcp_backlog: 511,
            hz: 10,
            io_threads: 1,
            proto_max_bulk_len: BULK_BYTES_MAX,
            latency_tracking: true,
            latency_percentiles: vec![50.0, 99.0, 99.9],
            latency_monitor_threshold: 0,
            slowlog_log_slower_than: 10_000,
            slowlog_max_len: 128,
            appendonly: false,
            appendfilename: "appendonly.aof".to_owned(),
            appenddirname: "appendonlydir".to_owned(),
            appendfsync: FsyncPolicy::Everysec,
            no_appendfsync_on_rewrite: false,
            auto_aof_rewrite_percentage: 100,
            auto_aof_rewrite_min_size: 64 << 20,
            aof_load_truncated: true,
            aof_timestamp_enabled: false,
            aof_rewrite_incremental_fsync: true,
            aof_use_rdb_preamble: true,
            file: None,
            packing: Packing::default(),
            warnings: Vec::new(),
            others: BTreeMap::new(),
        }
    }

    /// Apply layers in order, lowest precedence first. Harmless directives add to `warnings`.
    /// `save` lines of one layer (a file with what it includes, the command line ...) add up; the
    /// first one of a layer forgets what lower layers said, and, as in Redis, each one behind an
    /// `include` line of its file forgets all before it.
    ///
    /// # Errors
    /// `CONFIG_INVALID`, `CONFIG_UNSUPPORTED` (refused by name), `CONFIG_UNKNOWN`.
    pub fn apply(&mut self, directives: &[Directive]) -> Result<()> {
        let mut saving_layer: Option<&str> = None;
        self.is_dir_given = false;
        for directive in directives {
            let Some(row) = row::find(&directive.name) else { return Err(unknown(directive)) };
            let row = row.main();
            let words = directive.words(row)?;
            let earlier = self.save.clone();
            let put = self.put(row, &words);
            if row.name == "save" && !directive.is_after_include {
                if saving_layer == Some(directive.layer()) && !self.save.is_empty() {
                    self.save.splice(0..0, earlier);
                }
                saving_layer = Some(directive.layer());
            }
            put.map_err(|error| match error {
                Refusal::Invalid(reason) => invalid(directive, &reason),
                Refusal::Unsupported => unsupported(directive),
            })?;
        }
        Ok(())
    }

    /// Give one directive its value.
    fn put(&mut self, row: &'static Row, words: &[String]) -> std::result::Result<(), Refusal> {
        let split = match words {
            [one] if row.kind == Kind::Words => one.split(' ').map(str::to_owned).collect(),
            _ => words.to_vec(),
        };
        if row.class == Class::Working {
            return self.put_working(row, &split).map_err(Refusal::Invalid);
        }
        let text = match split.as_slice() {
            many if row.kind == Kind::Words => words::other(row.name, &self.value(row), many),
            [one] => row.kind.read(row.name, one).map(|value| value.shown()),
            _ => Err("wrong number of arguments".to_owned()),
        };
        let text = text.map_err(Refusal::Invalid)?;
        if text == row.default {
            self.others.remove(row.name);
            return Ok(());
        }
        if row.class == Class::Refused {
            return Err(Refusal::Unsupported);
        }
        let warning = format!("{} has no effect", row.name);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
        self.others.insert(row.name, text);
        Ok(())
    }

    fn put_working(&mut self, row: &Row, words: &[String]) -> std::result::Result<(), Reason> {
        match (row.name, words) {
            ("bind", _) => self.bind = words.iter().filter(|it| !it.is_empty()).cloned().collect(),
            ("save", _) => self.save = words::save_points(words)?,
            ("latency-tracking-info-percentiles", _) => {
                self.latency_percentiles = words::percentiles(words)?;
            }
            ("dir", [text]) => {
                let last = self.is_dir_given.then_some(self.dir.as_path());
                self.dir = words::directory(last, text)?;
                self.is_dir_given = true;
            }
            ("dbfilename", [text]) if matches!(text.as_str(), "" | "." | "..") => {
                return Err("dbfilename must name a file".to_owned());
            }
            (name @ ("appendfilename" | "appenddirname"), [text]) if text.is_empty() => {
                return Err(format!("{name} can't be empty"));
            }
            ("appenddirname", [text]) if matches!(text.as_str(), "." | "..") => {
                return Err("appenddirname must name a folder".to_owned());
            }
            (name, [text]) => self.put_field(name, &row.kind.read(name, text)?),
            _ => return Err("wrong number of arguments".to_owned()),
        }
        self.clamp();
        Ok(())
    }

    /// Redis takes any `hz`; the bulk length is bounded by ours.
    fn clamp(&mut self) {
        self.hz = self.hz.clamp(1, 500);
        self.proto_max_bulk_len = self.proto_max_bulk_len.min(BULK_BYTES_MAX);
    }

    /// CONFIG GET: names and values that match the glob pattern, whatever its case.
    pub fn get(&self, pattern: &[u8]) -> Vec<(String, String)> {
        table::ROWS
            .iter()
            .filter(|row| !row.is_unlisted && glob_matches(pattern, row.name.as_bytes(), true))
            .map(|row| (row.name.to_owned(), self.value(row.main())))
            .collect()
    }

    /// The value of a directive as CONFIG GET shows it.
    fn value(&self, row: &Row) -> String {
        let join = |texts: Vec<String>| texts.join(" ");
        match (row.class, row.name) {
            (Class::Working, "bind") => self.bind.join(" "),
            (Class::Working, "save") => {
                let points =
                    self.save.iter().map(|(seconds, changes)| format!("{seconds} {changes}"));
                join(points.collect())
            }
            (Class::Working, "latency-tracking-info-percentiles") => {
                join(self.latency_percentiles.iter().map(ToString::to_string).collect())
            }
            (Class::Working, "dir") => {
                let whole = std::fs::canonicalize(&self.dir);
                whole.unwrap_or_else(|_| self.dir.clone()).display().to_string()
            }
            (Class::Working, name) => {
                self.field(name).map(|value| value.shown()).unwrap_or_default()
            }
            (_, name) => self.others.get(name).cloned().unwrap_or_else(|| row.default.to_owned()),
        }
    }

    /// Full path of the RDB file.
    pub fn rdb_path(&self) -> std::path::PathBuf {
        self.dir.join(&self.dbfilename)
    }
}

/// Why a value is not taken.
enum Refusal {
    Invalid(String),
    Unsupported,
}

impl Directive {
    /// A directive that does not stand in a file.
    pub fn new(name: &str, args: Vec<Vec<u8>>, origin: &str) -> Self {
        let (name, origin) = (name.to_lowercase(), origin.to_owned());
        Self { name, args, origin, is_included: false, is_after_include: false }
    }

    /// Which layer the directive belongs to: all lines of files are one.
    fn layer(&self) -> &str {
        if self.origin.contains(" line ") { "file" } else { &self.origin }
    }

    /// The arguments as text. `save` alone means no save points.
    fn words(&self, row: &Row) -> Result<Vec<String>> {
        if self.args.is_empty() {
            return match row.name {
                "save" => Ok(vec![String::new()]),
                _ => Err(invalid(self, "wrong number of arguments")),
            };
        }
        let word =
            |arg: &Vec<u8>| String::from_utf8(arg.clone()).map_err(|_| invalid(self, "not UTF-8"));
        self.args.iter().map(word).collect()
    }

    /// The directive for a message; what is a secret is not in it.
    fn shown(&self) -> String {
        if is_secret(self.name.as_bytes()) {
            return format!("{}: '{} ***'", self.origin, self.name);
        }
        let args = self.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned());
        let args: Vec<String> = args.collect();
        format!("{}: '{} {}'", self.origin, self.name, args.join(" "))
    }
}

/// Whether a directive's value must not be shown in logs.
pub fn is_secret(name: &[u8]) -> bool {
    SECRETS.iter().any(|secret| secret.as_bytes().eq_ignore_ascii_case(name))
}

const SECRETS: [&str; 5] =
    ["masterauth", "requirepass", "tls-client-key-file-pass", "tls-key-file-pass", "user"];

fn invalid(directive: &Directive, reason: &str) -> EngineError {
    EngineError::new(
        "CONFIG_INVALID",
        format!("{}: {reason}", directive.shown()),
        "Correct the value, or leave the directive out for its default.",
    )
    .with("directive", directive.name.clone())
    .with("origin", directive.origin.clone())
}

fn unsupported(directive: &Directive) -> EngineError {
    EngineError::new(
        "CONFIG_UNSUPPORTED",
        format!("{} does not work here yet and must not be relied on", directive.shown()),
        "Leave the directive out, or give it its default.",
    )
    .with("directive", directive.name.clone())
    .with("origin", directive.origin.clone())
}

fn unknown(directive: &Directive) -> EngineError {
    let hint = match row::closest(&directive.name) {
        Some(name) => format!("Did you mean '{name}'?"),
        None => "Redis 7.0 has no such directive: leave it out.".to_owned(),
    };
    EngineError::new("CONFIG_UNKNOWN", format!("{} is unknown", directive.shown()), hint)
        .with("directive", directive.name.clone())
        .with("origin", directive.origin.clone())
}

#[cfg(test)]
mod tests;
