//! The Perdure engine: a Redis-compatible in-memory store with RDB snapshots.
//!
//! Reading order, from bytes to meaning: `resp` (frames) -> `server` (sockets, batches) -> `command` (meaning) ->
//! `keyspace`, `table` and `value` (data) -> `effects` (what changed) -> `aof` (log and reply gate) -> `rdb`, `snapshot` (disk).
//! `border` is the one door for the control plane. Nothing here knows Python.

pub mod alloc;
pub mod aof;
pub mod border;
pub mod clock;
pub mod command;
pub mod config;
pub mod cron;
mod descriptors;
pub mod durable;
pub mod effects;
pub mod error;
pub mod events;
pub mod failpoint;
pub mod grpc;
pub mod huge_pages;
pub mod job;
pub mod keyspace;
pub mod limits;
mod memory_ahead;
mod random;
pub mod rates;
pub mod rdb;
mod read_ahead;
mod reclaim;
pub mod resp;
pub mod server;
pub mod session;
pub mod snapshot;
pub mod state;
pub mod stats;
pub mod stopwatch;
pub mod table;
pub mod value;
pub mod wait;
