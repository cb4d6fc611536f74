//! The engine as a process of its own: this test binary once more, with one test asked for. It takes
//! orders on its input, answers on its output, and ends with whoever started it.

#![allow(unsafe_code)] // system calls: kill, waitid

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use perdure_engine::clock::Clock;
use perdure_engine::{durable, failpoint};
use serde_json::Value;

use crate::disk;
use crate::running::{Engine, launch, options, wait_for};

/// Before each answer; the test runner's own output has none.
const MARK: &str = "@@ ";

/// What one start is given.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    pub data: &'a Path,
    pub has_log: bool,
    pub policy: &'a str,
    /// Armed from the first moment.
    pub failpoints: String,
    /// Note what becomes durable, in files beside the data that begin with this.
    pub trace: Option<PathBuf>,
}

/// Files of a trace.
pub fn beside(trace: &Path, what: &str) -> PathBuf {
    trace.with_extension(what)
}

/// Not a test of its own (nothing without the variables): the process that is killed.
#[test]
fn engine_to_be_killed() {
    let Ok(data) = std::env::var("PERDURE_CRASH_DATA") else { return };
    let data = PathBuf::from(data);
    let word = |name: &str| std::env::var(name).unwrap();
    let trace = std::env::var("PERDURE_CRASH_TRACE").ok().map(PathBuf::from);
    if let Some(trace) = &trace {
        let [file, graves, boot] = ["events", "graves", "boot"].map(|it| beside(trace, it));
        disk::trace(&data, &file, &graves, &boot);
    }
    let mut options = options(&data);
    let args = options["redis_args"].as_array_mut().unwrap();
    let log = word("PERDURE_CRASH_LOG");
    let policy = word("PERDURE_CRASH_POLICY");
    args.extend(["--appendonly", &log, "--appendfsync", &policy].map(Into::into));
    let engine = launch(&options, Clock::system());
    let state = engine.wait_event(|event| event["event"] == "state" && event["state"] != "loading");
    if state["state"] != "ready" {
        return println!("\n{MARK}failed {}", state["error"]);
    }
    println!("\n{MARK}ready {}", engine.handle.ports().0);
    if let Some(trace) = trace {
        note_lag(&engine, &beside(&trace, "lag"));
    }
    obey(&engine);
}

/// Keep what the engine says of its lag, with the time before it was asked.
fn note_lag(engine: &Engine, file: &Path) {
    let shared = Arc::clone(engine.handle.shared());
    let mut file = std::fs::File::create(file).unwrap();
    std::thread::spawn(move || {
        loop {
            let at_ns = disk::now_ns();
            let lag = shared.stats.log.fsync_lag();
            let is_told = shared.log.file().is_some_and(|log| log.is_in_force());
            if is_told {
                let lag_ns = u64::try_from(lag.as_nanos()).unwrap();
                let bytes: Vec<u8> =
                    [at_ns, lag_ns].iter().flat_map(|it| it.to_le_bytes()).collect();
                file.write_all(&bytes).unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

fn obey(engine: &Engine) {
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let outcome = match words[..] {
            ["arm", text] => failpoint::arm(text).map(|()| Value::Null).map_err(Value::from),
            ["arm"] => failpoint::arm("").map(|()| Value::Null).map_err(Value::from),
            ["cut", path] => engine.end_of(engine.handle.cut(path.to_owned(), String::new())),
            ["remove", path] => {
                let _ = std::fs::remove_file(path); // there may be none
                durable::fsync_directory(Path::new(path))
                    .map_err(|it| it.to_json())
                    .map(|()| Value::Null)
            }
            ["restore", path, safety] => {
                engine.end_of(engine.handle.load_beside(path.to_owned())).and_then(|stage| {
                    let stage = stage["stage"].as_u64().unwrap();
                    engine.end_of(engine.handle.commit(stage, safety.to_owned()))
                })
            }
            _ => panic!("what is {line}"),
        };
        match outcome {
            Ok(_) => println!("\n{MARK}done"),
            Err(error) => println!("\n{MARK}failed {error}"),
        }
    }
}

/// A running one.
pub struct Process {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub port: u16,
}

/// How a start ended that did not come to serve.
#[derive(Debug)]
pub enum NotStarted {
    Killed,
    /// The code, and all of it.
    Refused(String, String),
}

impl Process {
    pub fn start(start: &Start<'_>) -> Result<Self, NotStarted> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "process::engine_to_be_killed", "--nocapture"])
            .env("PERDURE_CRASH_DATA", start.data)
            .env("PERDURE_CRASH_LOG", if start.has_log { "yes" } else { "no" })
            .env("PERDURE_CRASH_POLICY", start.policy)
            .env("PERDURE_FAILPOINTS", &start.failpoints)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(trace) = &start.trace {
            let _ = std::fs::remove_dir_all(beside(trace, "graves"));
            // Every start is one after a power cut.
            std::fs::write(beside(trace, "boot"), format!("boot-{}\n", disk::now_ns())).unwrap();
            command.env("PERDURE_CRASH_TRACE", trace);
        }
        let mut child = command.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, orders, answers, port: 0 };
        let Some(answer) = process.answer() else {
            process.end();
            return Err(NotStarted::Killed);
        };
        if let Some(port) = answer.strip_prefix("ready ") {
            process.port = port.parse().unwrap();
            return Ok(process);
        }
        process.end();
        let error: Value = serde_json::from_str(answer.strip_prefix("failed ").unwrap()).unwrap();
        Err(NotStarted::Refused(error["code"].as_str().unwrap().to_owned(), error.to_string()))
    }

    fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.answers.read_line(&mut line).ok()? > 0 {
            if let Some(answer) = line.trim_end().strip_prefix(MARK) {
                return Some(answer.to_owned());
            }
            line.clear();
        }
        None
    }

    /// Give an order; whether it was done. `None`: the process is dead.
    pub fn order(&mut self, text: &str) -> Option<bool> {
        self.orders.write_all(format!("{text}\n").as_bytes()).ok()?;
        self.answer().map(|answer| answer == "done")
    }

    /// End it with SIGKILL after so long, if it does not die by itself before.
    pub fn kill_after(&self, delay: Duration) -> Killer {
        let is_over = Arc::new(AtomicBool::new(false));
        let (pid, over) = (self.child.id(), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let deadline = Instant::now() + delay;
            while Instant::now() < deadline && !over.load(Ordering::Acquire) && !is_dead(pid) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let was_alive = !is_dead(pid);
            if was_alive {
                // SAFETY: plain numbers; the child is not reaped before this thread has ended.
                unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
            }
            was_alive
        });
        Killer { thread, is_over }
    }

    /// Wait until it is dead, and see that nothing else than SIGKILL ended it.
    pub fn reap(&mut self) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "it ended otherwise: {status}");
    }

    pub fn is_dead(&self) -> bool {
        is_dead(self.child.id())
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        wait_for("its end", || self.child.try_wait().unwrap());
    }
}

/// What kills a process later.
pub struct Killer {
    thread: JoinHandle<bool>,
    is_over: Arc<AtomicBool>,
}

impl Killer {
    /// Kill now, if it lives; whether it had not died by itself.
    pub fn end(self) -> bool {
        self.is_over.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
    /// Wait until it is dead; whether it had not died by itself.
    pub fn wait(self) -> bool {
        self.thread.join().unwrap()
    }
}

/// Whether a child is dead; it stays to be reaped.
fn is_dead(pid: u32) -> bool {
    // SAFETY: all zeros are a `siginfo_t`, which the call fills.
    unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid, &raw mut found, how) == 0 && found.si_pid() != 0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
