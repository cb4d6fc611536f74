//! The RESP door: epoll loops that parse the whole buffer, execute the batch under one hold of the
//! lock and write once, through the reply gate. Files: `epoll` (system calls) · `listen` (accept) ·
//! `event_loop` (a turn) · `connection` (input) · `batch` (execute) · `ahead` (prefetch) · `output` (gate, send) ·
//! `inbox` (other threads) · `slots` (tokens). What commands mean is not here. Guards I7 (bounds of
//! input and output) and I10.

pub(crate) mod ahead;
mod batch;
mod connection;
mod epoll;
mod event_loop;
mod inbox;
mod listen;
mod output;
mod returning;
mod slots;

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::error::{EngineError, Result};
use crate::state::Shared;
use event_loop::EventLoop;
use inbox::Inbox;
use listen::Listeners;

/// What the loops share.
struct Door {
    shared: Arc<Shared>,
    inboxes: Vec<Arc<Inbox>>,
    next_client_id: AtomicU64,
    next_loop: AtomicUsize,
    is_stopping: AtomicBool,
}

/// The running loops. They stop when this is dropped.
pub struct RespDoor {
    door: Arc<Door>,
    threads: Vec<JoinHandle<()>>,
}

/// Start `io_threads` loops (at least one) on bound listeners. Takes the engine lock for a moment.
///
/// # Errors
/// `THREAD_FAILED`, I/O codes.
pub fn serve(
    shared: &Arc<Shared>,
    listeners: Vec<TcpListener>,
    io_threads: usize,
) -> Result<RespDoor> {
    let backlog = shared.state.lock().config.tcp_backlog;
    for listener in &listeners {
        listener
            .set_nonblocking(true)
            .and_then(|()| epoll::set_backlog(listener.as_raw_fd(), backlog))
            .map_err(|error| failed("prepare a listener", &error))?;
    }
    let inboxes = (0..io_threads.max(1))
        .map(|_| Inbox::new().map(Arc::new))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| failed("make an eventfd", &error))?;
    let door = Arc::new(Door {
        shared: Arc::clone(shared),
        inboxes,
        next_client_id: AtomicU64::new(1),
        next_loop: AtomicUsize::new(0),
        is_stopping: AtomicBool::new(false),
    });
    let mut running = RespDoor { door: Arc::clone(&door), threads: Vec::new() };
    let mut listeners = Listeners::new(listeners);
    for index in 0..door.inboxes.len() {
        let own = std::mem::take(&mut listeners); // all of them are loop 0's
        let event_loop = EventLoop::new(Arc::clone(&door), index, own)
            .map_err(|error| failed("make a network loop", &error))?;
        running.threads.push(start(event_loop, index)?);
    }
    for inbox in &door.inboxes {
        shared.loops.lock().push(Arc::clone(inbox) as Arc<dyn crate::state::LoopWaker>);
        shared.gate.register(Arc::clone(inbox) as Arc<dyn crate::aof::GateWaker>);
    }
    Ok(running)
}

fn failed(action: &str, error: &io::Error) -> EngineError {
    EngineError::new(
        "THREAD_FAILED",
        format!("cannot {action}: {error}"),
        "Raise the limits on threads and open files (ulimit -u, ulimit -n), then start again.",
    )
}

fn start(event_loop: EventLoop, index: usize) -> Result<JoinHandle<()>> {
    let body = move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| event_loop.run()));
        if !matches!(result, Ok(Ok(()))) {
            // A bug. The state may be half changed and a door that nobody serves looks alive: end
            // the process.
            std::process::abort();
        }
    };
    std::thread::Builder::new()
        .name(format!("perdure-resp-{index}"))
        .spawn(body)
        .map_err(|error| failed("start a network loop", &error))
}

impl RespDoor {
    /// Close the listeners and the connections (what is in their buffers and may leave is sent
    /// first, as far as the sockets take it at once) and end the threads. Must not be called
    /// with the engine lock held.
    pub fn stop(self) {}

    fn stop_threads(&mut self) {
        self.door.is_stopping.store(true, Ordering::Release);
        self.door.inboxes.iter().for_each(|inbox| crate::state::LoopWaker::wake(&**inbox));
        for thread in self.threads.drain(..) {
            drop(thread.join()); // a loop that failed has ended the process
        }
    }
}

impl Drop for RespDoor {
    fn drop(&mut self) {
        self.stop_threads();
    }
}
