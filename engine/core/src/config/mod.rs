//! Directives: Redis's names, syntax and defaults. Three classes besides those
//! that work: harmless (accepted, warned once), refused by name (they protect, persist or bound
//! data and do not work yet), unknown (refused). `table` has every directive with its class,
//! `values` the syntax of values, `file` redis.conf and arguments as text. What `bind` may name is
//! not checked here: the border refuses addresses.

mod file;
pub mod table;
mod values;

use std::collections::{BTreeMap, BTreeSet};

pub use file::{read_redis_args, read_redis_conf, split_words};
use table::{Class, Row};

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
}

impl Config {
    /// Redis 7.0's defaults.
    pub fn redis_defaults() -> Self {
        Self {
            databases: 16,
            bind: vec!["127.0.0.1".to_owned()],
            port: 6379,
            dir: ".".into(),
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
            file: None,
            packing: Packing::default(),
            warnings: Vec::new(),
            others: BTreeMap::new(),
        }
    }

    /// Apply layers in order, lowest precedence first. Harmless directives add to `warnings`.
    /// `save` lines of one layer (a file with what it includes, the command line ...) add up; the
    /// first one of a layer forgets what lower layers said.
    ///
    /// # Errors
    /// `CONFIG_INVALID`, `CONFIG_UNSUPPORTED` (refused by name), `CONFIG_UNKNOWN`.
    pub fn apply(&mut self, directives: &[Directive]) -> Result<()> {
        let mut saving_layer: Option<&str> = None;
        for directive in directives {
            let Some(row) = table::find(&directive.name) else { return Err(unknown(directive)) };
            let words = directive.words(row)?;
            if row.name == "save" {
                let points =
                    values::save_points(&words).map_err(|reason| invalid(directive, &reason))?;
                if saving_layer != Some(directive.layer()) || points.is_empty() {
                    self.save.clear();
                    saving_layer = Some(directive.layer());
                }
                self.save.extend(points);
            } else {
                self.put(row, &words).map_err(|error| match error {
                    Refusal::Invalid(reason) => invalid(directive, &reason),
                    Refusal::Unsupported => unsupported(directive),
                })?;
            }
        }
        Ok(())
    }

    /// Give one directive (but `save`) its value.
    fn put(&mut self, row: &'static Row, words: &[String]) -> std::result::Result<(), Refusal> {
        let text = words.join(" ");
        match row.class {
            Class::Working => self.assign(row.name, words).map_err(Refusal::Invalid),
            _ if is_default(row, &text) => {
                self.others.remove(row.name);
                Ok(())
            }
            Class::Refused => {
                values::check_like(row, &text).map_err(Refusal::Invalid)?;
                Err(Refusal::Unsupported)
            }
            Class::Harmless => {
                values::check_like(row, &text).map_err(Refusal::Invalid)?;
                if row.name == "client-output-buffer-limit" && row.default.contains(&text) {
                    return Ok(());
                }
                let warning = format!("{} has no effect", row.name);
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
                self.others.insert(row.name, text);
                Ok(())
            }
        }
    }

    /// CONFIG GET: names and values that match the glob pattern, whatever its case.
    pub fn get(&self, pattern: &[u8]) -> Vec<(String, String)> {
        table::ROWS
            .iter()
            .filter(|row| !row.is_unlisted && glob_matches(pattern, row.name.as_bytes(), true))
            .map(|row| (row.name.to_owned(), self.value(row)))
            .collect()
    }

    fn value(&self, row: &Row) -> String {
        match row.class {
            Class::Working => self.show(row.name),
            _ => self.others.get(row.name).cloned().unwrap_or_else(|| row.default.to_owned()),
        }
    }

