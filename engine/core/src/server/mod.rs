//! The RESP door: epoll loops that parse the whole buffer, execute the batch under one hold of the lock and write once,
//! through the reply gate. R3 owns this room.

use std::net::TcpListener;
use std::sync::Arc;

use crate::error::Result;
use crate::state::Shared;

/// The running loops.
pub struct RespDoor {}

/// Start `io_threads` loops on bound listeners.
///
/// # Errors
/// `THREAD_FAILED`, I/O codes.
pub fn serve(
    _shared: &Arc<Shared>,
    _listeners: Vec<TcpListener>,
    _io_threads: usize,
) -> Result<RespDoor> {
    todo!()
}

impl RespDoor {
    /// Close the listeners and the connections (what is in their buffers and may leave is sent first) and end the threads.
    pub fn stop(self) {}
}
