//! Every directive that Redis 7.0 knows, with its class and default. What a directive that works
//! does stands in `values`. Adding one that begins to work? Move its row to [`Class::Working`] and
//! give it a field in `Config` and a place there.

/// What the engine does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// In force.
    Working,
    /// Accepted, kept for CONFIG GET, without effect; a value that differs from the default warns
    /// once.
    Harmless,
    /// Protects, persists or bounds data, or changes what a client is told, and does not work yet:
    /// any value but the default is refused, so that nobody believes in it.
    Refused,
}

/// One directive.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Lower-case name.
    pub name: &'static str,
    /// Class.
    pub class: Class,
    /// Redis's default, as CONFIG GET shows it (of working ones: see `Config::redis_defaults`).
    pub default: &'static str,
    /// CONFIG SET is refused.
    pub is_immutable: bool,
    /// CONFIG SET needs `enable-protected-configs`.
    pub is_protected: bool,
    /// CONFIG GET does not know it (a word of redis.conf only).
    pub is_unlisted: bool,
}

const fn row(name: &'static str, class: Class, default: &'static str) -> Row {
    Row { name, class, default, is_immutable: false, is_protected: false, is_unlisted: false }
}
const fn working(name: &'static str) -> Row {
    row(name, Class::Working, "")
}
const fn harmless(name: &'static str, default: &'static str) -> Row {
    row(name, Class::Harmless, default)
}
const fn refused(name: &'static str, default: &'static str) -> Row {
    row(name, Class::Refused, default)
}

impl Row {
    const fn immutable(mut self) -> Self {
        self.is_immutable = true;
        self
    }
    const fn protected(mut self) -> Self {
        self.is_protected = true;
        self
    }
    const fn unlisted(mut self) -> Self {
        self.is_unlisted = true;
        self
    }
}

/// Find a directive by its lower-case name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// The directive whose name is closest to a misspelt one, if any is close.
pub fn closest(name: &str) -> Option<&'static str> {
    const DISTANCE_MAX: usize = 3;
    ROWS.iter()
        .map(|row| (distance(name.as_bytes(), row.name.as_bytes()), row.name))
        .min()
        .filter(|(distance, found)| *distance <= DISTANCE_MAX && *distance * 2 < found.len())
        .map(|(_, found)| found)
}

/// Edit distance (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    const NAME_BYTES_MAX: usize = 64;
    if a.len() > NAME_BYTES_MAX {
        return usize::MAX;
    }
    let mut line: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = line[0];
        line[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = line[j + 1];
            line[j + 1] = changed.min(diagonal + 1).min(line[j] + 1);
        }
    }
    line[b.len()]
}

