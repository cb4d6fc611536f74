//! Dropping something big where nobody waits for the allocator: one thread that only frees (I8).

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::state::Shared;

/// Things that may wait to be freed; past it the caller frees its own.
const WAITING_MAX: usize = 4096;

type Waiting = Box<dyn Send>;

/// Drop something big on another thread, so that nobody waits for the allocator (FLUSHALL ASYNC,
/// UNLINK, a switched keyspace). Falls back to dropping it here when that thread is behind or
/// cannot be started.
pub fn drop_elsewhere<T: Send + 'static>(_shared: &Arc<Shared>, value: T) {
    static DROPPER: OnceLock<Option<SyncSender<Waiting>>> = OnceLock::new();
    let dropper = DROPPER.get_or_init(|| {
        let (sender, receiver) = sync_channel::<Waiting>(WAITING_MAX);
        std::thread::Builder::new()
            .name("perdure-drop".to_owned())
            .spawn(move || receiver.into_iter().for_each(drop))
            .ok()
            .map(|_| sender)
    });
    if let Some(dropper) = dropper {
        // A refusal gives the value back inside the error, which is dropped here.
        let _ = dropper.try_send(Box::new(value));
    }
}
