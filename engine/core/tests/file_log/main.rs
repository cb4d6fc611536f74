//! The log in files behind real sockets: what stands in its files, when replies leave, what a disk
//! that fails or is slow does to them (I5, I10). Delays and errors are made with failpoints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[path = "../support/mod.rs"]
mod support;

mod content;
mod failures;
mod page_cache;
mod policy;
mod ring;
mod rotation;
mod setting;
mod waiting;
