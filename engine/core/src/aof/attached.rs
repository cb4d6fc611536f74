//! The log that is attached, for those who do not hold the engine lock: loops push after executing,
//! a connection that waits for its fsync asks. [`crate::effects::Effects`] fills it in, so that
//! appending and pushing never speak of two different logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::{FileLog, Log};

/// A place for one log; empty without one.
#[derive(Default)]
pub struct Attached {
    is_filled: AtomicBool,
    place: RwLock<Place>,
}

#[derive(Default)]
struct Place {
    log: Option<Arc<dyn Log>>,
    file: Option<Arc<FileLog>>,
}

impl Attached {
    /// Put a log here, or none; `file` is the same one when it is a log in files.
    pub fn put(&self, log: Option<Arc<dyn Log>>, file: Option<Arc<FileLog>>) {
        let mut place = self.place.write();
        self.is_filled.store(log.is_some(), Ordering::Release);
        *place = Place { log, file };
    }

    /// The log that is attached.
    pub fn get(&self) -> Option<Arc<dyn Log>> {
        if self.is_filled.load(Ordering::Acquire) { self.place.read().log.clone() } else { None }
    }

    /// The log that is attached, when it is one in files.
    pub fn file(&self) -> Option<Arc<FileLog>> {
        self.place.read().file.clone()
    }

    /// [`Log::push`], if there is a log. Not with the engine lock held: it may write to a disk.
    pub fn push(&self) {
        if let Some(log) = self.get() {
            log.push();
        }
    }
}
