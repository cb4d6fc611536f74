//! An engine in a process of its own, with the shim between it and its disk, and clients that write
//! and remember what they were told. What it logged and counts lies in files for the test to read.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use perdure_engine::clock::Clock;
use serde_json::{Value, json};

use crate::preload::{Folder, Shim};
use crate::running::{Client, Engine, options, start_with, wait_for, wait_until};

const WRITERS: usize = 3;

fn logged_options(dir: &Path, policy: &str) -> Value {
    let mut made = options(dir);
    let args = made["redis_args"].as_array_mut().unwrap();
    args.extend(["--appendonly", "yes", "--appendfsync", policy].map(Into::into));
    made
}

/// Not a test of its own (nothing without the variables): the process with the bad disk.
#[test]
fn engine_on_a_bad_disk() {
    let Ok(data) = std::env::var("PERDURE_TEST_DIR") else { return };
    let notes = PathBuf::from(std::env::var("PERDURE_TEST_NOTES").unwrap());
    let policy = std::env::var("PERDURE_TEST_POLICY").unwrap();
    let engine = start_with(&logged_options(Path::new(&data), &policy), Clock::system());
    let mut events = Vec::new();
    loop {
        let taken = engine.handle.take_events();
        events.extend(taken.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()));
        let told = json!({
            "port": engine.handle.ports().0, "events": events, "stats": engine.stats(),
        });
        std::fs::write(notes.join("told.new"), told.to_string()).unwrap();
        std::fs::rename(notes.join("told.new"), notes.join("told")).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process.
pub struct Server {
    pub shim: Shim,
    data: Folder,
    notes: Folder,
    child: Child,
    port: u16,
}

impl Server {
    /// Start on an empty folder. Calls on the files of the log whose name has `named` in it are
    /// counted from [`Server::arm`] on, and go wrong as `order` says; in an order `{held}` stands for
    /// a file that is there until [`Server::mend`].
    pub fn start(policy: &str, named: &str, order: &str) -> Self {
        Self::launch(policy, named, order, false)
    }

    /// The same, with calls counted from the process's start on.
    pub fn start_armed(policy: &str, named: &str, order: &str) -> Self {
        Self::launch(policy, named, order, true)
    }

    fn launch(policy: &str, named: &str, order: &str, is_armed: bool) -> Self {
        let (data, notes) = (Folder::new(), Folder::new());
        let shim = Shim::on(&data.0);
        let (armed, held) = (shim.file("armed"), shim.file("held"));
        let order = order.replace("{held}", held.to_str().unwrap());
        let shim = shim.order(&format!("named={named};from={};{order}", armed.display()));
        std::fs::write(held, "").unwrap();
        if is_armed {
            std::fs::write(armed, "").unwrap();
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "server::engine_on_a_bad_disk"])
            .env("PERDURE_TEST_DIR", &data.0)
            .env("PERDURE_TEST_NOTES", &notes.0)
            .env("PERDURE_TEST_POLICY", policy)
            .stdout(Stdio::null());
        let child = shim.preload(&mut command).spawn().unwrap();
        let mut made = Self { shim, data, notes, child, port: 0 };
        made.port = wait_for("its port", || Some(made.told()?["port"].as_u64()? as u16));
        made
    }

    /// From now on calls are counted.
    pub fn arm(&self) {
        std::fs::write(self.shim.file("armed"), "").unwrap();
    }

    /// The disk is well again.
    pub fn mend(&self) {
        std::fs::remove_file(self.shim.file("held")).unwrap();
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    fn told(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.notes.0.join("told")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The fields of the first line of that name in the operator's log.
    pub fn logged(&self, name: &str) -> Option<Value> {
        let told = self.told()?;
        let found = told["events"].as_array()?.iter().find(|event| event["name"] == name)?;
        Some(found["fields"].clone())
    }

    /// Wait for a line that tells of an error: it has a code, a path and a hint.
    pub fn wait_failure(&self, name: &str) -> Value {
        let fields = wait_for(name, || self.logged(name));
        let is_text = |name: &str| fields[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(is_text("code") && is_text("hint"), "{fields}");
        assert!(fields.to_string().contains("appendonly"), "no path in {fields}");
        fields
    }

    /// Figures of the log.
    pub fn log_stats(&self) -> Value {
        self.told().map_or(Value::Null, |told| told["stats"]["log"].clone())
    }

    /// Kill it, start on what is there (the disk is well), and look for all that was acknowledged.
    pub fn assert_nothing_is_lost(mut self, acknowledged: &[u64], what: &str) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for start in ["first", "second"] {
            let engine: Engine =
                start_with(&logged_options(&self.data.0, "everysec"), Clock::system());
            let mut client = engine.client();
            for (writer, count) in acknowledged.iter().enumerate() {
                for number in 0..*count {
                    client.send(&["GET", &format!("k:{writer}:{number}")]);
                }
                for number in 0..*count {
                    let found = client.receive();
                    assert_eq!(found, "value", "{what}, {start} start: k:{writer}:{number}");
                }
            }
            engine.stop();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clients that write, each key once, and again when it is refused.
pub struct Load {
    must_end: Arc<AtomicBool>,
    acknowledged: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(server: &Server) -> Self {
        let must_end = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let threads = acknowledged.iter().enumerate().map(|(writer, count)| {
            let (client, must_end) = (server.client(), Arc::clone(&must_end));
            let count = Arc::clone(count);
            std::thread::spawn(move || write(client, writer, &count, &must_end))
        });
        Self { threads: threads.collect(), must_end, acknowledged }
    }

    /// Wait until each writer was told OK so often again.
    pub fn wait_for_more(&self, more: u64) {
        let wanted: Vec<u64> = self.counts().iter().map(|count| count + more).collect();
        wait_until("writes are acknowledged", || {
            self.counts().iter().zip(&wanted).all(|(count, wanted)| count >= wanted)
        });
    }

    fn counts(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|count| count.load(Ordering::Acquire)).collect()
    }

    /// End it; gives how many keys of each writer were acknowledged.
    pub fn end(self) -> Vec<u64> {
        self.must_end.store(true, Ordering::Release);
        let counts = self.acknowledged;
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        counts.iter().map(|count| count.load(Ordering::Acquire)).collect()
    }

    /// The same for a server that a fault kills: the writers end by themselves, with the panic of
    /// who reads from a dead one.
    pub fn end_of_killed(self) -> Vec<u64> {
        wait_until("the writers' end", || self.threads.iter().all(JoinHandle::is_finished));
        self.counts()
    }
}

fn write(mut client: Client, writer: usize, acknowledged: &AtomicU64, must_end: &AtomicBool) {
    let mut number = 0;
    while !must_end.load(Ordering::Acquire) {
        let reply = client.command(&["SET", &format!("k:{writer}:{number}"), "value"]);
        if reply == "+OK" {
            number += 1;
            acknowledged.store(number, Ordering::Release);
        } else {
            assert!(reply.starts_with("-MISCONF"), "a write was answered {reply:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
