//! Values of directives: their syntax with Redis's reasons for refusing, and the fields of `Config`
//! that hold them.

use std::path::PathBuf;

use super::table::Row;
use super::{Access, Config};
use crate::limits::{DATABASES_MAX, IO_THREADS_MAX};

/// Why a value is refused, in Redis's words.
pub type Reason = String;

fn yes_no(text: &str) -> Result<bool, Reason> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".to_owned()),
    }
}

/// Check a value that has no effect as far as its default tells what it is.
pub fn check_like(row: &Row, text: &str) -> Result<(), Reason> {
    const THREE_WAYS: [&str; 5] = ["local", "relative", "absolute", "auto", "clients"];
    let default = row.default;
    if row.name == "maxmemory" {
        memory(text)?;
    } else if matches!(default, "yes" | "no") && !THREE_WAYS.contains(&text) {
        yes_no(text)?;
    } else if default == "notice" {
        one_of(text, &["debug", "verbose", "notice", "warning"])?;
    } else if !default.is_empty() && default.parse::<i64>().is_ok() {
        memory(text).map_err(|_| "argument couldn't be parsed into an integer".to_owned())?;
    }
    Ok(())
}

fn one_of(text: &str, words: &[&str]) -> Result<usize, Reason> {
    let at = words.iter().position(|word| word.eq_ignore_ascii_case(text));
    at.ok_or_else(|| format!("argument(s) must be one of the following: {}", words.join(", ")))
}

fn integer(text: &str, low: i64, high: i64) -> Result<i64, Reason> {
    let value = crate::value::integer::parse_i64(text.as_bytes())
        .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
    in_range(value, low, high)
}

fn in_range(value: i64, low: i64, high: i64) -> Result<i64, Reason> {
    (low..=high)
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| format!("argument must be between {low} and {high} inclusive"))
}

/// A number of bytes: `1k` is 1000, `1kb` 1024, and so on to g and gb.
pub fn memory(text: &str) -> Result<i64, Reason> {
    let wrong = || "argument must be a memory value".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let scale: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(scale).ok_or_else(wrong)
}

fn access(text: &str) -> Result<Access, Reason> {
    Ok([Access::No, Access::Yes, Access::Local][one_of(text, &["no", "yes", "local"])?])
}

fn access_text(access: Access) -> &'static str {
    match access {
        Access::No => "no",
        Access::Local => "local",
        Access::Yes => "yes",
    }
}

/// Save points: pairs of seconds and changes. One empty word: none at all.
pub fn save_points(words: &[String]) -> Result<Vec<(u64, u64)>, Reason> {
    let wrong = || "Invalid save parameters".to_owned();
    if words.len() == 1 && words[0].is_empty() {
        return Ok(Vec::new());
    }
    if !words.len().is_multiple_of(2) {
        return Err(wrong());
    }
    words
        .chunks(2)
        .map(|pair| {
            let seconds = pair[0].parse::<u64>().map_err(|_| wrong())?;
            let changes = pair[1].parse::<u64>().map_err(|_| wrong())?;
            if seconds == 0 { Err(wrong()) } else { Ok((seconds, changes)) }
        })
        .collect()
}

/// Percentiles, separated by blanks; none at all is well.
fn percentiles(words: &[String]) -> Result<Vec<f64>, Reason> {
    let percent = |word: &str| match word.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        Ok(_) => Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"),
        Err(_) => Err("Invalid latency-tracking-info-percentiles parameters"),
    };
    let all = words.iter().flat_map(|word| word.split_ascii_whitespace());
    all.map(percent).collect::<Result<_, _>>().map_err(str::to_owned)
}

fn file_name(text: &str) -> Result<String, Reason> {
    if text.contains('/') {
        return Err("dbfilename can't be a path, just a filename".to_owned());
    }
    if text.is_empty() || text == "." || text == ".." {
        return Err("dbfilename must name a file".to_owned());
    }
    Ok(text.to_owned())
}

fn yes_no_text(is_on: bool) -> String {
    if is_on { "yes" } else { "no" }.to_owned()
}

