//! The one staged keyspace: loaded beside the live one, waiting for a commit or to be discarded.
//! One at a time, since each is a second copy of the data in memory.

use parking_lot::Mutex;

use crate::error::{EngineError, Result};
use crate::keyspace::Keyspace;

#[derive(Default)]
enum Place {
    #[default]
    Empty,
    /// Being loaded, committed or discarded.
    Taken,
    Held(u64, Keyspace),
}

#[derive(Default)]
struct Inner {
    place: Place,
    last_id: u64,
}

/// Where the staged keyspace is kept.
#[derive(Default)]
pub struct Stages {
    inner: Mutex<Inner>,
}

impl Stages {
    /// Take the place for a load.
    ///
    /// # Errors
    /// `STAGE_BUSY` when there is a stage already.
    pub fn reserve(&self) -> Result<()> {
        let mut inner = self.inner.lock();
        match inner.place {
            Place::Empty => {
                inner.place = Place::Taken;
                Ok(())
            }
            _ => Err(busy()),
        }
    }

    /// Put a loaded keyspace into the reserved place; gives its number, never reused.
    pub fn hold(&self, keyspace: Keyspace) -> u64 {
        let mut inner = self.inner.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.place = Place::Held(id, keyspace);
        id
    }

    /// Take a stage out to work with it; its place stays taken until [`Stages::put_back`] or
    /// [`Stages::free`].
    ///
    /// # Errors
    /// `STAGE_NOT_FOUND`, `STAGE_BUSY` when somebody else works with it.
    pub fn take(&self, id: u64) -> Result<Keyspace> {
        let mut inner = self.inner.lock();
        match std::mem::replace(&mut inner.place, Place::Taken) {
            Place::Held(held, keyspace) if held == id => Ok(keyspace),
            Place::Taken if id <= inner.last_id => Err(busy()),
            other => {
                inner.place = other;
                Err(not_found(id))
            }
        }
    }

    /// Put a stage back that was taken out and is still good.
    pub fn put_back(&self, id: u64, keyspace: Keyspace) {
        self.inner.lock().place = Place::Held(id, keyspace);
    }

    /// Free the place (its stage was committed, discarded, or never loaded).
    pub fn free(&self) {
        self.inner.lock().place = Place::Empty;
    }
}

fn busy() -> EngineError {
    EngineError::new(
        "STAGE_BUSY",
        "a keyspace is staged already, or is being worked with",
        "Wait for the restore that uses it to end, or cancel it.",
    )
    .retryable()
}

fn not_found(id: u64) -> EngineError {
    EngineError::new(
        "STAGE_NOT_FOUND",
        format!("there is no staged keyspace {id}"),
        "Load the file beside again.",
    )
    .with("stage", id.to_string())
}
