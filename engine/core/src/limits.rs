//! Every bound on what a socket, a file or a client may make the engine do (I7). One place, so that each has an owner.

/// Longest bulk string, bytes (Redis `proto-max-bulk-len`; also the longest string value).
pub const BULK_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Longest inline request and longest `*`/`$` header line, bytes.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Most arguments of one command (Redis 7.0: INT_MAX). What a client can make us hold is bounded by
/// the query buffer: an argument takes six bytes of it at least, and eight beside it.
pub const MULTIBULK_MAX: usize = i32::MAX as usize;
/// Largest query buffer of a client, bytes (Redis `client-query-buffer-limit`).
pub const QUERY_BUFFER_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Output that a client may leave unread before it is disconnected, bytes.
pub const OUTPUT_BUFFER_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Commands executed for one connection under one hold of the engine lock.
pub const BATCH_COMMANDS_MAX: usize = 256;
/// Clients unless `maxclients` says otherwise.
pub const CLIENTS_DEFAULT: usize = 10_000;
/// Databases that may be configured.
pub const DATABASES_MAX: usize = 65_536;
/// Events kept for the control plane before the oldest log lines are dropped.
pub const EVENTS_MAX: usize = 10_000;
/// I/O threads that may be configured (Redis: 128).
pub const IO_THREADS_MAX: usize = 128;
/// Largest message that a call on the data door may send, bytes.
pub const DATA_REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest answer to a call that only reads, bytes. A write's answer is sent whatever its size, up
/// to [`OUTPUT_BUFFER_BYTES_MAX`], since the write cannot be taken back.
pub const DATA_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Keys that one call on the data door may name.
pub const DATA_KEYS_MAX: usize = 10_000;
/// Commands in one transaction or in one batch of a pipeline.
pub const DATA_COMMANDS_MAX: usize = 10_000;
/// Batches of one pipeline that may wait for their answers; more are not read meanwhile.
pub const DATA_BATCHES_MAX: usize = 64;
/// Calls and batches on the data door that may be under way at once.
pub const DATA_CALLS_MAX: usize = 10_000;
/// Bytes of requests on the data door that may wait to be executed.
pub const DATA_WAITING_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bytes of answers on the data door that may wait for their callers; past it nothing is executed.
pub const DATA_ANSWERS_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Of them, those of one pipeline; past it its next batch waits until answers are read.
pub const DATA_STREAM_ANSWERS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Calls of one connection to the data door that may be under way at once.
pub const DATA_STREAMS_MAX: u32 = 1_000;
/// Connections to the data door. They carry many calls each, and are not among `maxclients`.
pub const DATA_CONNECTIONS_MAX: usize = 400;
/// Keys that one batch of a scan looks at.
pub const DATA_SCAN_BATCH_MAX: u32 = 10_000;