impl Config {
    /// The value of a working directive as CONFIG GET shows it.
    pub(super) fn show(&self, name: &str) -> String {
        match name {
            "bind" => self.bind.join(" "),
            "databases" => self.databases.to_string(),
            "dbfilename" => self.dbfilename.clone(),
            "dir" => std::fs::canonicalize(&self.dir)
                .unwrap_or_else(|_| self.dir.clone())
                .display()
                .to_string(),
            "enable-debug-command" => access_text(self.enable_debug_command).to_owned(),
            "enable-protected-configs" => access_text(self.enable_protected_configs).to_owned(),
            "hash-max-listpack-entries" | "hash-max-ziplist-entries" => {
                self.packing.hash_entries.to_string()
            }
            "hash-max-listpack-value" | "hash-max-ziplist-value" => {
                self.packing.hash_value_bytes.to_string()
            }
            "hz" => self.hz.to_string(),
            "io-threads" => self.io_threads.to_string(),
            "latency-tracking" => yes_no_text(self.latency_tracking),
            "latency-tracking-info-percentiles" => {
                let texts = self.latency_percentiles.iter().map(ToString::to_string);
                texts.collect::<Vec<_>>().join(" ")
            }
            "list-max-listpack-size" | "list-max-ziplist-size" => {
                self.packing.list_node.to_string()
            }
            "maxclients" => self.maxclients.to_string(),
            "port" => self.port.to_string(),
            "proto-max-bulk-len" => self.proto_max_bulk_len.to_string(),
            "rdbchecksum" => yes_no_text(self.rdbchecksum),
            "rdbcompression" => yes_no_text(self.rdbcompression),
            "save" => {
                let points =
                    self.save.iter().map(|(seconds, changes)| format!("{seconds} {changes}"));
                points.collect::<Vec<_>>().join(" ")
            }
            "set-max-intset-entries" => self.packing.set_int_entries.to_string(),
            "stop-writes-on-bgsave-error" => yes_no_text(self.stop_writes_on_bgsave_error),
            "tcp-backlog" => self.tcp_backlog.to_string(),
            "tcp-keepalive" => self.tcp_keepalive.to_string(),
            "timeout" => self.timeout.to_string(),
            "zset-max-listpack-entries" | "zset-max-ziplist-entries" => {
                self.packing.zset_entries.to_string()
            }
            "zset-max-listpack-value" | "zset-max-ziplist-value" => {
                self.packing.zset_value_bytes.to_string()
            }
            _ => String::new(),
        }
    }

    /// Give a working directive (but `save`, whose lines add up) its value.
    pub(super) fn assign(&mut self, name: &str, words: &[String]) -> Result<(), Reason> {
        const INT_MAX: i64 = i32::MAX as i64;
        if name == "bind" {
            self.bind = words.to_vec();
            return Ok(());
        }
        if name == "latency-tracking-info-percentiles" {
            self.latency_percentiles = percentiles(words)?;
            return Ok(());
        }
        let [text] = words else { return Err("wrong number of arguments".to_owned()) };
        match name {
            "databases" => self.databases = integer(text, 1, DATABASES_MAX as i64)? as usize,
            "dbfilename" => self.dbfilename = file_name(text)?,
            "dir" => self.dir = PathBuf::from(text),
            "enable-debug-command" => self.enable_debug_command = access(text)?,
            "enable-protected-configs" => self.enable_protected_configs = access(text)?,
            "hash-max-listpack-entries" | "hash-max-ziplist-entries" => {
                self.packing.hash_entries = integer(text, 0, i64::MAX)? as usize;
            }
            "hash-max-listpack-value" | "hash-max-ziplist-value" => {
                self.packing.hash_value_bytes = memory(text)? as usize;
            }
            // Redis takes any value and clamps it.
            "hz" => self.hz = integer(text, 0, INT_MAX)?.clamp(1, 500) as u32,
            "io-threads" => self.io_threads = integer(text, 1, IO_THREADS_MAX as i64)? as usize,
            "latency-tracking" => self.latency_tracking = yes_no(text)?,
            "list-max-listpack-size" | "list-max-ziplist-size" => {
                self.packing.list_node = integer(text, i64::from(i32::MIN), INT_MAX)? as i32;
            }
            "maxclients" => self.maxclients = integer(text, 1, i64::from(u32::MAX))? as usize,
            "port" => self.port = integer(text, 0, 65_535)? as u16,
            "proto-max-bulk-len" => {
                let bytes = in_range(memory(text)?, 1 << 20, i64::MAX)?;
                self.proto_max_bulk_len = (bytes as usize).min(crate::limits::BULK_BYTES_MAX);
            }
            "rdbchecksum" => self.rdbchecksum = yes_no(text)?,
            "rdbcompression" => self.rdbcompression = yes_no(text)?,
            "set-max-intset-entries" => {
                self.packing.set_int_entries = integer(text, 0, i64::MAX)? as usize;
            }
            "stop-writes-on-bgsave-error" => self.stop_writes_on_bgsave_error = yes_no(text)?,
            "tcp-backlog" => self.tcp_backlog = integer(text, 0, INT_MAX)? as i32,
            "tcp-keepalive" => self.tcp_keepalive = integer(text, 0, INT_MAX)? as u64,
            "timeout" => self.timeout = integer(text, 0, INT_MAX)? as u64,
            "zset-max-listpack-entries" | "zset-max-ziplist-entries" => {
                self.packing.zset_entries = integer(text, 0, i64::MAX)? as usize;
            }
            "zset-max-listpack-value" | "zset-max-ziplist-value" => {
                self.packing.zset_value_bytes = memory(text)? as usize;
            }
            _ => return Err("not a directive that can be set".to_owned()),
        }
        Ok(())
    }
}