    /// CONFIG SET of several at once, all or none. The error is the text after `ERR `.
    ///
    /// # Errors
    /// The name concerned and Redis's reason.
    pub fn set(
        &mut self,
        pairs: &[(String, Vec<u8>)],
        allow_protected: bool,
    ) -> std::result::Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut rows = Vec::new();
        for (name, _) in pairs {
            let known = table::find(&name.to_ascii_lowercase()).filter(|row| !row.is_unlisted);
            let Some(row) = known else {
                return Err(format!(
                    "Unknown option or number of arguments for CONFIG SET - '{name}'"
                ));
            };
            let refusal = match () {
                () if row.is_immutable => "can't set immutable config",
                () if row.is_protected && !allow_protected => "can't set protected config",
                () if !seen.insert(row.name) => "duplicate parameter",
                () => {
                    rows.push(row);
                    continue;
                }
            };
            return Err(set_failed(name, refusal));
        }
        let mut changed = self.clone();
        for (row, (_, value)) in rows.into_iter().zip(pairs) {
            changed.set_one(row, value).map_err(|reason| set_failed(row.name, &reason))?;
        }
        *self = changed;
        Ok(())
    }

    fn set_one(&mut self, row: &'static Row, value: &[u8]) -> std::result::Result<(), String> {
        let text =
            String::from_utf8(value.to_vec()).map_err(|_| "argument must be text".to_owned())?;
        if row.name == "save" {
            let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
            self.save = values::save_points(&words)?;
            return Ok(());
        }
        if row.name == "dir" {
            if text.is_empty() {
                return Err("No such file or directory".to_owned());
            }
            // Redis's working directory is `dir` itself, so a relative one goes on from there.
            let dir = self.dir.join(&text);
            let metadata = std::fs::metadata(&dir).map_err(|error| os_reason(&error))?;
            if !metadata.is_dir() {
                return Err("Not a directory".to_owned());
            }
            self.dir = dir;
            return Ok(());
        }
        self.put(row, &[text]).map_err(|refusal| match refusal {
            Refusal::Invalid(reason) => reason,
            Refusal::Unsupported => "not supported here yet".to_owned(),
        })
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

fn is_default(row: &Row, text: &str) -> bool {
    let is_zero = |text: &str| values::memory(text) == Ok(0);
    text.eq_ignore_ascii_case(row.default) || (is_zero(row.default) && is_zero(text))
}

fn set_failed(name: &str, reason: &str) -> String {
    format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}

/// The operating system's words without Rust's number behind them.
fn os_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl Directive {
    /// Which layer the directive belongs to: all lines of files are one.
    fn layer(&self) -> &str {
        if self.origin.contains(" line ") { "file" } else { &self.origin }
    }

    /// The arguments as text; one argument of a directive that takes several is split at blanks.
    fn words(&self, row: &Row) -> Result<Vec<String>> {
        let one = match self.args.as_slice() {
            [one] if matches!(row.name, "save" | "bind") => split_words(one),
            _ => None,
        };
        let words = one.filter(|words| !words.is_empty()).unwrap_or_else(|| self.args.clone());
        if words.is_empty() {
            return Err(invalid(self, "wrong number of arguments"));
        }
        words
            .into_iter()
            .map(|word| String::from_utf8(word).map_err(|_| invalid(self, "not UTF-8")))
            .collect()
    }

    /// The directive for a message; what is a secret is not in it.
    fn shown(&self) -> String {
        if SECRETS.contains(&self.name.as_str()) {
            return format!("{}: '{} ***'", self.origin, self.name);
        }
        let args = self.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned());
        let args: Vec<String> = args.collect();
        format!("{}: '{} {}'", self.origin, self.name, args.join(" "))
    }
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
    let hint = match table::closest(&directive.name) {
        Some(name) => format!("Did you mean '{name}'?"),
        None => "Redis 7.0 has no such directive: leave it out.".to_owned(),
    };
    EngineError::new("CONFIG_UNKNOWN", format!("{} is unknown", directive.shown()), hint)
        .with("directive", directive.name.clone())
        .with("origin", directive.origin.clone())
}

#[cfg(test)]
mod tests;
