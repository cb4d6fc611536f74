//! RDB files: round trips, damage at every byte, alien files, and a real redis-server on both
//! sides. One binary of several rooms; `files` builds inputs, `redis` starts the peer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails

mod alien;
mod damage;
mod encoder;
mod encodings;
mod files;
mod flaws;
mod peer;
mod plain;
mod redis;
mod round_trip;
mod samples;
