//! What the engine tells the control plane: a bounded queue of JSON documents and an eventfd that
//! is readable while the queue holds something. The shapes are in `sidecar/_engine.pyi`. No push
//! ever waits for the reader (I8).
//!
//! When the queue is full, log lines go first (counted, told once there is room) and progress next;
//! the end of a job and a change of state are never dropped: they are few, since running jobs are
//! bounded.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::error::EngineError;
use crate::limits::EVENTS_MAX;

/// What may be dropped when the reader is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A log line: dropped first.
    Log,
    /// Progress of a job: a newer one of the same phase replaces it in place.
    Progress(u64, &'static str),
    /// Never dropped.
    Firm,
}

#[derive(Debug, Default)]
struct Queue {
    documents: VecDeque<(Kind, String)>,
    dropped: u64,
}

/// The queue of JSON documents for the control plane (shapes: `sidecar/_engine.pyi`).
#[derive(Debug)]
pub struct Events {
    queue: Mutex<Queue>,
    fd: RawFd,
}

impl Default for Events {
    fn default() -> Self {
        Self { queue: Mutex::default(), fd: open_eventfd() }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        close_eventfd(self.fd);
    }
}

impl Events {
    /// Queue one document that is never dropped, and make the eventfd readable.
    pub fn push(&self, document: &Value) {
        self.enqueue(Kind::Firm, document);
    }

    /// Queue a log line: `level` is info, warning or error; `name` a snake_case event name.
    pub fn log(&self, level: &str, name: &str, fields: &Value) {
        let line = json!({"event": "log", "level": level, "name": name, "fields": fields});
        self.enqueue(Kind::Log, &line);
    }

    /// Queue a log line that tells of an error, its code and hint as fields.
    pub fn log_error(&self, name: &str, error: &EngineError) {
        self.log("error", name, &error.to_json());
    }

    /// Tell how far a job is. An older, unread report of the same job and phase is replaced.
    pub fn progress(&self, job: u64, phase: &'static str, done: u64, total: u64) {
        let report =
            json!({"event": "progress", "job": job, "phase": phase, "done": done, "total": total});
        self.enqueue(Kind::Progress(job, phase), &report);
    }

    /// The descriptor that is readable while there is something to take; -1 if the system had none
    /// to give.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Take all documents, oldest first, and make the eventfd quiet.
    pub fn take(&self) -> Vec<String> {
        let mut queue = self.queue.lock();
        quiet_eventfd(self.fd);
        let dropped = std::mem::take(&mut queue.dropped);
        let mut taken: Vec<String> =
            std::mem::take(&mut queue.documents).into_iter().map(|(_, text)| text).collect();
        drop(queue);
        if dropped > 0 {
            let told = json!({
                "event": "log", "level": "warning", "name": "events_dropped",
                "fields": {"dropped": dropped},
            });
            taken.push(told.to_string());
        }
        taken
    }

    fn enqueue(&self, kind: Kind, document: &Value) {
        let text = document.to_string();
        let mut queue = self.queue.lock();
        if let Kind::Progress(..) = kind {
            // Progress reports of a job stand near the end, so the search from there is short.
            if let Some(place) = queue.documents.iter_mut().rev().find(|(other, _)| *other == kind)
            {
                place.1 = text;
                return;
            }
        }
        if queue.documents.len() >= EVENTS_MAX && !make_room(&mut queue, kind) {
            return;
        }
        queue.documents.push_back((kind, text));
        wake_eventfd(self.fd);
    }
}

/// Drop the oldest log line, else the oldest progress report. Gives whether `kind` may be queued.
fn make_room(queue: &mut Queue, kind: Kind) -> bool {
    let droppable = queue
        .documents
        .iter()
        .position(|(other, _)| *other == Kind::Log)
        .or_else(|| queue.documents.iter().position(|(other, _)| *other != Kind::Firm));
    queue.dropped += u64::from(droppable.is_some() || kind != Kind::Firm);
    match droppable {
        Some(at) => queue.documents.remove(at).is_some(),
        None => kind == Kind::Firm,
    }
}

#[allow(unsafe_code)] // system calls without memory
fn open_eventfd() -> RawFd {
    // SAFETY: eventfd takes plain integers and gives a new descriptor or -1.
    unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }
}

#[allow(unsafe_code)] // a system call on our own descriptor
fn close_eventfd(fd: RawFd) {
    if fd >= 0 {
        // SAFETY: the descriptor is ours and nobody uses it after the drop.
        unsafe { libc::close(fd) };
    }
}

#[allow(unsafe_code)] // a system call on our own descriptor
fn wake_eventfd(fd: RawFd) {
    let one = 1u64;
    // SAFETY: writes the eight bytes of `one`. A full counter (EAGAIN) is readable anyway.
    unsafe { libc::write(fd, (&raw const one).cast(), 8) };
}

#[allow(unsafe_code)] // a system call on our own descriptor
fn quiet_eventfd(fd: RawFd) {
    let mut count = 0u64;
    // SAFETY: reads eight bytes into `count`; EAGAIN when it was quiet.
    unsafe { libc::read(fd, (&raw mut count).cast(), 8) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(events: &Events) -> bool {
        let mut poll = libc::pollfd { fd: events.fd(), events: libc::POLLIN, revents: 0 };
        #[allow(unsafe_code)] // a poll on one descriptor
        // SAFETY: one valid pollfd.
        unsafe {
            libc::poll(&raw mut poll, 1, 0) == 1
        }
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_something_waits() {
        let events = Events::default();
        assert!(!is_readable(&events));
        events.push(&json!({"event": "state", "state": "ready"}));
        assert!(is_readable(&events));
        assert_eq!(events.take().len(), 1);
        assert!(!is_readable(&events));
        assert!(events.take().is_empty());
    }

    #[test]
    fn progress_of_a_phase_is_replaced_and_the_end_of_a_job_is_never_dropped() {
        let events = Events::default();
        for done in 0..10 {
            events.progress(1, "write", done, 0);
        }
        events.push(&json!({"event": "done", "job": 1}));
        for _ in 0..EVENTS_MAX + 50 {
            events.log("info", "noise", &json!({}));
        }
        let taken = events.take();
        assert!(taken.len() <= EVENTS_MAX + 1);
        assert_eq!(taken.iter().filter(|text| text.contains("\"done\"")).count(), 2);
        assert!(taken.iter().any(|text| text.contains("\"done\":9")));
        assert!(taken.last().is_some_and(|text| text.contains("events_dropped")));
    }
}
