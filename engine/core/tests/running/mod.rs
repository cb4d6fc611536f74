//! What the engine's own integration tests share: an engine on free ports in a directory of its
//! own, the end of a job, and a small blocking RESP client. No assertion about what the engine does
//! lives here.

#![allow(dead_code)] // each test binary uses its own part

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use perdure_engine::border::EngineHandle;
use perdure_engine::clock::Clock;
use perdure_engine::failpoint;
use serde_json::{Value, json};

/// No wait in a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Failpoints are armed for the whole process, so the tests of a file take turns; what one armed is
/// gone when the next begins.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock();
    failpoint::arm("").unwrap();
    turn
}

/// Hold every child at `name` until the marker that this gives is removed.
pub fn hold(dir: &Dir, name: &str) -> String {
    let marker = dir.file("held");
    failpoint::arm(&format!("{name}=pause:{marker}")).unwrap();
    marker
}

pub fn wait_held(marker: &str) {
    wait_until("the failpoint", || Path::new(marker).exists());
}

pub fn let_go(marker: &str) {
    failpoint::arm("").unwrap();
    std::fs::remove_file(marker).unwrap();
}

/// A directory that is gone when this is dropped.
pub struct Dir(pub PathBuf);

impl Dir {
    /// A new, empty one.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("perdure-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path inside, as text.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Names inside, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An engine and the events that were taken from it.
pub struct Engine {
    /// The engine.
    pub handle: EngineHandle,
    seen: RefCell<Vec<Value>>,
}

/// Options for an engine in `dir` on free ports, without save points.
pub fn options(dir: &Path) -> Value {
    json!({
        "resp_port": 0, "data_port": 0, "data_dir": dir,
        "redis_args": [
            "--save", "", "--enable-debug-command", "yes", "--enable-protected-configs", "yes",
        ],
    })
}

/// Start an engine in `dir` and wait until it serves.
pub fn start(dir: &Dir) -> Engine {
    start_with(&options(&dir.0), Clock::system())
}

/// Start an engine and wait until it serves.
pub fn start_with(options: &Value, clock: Clock) -> Engine {
    let engine = launch(options, clock);
    engine.wait_event(|event| event["event"] == "state" && event["state"] == "ready");
    engine
}

/// Start an engine.
pub fn launch(options: &Value, clock: Clock) -> Engine {
    let handle = EngineHandle::start_with_clock(&options.to_string(), clock).unwrap();
    Engine { handle, seen: RefCell::default() }
}

impl Engine {
    /// Wait for an event, also among those that were seen already.
    pub fn wait_event(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for("an event", || {
            let mut seen = self.seen.borrow_mut();
            seen.extend(
                self.handle.take_events().iter().map(|text| serde_json::from_str(text).unwrap()),
            );
            seen.iter().find(|event| is_wanted(event)).cloned()
        })
    }

    /// Whether such an event has come so far.
    pub fn has_event(&self, is_wanted: impl Fn(&Value) -> bool) -> bool {
        let taken = self.handle.take_events();
        let mut seen = self.seen.borrow_mut();
        seen.extend(taken.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()));
        seen.iter().any(is_wanted)
    }

    /// The result of a job, or its error.
    pub fn end_of(&self, job: u64) -> Result<Value, Value> {
        let end = self.wait_event(|event| {
            event["job"] == job && (event["event"] == "done" || event["event"] == "failed")
        });
        if end["event"] == "done" { Ok(end["result"].clone()) } else { Err(end["error"].clone()) }
    }

    /// The code of a job that must fail.
    pub fn code_of(&self, job: u64) -> String {
        self.end_of(job).unwrap_err()["code"].as_str().unwrap().to_owned()
    }

    /// The figures.
    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.handle.stats()).unwrap()
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.handle.ports().0)
    }

    /// Stop without saving and wait.
    pub fn stop(&self) {
        self.end_of(self.handle.stop(Some(false))).unwrap();
    }
}

/// Poll until there is something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Poll until it holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// A blocking RESP connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connect to loopback.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Send one command without reading its reply.
    pub fn send(&mut self, words: &[&str]) {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    /// Send bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Read one reply: a line as it is (`+OK`, `-ERR ...`, `:1`), or the text of a bulk string
    /// (`(nil)` if none).
    pub fn receive(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let line = line.trim_end().to_owned();
        match line.strip_prefix('$').map(|length| length.parse::<i64>().unwrap()) {
            None => line,
            Some(length) if length < 0 => "(nil)".to_owned(),
            Some(length) => {
                let mut bytes = vec![0; usize::try_from(length).unwrap() + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                String::from_utf8(bytes).unwrap()
            }
        }
    }

    /// Send and read.
    pub fn command(&mut self, words: &[&str]) -> String {
        self.send(words);
        self.receive()
    }

    /// Set `count` keys `{prefix}:{n}` to `value`.
    pub fn fill(&mut self, prefix: &str, count: usize, value: &str) {
        for first in (0..count).step_by(500) {
            let last = (first + 500).min(count);
            let mut bytes = String::new();
            for number in first..last {
                bytes.push_str(&format!("SET {prefix}:{number} {value}\r\n"));
            }
            self.send_raw(bytes.as_bytes());
            (first..last).for_each(|_| assert_eq!(self.receive(), "+OK"));
        }
    }

    /// Whether a reply is there within `patience`.
    pub fn has_reply_within(&mut self, patience: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(patience)).unwrap();
        let has = self.stream.fill_buf().is_ok();
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        has
    }
}