/// All directives.
pub const ROWS: &[Row] = &[
    working("bind").immutable(),
    working("databases").immutable(),
    working("dbfilename").protected(),
    working("dir").protected(),
    working("enable-debug-command").immutable(),
    working("enable-protected-configs").immutable(),
    working("hz"),
    working("io-threads").immutable(),
    working("latency-tracking"),
    working("latency-tracking-info-percentiles"),
    working("maxclients"),
    working("port").immutable(),
    working("proto-max-bulk-len"),
    working("rdbchecksum").immutable(),
    working("rdbcompression"),
    working("save"),
    working("stop-writes-on-bgsave-error"),
    working("tcp-backlog").immutable(),
    working("tcp-keepalive"),
    working("timeout"),
    working("hash-max-listpack-entries"),
    working("hash-max-listpack-value"),
    working("hash-max-ziplist-entries"),
    working("hash-max-ziplist-value"),
    working("list-max-listpack-size"),
    working("list-max-ziplist-size"),
    working("set-max-intset-entries"),
    working("zset-max-listpack-entries"),
    working("zset-max-listpack-value"),
    working("zset-max-ziplist-entries"),
    working("zset-max-ziplist-value"),
    refused("acl-pubsub-default", "resetchannels"),
    refused("aclfile", "").immutable(),
    harmless("acllog-max-len", "128"),
    harmless("active-defrag-cycle-max", "25"),
    harmless("active-defrag-cycle-min", "1"),
    harmless("active-defrag-ignore-bytes", "104857600"),
    harmless("active-defrag-max-scan-fields", "1000"),
    harmless("active-defrag-threshold-lower", "10"),
    harmless("active-defrag-threshold-upper", "100"),
    harmless("active-expire-effort", "1"),
    harmless("activedefrag", "no"),
    harmless("activerehashing", "yes"),
    harmless("always-show-logo", "no").immutable(),
    harmless("aof-disable-auto-gc", "no"),
    harmless("aof-load-truncated", "yes"),
    harmless("aof-rewrite-incremental-fsync", "yes"),
    refused("aof-timestamp-enabled", "no"),
    harmless("aof-use-rdb-preamble", "yes"),
    harmless("aof_rewrite_cpulist", "").immutable(),
    harmless("appenddirname", "appendonlydir").immutable(),
    harmless("appendfilename", "appendonly.aof").immutable(),
    harmless("appendfsync", "everysec"),
    refused("appendonly", "no"),
    harmless("auto-aof-rewrite-min-size", "67108864"),
    harmless("auto-aof-rewrite-percentage", "100"),
    harmless("bgsave_cpulist", "").immutable(),
    harmless("bind-source-addr", ""),
    harmless("bio_cpulist", "").immutable(),
    harmless("busy-reply-threshold", "5000"),
    harmless(
        "client-output-buffer-limit",
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    ),
    harmless("client-query-buffer-limit", "1073741824"),
    harmless("cluster-allow-pubsubshard-when-down", "yes"),
    harmless("cluster-allow-reads-when-down", "no"),
    harmless("cluster-allow-replica-migration", "yes"),
    harmless("cluster-announce-bus-port", "0"),
    harmless("cluster-announce-hostname", ""),
    harmless("cluster-announce-ip", ""),
    harmless("cluster-announce-port", "0"),
    harmless("cluster-announce-tls-port", "0"),
    harmless("cluster-config-file", "nodes.conf").immutable(),
    refused("cluster-enabled", "no").immutable(),
    harmless("cluster-link-sendbuf-limit", "0"),
    harmless("cluster-migration-barrier", "1"),
    harmless("cluster-node-timeout", "15000"),
    harmless("cluster-port", "0").immutable(),
    harmless("cluster-preferred-endpoint-type", "ip"),
    harmless("cluster-replica-no-failover", "no"),
    harmless("cluster-replica-validity-factor", "10"),
    harmless("cluster-require-full-coverage", "yes"),
    harmless("cluster-slave-no-failover", "no"),
    harmless("cluster-slave-validity-factor", "10"),
    harmless("crash-log-enabled", "yes"),
    harmless("crash-memcheck-enabled", "yes"),
    harmless("daemonize", "no").immutable(),
    harmless("disable-thp", "yes").immutable(),
    harmless("dynamic-hz", "yes"),
    harmless("enable-module-command", "no").immutable(),
    harmless("hll-sparse-max-bytes", "3000"),
    harmless("ignore-warnings", ""),
    harmless("io-threads-do-reads", "no").immutable(),
    harmless("jemalloc-bg-thread", "yes"),
    harmless("latency-monitor-threshold", "0"),
    harmless("lazyfree-lazy-eviction", "no"),
    harmless("lazyfree-lazy-expire", "no"),
    harmless("lazyfree-lazy-server-del", "no"),
    harmless("lazyfree-lazy-user-del", "no"),
    harmless("lazyfree-lazy-user-flush", "no"),
    harmless("lfu-decay-time", "1"),
    harmless("lfu-log-factor", "10"),
    harmless("list-compress-depth", "0"),
    refused("loadmodule", "").unlisted(),
    harmless("logfile", "").immutable(),
    harmless("loglevel", "notice"),
    harmless("lua-time-limit", "5000"),
    refused("masterauth", ""),
    refused("masteruser", ""),
    refused("maxmemory", "0"),
    refused("maxmemory-clients", "0"),
    harmless("maxmemory-eviction-tenacity", "10"),
    harmless("maxmemory-policy", "noeviction"),
    harmless("maxmemory-samples", "5"),
    harmless("min-replicas-max-lag", "10"),
    refused("min-replicas-to-write", "0"),
    harmless("min-slaves-max-lag", "10"),
    refused("min-slaves-to-write", "0"),
    harmless("no-appendfsync-on-rewrite", "no"),
    refused("notify-keyspace-events", ""),
    harmless("oom-score-adj", "no"),
    harmless("oom-score-adj-values", "0 200 800"),
    harmless("pidfile", "").immutable(),
    harmless("proc-title-template", "{title} {listen-addr} {server-mode}"),
    harmless("propagation-error-behavior", "ignore"),
    harmless("protected-mode", "yes"),
    harmless("rdb-del-sync-files", "no"),
    harmless("rdb-save-incremental-fsync", "yes"),
    refused("rename-command", "").unlisted(),
    harmless("repl-backlog-size", "1048576"),
    harmless("repl-backlog-ttl", "3600"),
    harmless("repl-disable-tcp-nodelay", "no"),
    harmless("repl-diskless-load", "disabled"),
    harmless("repl-diskless-sync", "yes"),
    harmless("repl-diskless-sync-delay", "5"),
    harmless("repl-diskless-sync-max-replicas", "0"),
    harmless("repl-ping-replica-period", "10"),
    harmless("repl-ping-slave-period", "10"),
    harmless("repl-timeout", "60"),
    harmless("replica-announce-ip", ""),
    harmless("replica-announce-port", "0"),
    harmless("replica-announced", "yes"),
    harmless("replica-ignore-disk-write-errors", "no"),
    harmless("replica-ignore-maxmemory", "yes"),
    harmless("replica-lazy-flush", "no"),
    harmless("replica-priority", "100"),
    harmless("replica-read-only", "yes"),
    harmless("replica-serve-stale-data", "yes"),
    refused("replicaof", ""),
    refused("requirepass", ""),
    harmless("sanitize-dump-payload", "no"),
    harmless("server_cpulist", "").immutable(),
    harmless("set-proc-title", "yes").immutable(),
    refused("shutdown-on-sigint", "default"),
    refused("shutdown-on-sigterm", "default"),
    harmless("shutdown-timeout", "10"),
    harmless("slave-announce-ip", ""),
    harmless("slave-announce-port", "0"),
    harmless("slave-ignore-maxmemory", "yes"),
    harmless("slave-lazy-flush", "no"),
    harmless("slave-priority", "100"),
    harmless("slave-read-only", "yes"),
    harmless("slave-serve-stale-data", "yes"),
    refused("slaveof", ""),
    harmless("slowlog-log-slower-than", "10000"),
    harmless("slowlog-max-len", "128"),
    harmless("socket-mark-id", "0").immutable(),
    harmless("stream-node-max-bytes", "4096"),
    harmless("stream-node-max-entries", "100"),
    refused("supervised", "no").immutable(),
    harmless("syslog-enabled", "no").immutable(),
    harmless("syslog-facility", "local0").immutable(),
    harmless("syslog-ident", "redis").immutable(),
    refused("tls-auth-clients", "yes"),
    refused("tls-ca-cert-dir", ""),
    refused("tls-ca-cert-file", ""),
    refused("tls-cert-file", ""),
    refused("tls-ciphers", ""),
    refused("tls-ciphersuites", ""),
    refused("tls-client-cert-file", ""),
    refused("tls-client-key-file", ""),
    refused("tls-client-key-file-pass", ""),
    refused("tls-cluster", "no"),
    refused("tls-dh-params-file", ""),
    refused("tls-key-file", ""),
    refused("tls-key-file-pass", ""),
    refused("tls-port", "0"),
    refused("tls-prefer-server-ciphers", "no"),
    refused("tls-protocols", ""),
    refused("tls-replication", "no"),
    refused("tls-session-cache-size", "20480"),
    refused("tls-session-cache-timeout", "300"),
    refused("tls-session-caching", "yes"),
    harmless("tracking-table-max-keys", "1000000"),
    refused("unixsocket", "").immutable(),
    harmless("unixsocketperm", "0").immutable(),
    refused("user", "").unlisted(),
];
