//! The data door: tonic on a thread of its own, standard gRPC health answered from atomics.
//! A tokio worker never waits on the engine lock. The key-value API joins here later; no reflection
//! yet.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{EngineError, Result};
use crate::state::Shared;

mod health;

/// The service name by which health of the data plane is asked for; the empty name (the whole
/// server) answers the same.
pub const DATA_SERVICE: &str = "perdure.data";

/// How often the atomics are looked at for those who watch; a check looks at once.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// Health watchers hold their streams open: after a stop they are given this long.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// The running door; stops when dropped.
pub struct DataDoor {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Serve standard health on a bound listener: SERVING once the data set is loaded, NOT_SERVING
/// before and while stopping.
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
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("perdure-data".to_owned())
        .spawn(move || {
            let events = Arc::clone(&shared);
            if let Err(error) = runtime.block_on(run(shared, listener, stopped)) {
                let fields = serde_json::json!({"error": error.to_string()});
                events.events.log("error", "data_door_failed", &fields);
            }
        })
        .map_err(|error| failed("start the thread", &error))?;
    Ok(DataDoor { stop, thread: Some(thread) })
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
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
) -> std::result::Result<(), Failure> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (told, tells) = watch::channel(is_serving(&shared));
    let health = health::server(Arc::clone(&shared), tells);
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut until_stopped = stopped.clone();
    let serving = tonic::transport::Server::builder()
        .add_service(health)
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
    /// thread.
    pub fn stop(self) {}
}

impl Drop for DataDoor {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // a panic there has nothing to add here
        }
    }
}
