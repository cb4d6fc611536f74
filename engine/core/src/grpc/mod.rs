//! The data door: tonic on a thread of its own, standard gRPC health answered from atomics. R3 owns this room.
//! A tokio worker never waits on the engine lock.

use std::net::TcpListener;
use std::sync::Arc;

use crate::error::Result;
use crate::state::Shared;

/// The running door; stops when dropped.
pub struct DataDoor {}

/// Serve standard health on a bound listener: SERVING once the data set is loaded, NOT_SERVING before and while stopping.
///
/// # Errors
/// `THREAD_FAILED` when no thread can be started.
pub fn serve(_shared: &Arc<Shared>, _listener: TcpListener) -> Result<DataDoor> {
    todo!()
}
