//! The data door: tonic on a thread of its own, which never waits on the engine lock. Files:
//! `service` (the methods; `scan`, `pipeline` their streams) · `calls`, `queue` (to the executor) ·
//! `executor`, `transact` (under the lock) · `pending` (until the gate lets an answer leave) ·
//! `answers` (until its caller has it) · `commands`,
//! `replies` (between the wire and RESP) · `errors` (the one table) · `health`, from atomics ·
//! `figures`. The wire contract is `proto/perdure/data/v1`; `generated` comes from it. Guards I7, I10.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{EngineError, Result};
use crate::limits::{DATA_REQUEST_BYTES_MAX, DATA_STREAMS_MAX, OUTPUT_BUFFER_BYTES_MAX};
use crate::state::Shared;

mod answers;
mod bounded;
mod calls;
mod commands;
pub mod errors;
mod executor;
mod figures;
mod health;
mod incoming;
mod pending;
mod pipeline;
mod queue;
mod replies;
mod scan;
mod service;
mod transact;

pub use figures::RpcFigures;

/// The wire contract in Rust: messages, the service and its client.
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod wire {
    include!("generated/perdure.data.v1.rs");
}

use calls::Calls;
use executor::Executor;
use queue::Queue;
use service::OfData;
use wire::data_service_server::DataServiceServer;

/// Descriptors of the wire contract, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");

/// The names by which health of the data plane is asked for; the empty name (the whole server)
/// answers the same.
pub const DATA_SERVICES: [&str; 2] = ["perdure.data", "perdure.data.v1.DataService"];

/// How often the atomics are looked at for those who watch; a check looks at once.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// Bytes that a caller may send ahead on one call, and on one connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// See [`STREAM_WINDOW_BYTES`].
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// A connection on which nothing comes is asked whether its peer is alive.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(60);
/// And closed when it does not answer for so long.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);
/// Health watchers hold their streams open: after a stop they are given this long.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// The running door; stops when dropped.
pub struct DataDoor {
    stop: watch::Sender<bool>,
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// Serve the data API, health and reflection on a bound listener. Health is SERVING once the data
/// set is loaded, NOT_SERVING before and while stopping.
///
/// # Errors
/// `THREAD_FAILED` when no thread can be started.
pub fn serve(shared: &Arc<Shared>, listener: TcpListener) -> Result<DataDoor> {
    listener.set_nonblocking(true).map_err(|error| failed("prepare the listener", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", &error))?;
    let (stop, stopped) = watch::channel(false);
    let queue = Arc::<Queue>::default();
    let mut door = DataDoor { stop, queue: Arc::clone(&queue), threads: Vec::new() };
    let executor = Executor::new(shared, &queue);
    door.start("perdure-execute", move || executor.run_or_abort())?;
    let shared = Arc::clone(shared);
    door.start("perdure-data", move || {
        let events = Arc::clone(&shared);
        if let Err(error) = runtime.block_on(run(shared, queue, listener, stopped)) {
            let fields = serde_json::json!({"error": error.to_string()});
            events.events.log("error", "data_door_failed", &fields);
        }
    })?;
    Ok(door)
}

fn failed(action: &str, error: &std::io::Error) -> EngineError {
    EngineError::new(
        "THREAD_FAILED",
        format!("data door: cannot {action}: {error}"),
        "Raise the limits on threads and open files (ulimit -u, ulimit -n), then start again.",
    )
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn run(
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
) -> std::result::Result<(), Failure> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (told, tells) = watch::channel(is_serving(&shared));
    let health = health::server(Arc::clone(&shared), tells);
    let data = DataServiceServer::new(OfData::new(Calls::new(&shared, &queue)))
        .max_decoding_message_size(DATA_REQUEST_BYTES_MAX)
        .max_encoding_message_size(OUTPUT_BUFFER_BYTES_MAX);
    let reflected = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = incoming::accept(Arc::clone(&shared), incoming);
    let mut until_stopped = stopped.clone();
    let serving = tonic::transport::Server::builder()
        .max_concurrent_streams(DATA_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
        .add_service(bounded::Bounded(data))
        .add_service(health)
        .add_service(reflected().build_v1()?)
        .add_service(reflected().build_v1alpha()?)
        .serve_with_incoming_shutdown(incoming, async move {
            drop(until_stopped.wait_for(|is_stopped| *is_stopped).await);
        });
    let watching = follow(&shared, &told, stopped);
    tokio::select! {
        result = serving => result?,
        () = watching => {} // told to stop, and the drain is over
    }
    Ok(())
}

fn is_serving(shared: &Shared) -> bool {
    !shared.stats.is_loading.load(Acquire) && !shared.is_stopping.load(Acquire)
}

/// Tell those who watch health what the atomics say, until the stop; then wait for the connections to
/// end, but not forever.
async fn follow(shared: &Shared, told: &watch::Sender<bool>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
        let now = is_serving(shared);
        told.send_if_modified(|last| std::mem::replace(last, now) != now);
    }
    told.send_replace(false);
    tokio::time::sleep(DRAIN_MAX).await;
}

impl DataDoor {
    /// Stop accepting, tell health watchers, let running calls end for a moment, and end the
    /// threads.
    pub fn stop(self) {}

    fn start(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|error| failed("start the thread", &error))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for DataDoor {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // The newest first: calls under way still need the executor.
        while let Some(thread) = self.threads.pop() {
            if self.threads.is_empty() {
                self.queue.end();
            }
            drop(thread.join()); // a panic there has nothing to add here
        }
    }
}
