//! Which field of `Config` holds which directive. A directive of several words, or with a rule of
//! its own, stands in `Config::put_special` as well.

use super::kind::Value;
use super::{Access, Config};
use crate::aof::FsyncPolicy;

/// A field that one word fills.
trait Setting {
    fn value(&self) -> Value;
    /// Ranges were checked: what does not fit is clamped.
    fn take(&mut self, value: &Value);
}

impl Setting for bool {
    fn value(&self) -> Value {
        Value::Bool(*self)
    }
    fn take(&mut self, value: &Value) {
        *self = *value == Value::Bool(true);
    }
}

impl Setting for String {
    fn value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn take(&mut self, value: &Value) {
        *self = value.shown();
    }
}

impl Setting for Access {
    fn value(&self) -> Value {
        let word = match self {
            Self::No => "no",
            Self::Local => "local",
            Self::Yes => "yes",
        };
        Value::Text(word.to_owned())
    }
    fn take(&mut self, value: &Value) {
        *self = match value.shown().as_str() {
            "yes" => Self::Yes,
            "local" => Self::Local,
            _ => Self::No,
        };
    }
}

impl Setting for FsyncPolicy {
    fn value(&self) -> Value {
        Value::Text(self.word().to_owned())
    }
    fn take(&mut self, value: &Value) {
        *self = match value.shown().as_str() {
            "always" => Self::Always,
            "no" => Self::No,
            _ => Self::Everysec,
        };
    }
}

macro_rules! integers {
    ($($type:ty)*) => { $(impl Setting for $type {
        fn value(&self) -> Value {
            Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
        }
        fn take(&mut self, value: &Value) {
            if let Value::Int(number) = value {
                *self = Self::try_from(*number).unwrap_or(Self::MAX);
            }
        }
    })* };
}
integers! { i32 i64 u16 u32 u64 usize }

macro_rules! fields {
    ($($name:literal: $($field:ident).+;)*) => {
        impl Config {
            /// The value of a directive that one word fills.
            pub(super) fn field(&self, name: &str) -> Option<Value> {
                match name {
                    $($name => Some(self.$($field).+.value()),)*
                    _ => None,
                }
            }

            /// Give it its value.
            pub(super) fn put_field(&mut self, name: &str, value: &Value) {
                match name {
                    $($name => self.$($field).+.take(value),)*
                    _ => {}
                }
            }
        }
    };
}

fields! {
    "aof-load-truncated": aof_load_truncated;
    "aof-rewrite-incremental-fsync": aof_rewrite_incremental_fsync;
    "aof-timestamp-enabled": aof_timestamp_enabled;
    "aof-use-rdb-preamble": aof_use_rdb_preamble;
    "appenddirname": appenddirname;
    "appendfilename": appendfilename;
    "appendfsync": appendfsync;
    "appendonly": appendonly;
    "auto-aof-rewrite-min-size": auto_aof_rewrite_min_size;
    "auto-aof-rewrite-percentage": auto_aof_rewrite_percentage;
    "databases": databases;
    "dbfilename": dbfilename;
    "enable-debug-command": enable_debug_command;
    "enable-protected-configs": enable_protected_configs;
    "hash-max-listpack-entries": packing.hash_entries;
    "hash-max-listpack-value": packing.hash_value_bytes;
    "hz": hz;
    "io-threads": io_threads;
    "latency-monitor-threshold": latency_monitor_threshold;
    "latency-tracking": latency_tracking;
    "list-max-listpack-size": packing.list_node;
    "maxclients": maxclients;
    "no-appendfsync-on-rewrite": no_appendfsync_on_rewrite;
    "port": port;
    "proto-max-bulk-len": proto_max_bulk_len;
    "rdbchecksum": rdbchecksum;
    "rdbcompression": rdbcompression;
    "set-max-intset-entries": packing.set_int_entries;
    "slowlog-log-slower-than": slowlog_log_slower_than;
    "slowlog-max-len": slowlog_max_len;
    "stop-writes-on-bgsave-error": stop_writes_on_bgsave_error;
    "tcp-backlog": tcp_backlog;
    "tcp-keepalive": tcp_keepalive;
    "timeout": timeout;
    "zset-max-listpack-entries": packing.zset_entries;
    "zset-max-listpack-value": packing.zset_value_bytes;
}
