//! A data dir and the crashes that it goes through: in each life clients write while something works
//! on the disk, the server dies at a step of it, the next start recovers, and what it holds is
//! judged and is what the next life begins with.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clients::{Load, Seen, Sent, WRITERS};
use crate::harness::Random;
use crate::judge::Story;
use crate::matrix::{Case, Work};
use crate::model::{BRIEF_MS, State, read_state};
use crate::power;
use crate::process::{NotStarted, Process, Start, beside};
use crate::running::{Dir, wait_until};
use crate::wire::{Reply, Wire};

/// A case whose step is not reached ends after so long.
const STEP_PATIENCE: Duration = Duration::from_millis(1500);

pub struct Chain {
    home: Dir,
    data: PathBuf,
    process: Option<Process>,
    /// What the clients' keys hold when a life begins.
    bases: Vec<State>,
    draw: Random,
    number: u64,
    policy: &'static str,
    is_power_cut: bool,
    has_log: bool,
    /// Of all that was told under `everysec`, so much had to survive a power cut, and so much did.
    pub everysec: Cell<[usize; 3]>,
}

/// What a start owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// What was saved before the life.
    OfDump,
    /// A prefix of each client's writes.
    Nothing,
    /// What the log's policy says; `is_logged`: up to the end, not up to its switching off.
    OfLog { is_logged: bool },
}

/// What a life left to judge.
struct Life {
    sent: Vec<Sent>,
    seen: Vec<Seen>,
    /// What each client was told when the work was asked for.
    asked: Vec<usize>,
    /// The work was answered.
    is_told: bool,
    /// It died at the step.
    is_reached: bool,
    /// What the log said of its lag: when, and how much.
    lags: Vec<(u64, u64)>,
}

impl Chain {
    /// A data dir with something in it, and a server on it.
    pub fn begin(seed: u64, first: &Case, is_power_cut: bool) -> Self {
        let home = Dir::new();
        let data = home.0.join("data-0");
        std::fs::create_dir(&data).unwrap();
        let mut chain = Self {
            home,
            data,
            process: None,
            bases: vec![State::new(); WRITERS],
            draw: Random::from_seed(seed),
            number: 0,
            policy: first.policy,
            is_power_cut,
            has_log: first.work != Work::SwitchOn,
            everysec: Cell::default(),
        };
        chain.process = Some(chain.start("").unwrap());
        chain.fill();
        chain
    }

    fn trace(&self) -> Option<PathBuf> {
        self.is_power_cut.then(|| self.home.0.join("trace"))
    }

    fn start(&self, failpoints: &str) -> Result<Process, NotStarted> {
        Process::start(&Start {
            data: &self.data,
            has_log: self.has_log,
            policy: self.policy,
            failpoints: failpoints.to_owned(),
            trace: self.trace(),
        })
    }

    fn port(&self) -> u16 {
        self.process.as_ref().unwrap().port
    }

    /// Writes that are durable whatever the policy is.
    fn fill(&mut self) {
        let load = Load::start(self.port(), self.draw.draw());
        wait_until("some writes", || load.told().iter().all(|told| *told > 20));
        let (sent, _) = load.end();
        for (base, sent) in self.bases.iter_mut().zip(sent) {
            assert_eq!(sent.units.len(), sent.told.len());
            sent.units.iter().for_each(|unit| unit.apply(base));
        }
        let mut admin = Wire::connect(self.port()).unwrap();
        if self.has_log {
            admin.call(&["SET", "admin", "1"]).unwrap(); // WAITAOF is about one's own writes
            let answer = admin.call(&["WAITAOF", "1", "0", "60000"]).unwrap();
            assert_eq!(answer, Reply::Array(vec![Reply::Number(1), Reply::Number(0)]));
        } else {
            assert_eq!(admin.call(&["SAVE"]).unwrap(), Reply::Line("OK".to_owned()));
        }
    }

    /// Live until the server dies at the case's step, then recover; whether the step was reached.
    pub fn live(&mut self, case: &Case) -> bool {
        self.number += 1;
        let mut process = self.process.take().unwrap();
        let life = self.run(case, &mut process);
        drop(process);
        let mut is_reached = life.is_reached;
        self.cut_power();
        if case.work == Work::Boot {
            is_reached = self.die_in_boot(case);
        }
        self.recover(case, &life);
        is_reached
    }

    fn run(&mut self, case: &Case, process: &mut Process) -> Life {
        let mut admin = Wire::connect(process.port).unwrap();
        self.policy = case.policy;
        let set = admin.call(&["CONFIG", "SET", "appendfsync", case.policy]).unwrap();
        assert_eq!(set, Reply::Line("OK".to_owned()));
        let [saved, safety] =
            ["saved", "safety"].map(|it| self.data.join(format!("{it}-{}.rdb", self.number)));
        if case.work == Work::Restore {
            assert_eq!(process.order(&format!("cut {}", saved.display())), Some(true));
        }
        if case.work == Work::SwitchOff {
            // So that who starts with the log again is not asked which of the two counts.
            let dump = self.data.join("dump.rdb");
            assert_eq!(process.order(&format!("remove {}", dump.display())), Some(true));
        }
        let load = Load::start(process.port, self.draw.draw());
        wait_until("the load", || load.told().iter().all(|told| *told > 5));
        let asked = load.told();
        // An fsync each second is not seen in a short life.
        let is_long = case.step.is_none() && case.policy == "everysec" && self.draw.one_in(2);
        let most_us = if is_long { 2_500_000 } else { 60_000 };
        let delay = Duration::from_micros(1000 + self.draw.below(most_us) as u64);
        let is_at_step = case.step.is_some() && case.work != Work::Boot;
        if let Some(step) = case.step.filter(|_| is_at_step) {
            process.order(&format!("arm {step}=kill@{}", case.hit));
        }
        let killer = process.kill_after(if is_at_step { STEP_PATIENCE } else { delay });
        let is_told = match case.work {
            Work::Idle | Work::Boot => false,
            Work::Rewrite => repeat(process, &mut admin, &["BGREWRITEAOF"]),
            Work::Bgsave => repeat(process, &mut admin, &["BGSAVE"]),
            Work::SwitchOn => switch(&mut admin, "yes"),
            Work::SwitchOff => switch(&mut admin, "no"),
            Work::Restore => {
                let order = format!("restore {} {}", saved.display(), safety.display());
                process.order(&order) == Some(true)
            }
        };
        let ends_now = is_told && is_at_step; // it is passed
        let was_alive = if ends_now { killer.end() } else { killer.wait() };
        process.reap();
        let (sent, seen) = load.end();
        Life { sent, seen, asked, is_told, is_reached: !was_alive, lags: self.lags() }
    }

    fn lags(&self) -> Vec<(u64, u64)> {
        let Some(trace) = self.trace() else { return Vec::new() };
        let bytes = std::fs::read(beside(&trace, "lag")).unwrap();
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        bytes.chunks_exact(16).map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect()
    }

    /// What was not fsynced is gone, or not.
    fn cut_power(&mut self) {
        let Some(trace) = self.trace() else { return };
        self.number += 1;
        let target = self.home.0.join(format!("data-{}", self.number));
        let [events, graves] = ["events", "graves"].map(|it| beside(&trace, it));
        power::cut(&self.data, &events, &graves, &target, &mut self.draw);
        std::fs::remove_dir_all(&self.data).unwrap();
        self.data = target;
    }

    /// A start that is killed at the step.
    fn die_in_boot(&mut self, case: &Case) -> bool {
        if self.draw.one_in(2) {
            if !self.is_power_cut {
                tear(&self.data);
            }
            std::fs::write(
                self.data.join("appendonlydir/appendonly.aof.9999.incr.aof"),
                "*1\r\n$4",
            )
            .unwrap();
        }
        let step = case.step.unwrap_or("aof.booted");
        let started = self.start(&format!("{step}=kill@{}", case.hit));
        let is_reached = matches!(started, Err(NotStarted::Killed));
        match started {
            Ok(mut process) => {
                process.kill_after(Duration::ZERO).wait();
                process.reap();
            }
            Err(NotStarted::Killed) => {}
            Err(NotStarted::Refused(_, error)) => self.fail(case, &error),
        }
        self.cut_power();
        is_reached
    }

    fn recover(&mut self, case: &Case, life: &Life) {
        let mut may_be_dump = case.work == Work::SwitchOn && !life.is_told;
        let mut is_logged = true;
        if may_be_dump || case.work == Work::SwitchOff {
            // Who has not been told that the log is on starts without it, and the other way round.
            self.has_log = false;
            match self.start("") {
                Err(NotStarted::Refused(code, _)) if code == "AOF_NOT_ASKED" => may_be_dump = false,
                Err(error) => self.fail(case, &format!("{error:?}")),
                Ok(process) if may_be_dump => self.process = Some(process),
                Ok(mut process) => {
                    is_logged = false;
                    process.kill_after(Duration::ZERO).wait();
                    process.reap();
                }
            }
        }
        if self.process.is_none() {
            self.has_log = true;
            match self.start("") {
                Ok(process) => self.process = Some(process),
                Err(error) => self.fail(case, &format!("{error:?}")),
            }
        }
        if may_be_dump {
            self.judge(case, life, Promise::OfDump);
            self.start_log(case);
            // A log that was all but switched on may count now: it holds more than the dump.
            self.bases = self.judge(case, life, Promise::Nothing);
        } else {
            self.bases = self.judge(case, life, Promise::OfLog { is_logged });
        }
    }

    /// Compare what is there with what was told. Gives it.
    fn judge(&mut self, case: &Case, life: &Life, promise: Promise) -> Vec<State> {
        std::thread::sleep(Duration::from_millis(BRIEF_MS as u64));
        let mut wire = Wire::connect(self.port()).unwrap();
        let actual: Vec<State> = (0..WRITERS).map(|it| read_state(&mut wire, it)).collect();
        let stories: Vec<Story<'_>> = (0..WRITERS)
            .map(|client| Story {
                client,
                base: &self.bases[client],
                sent: &life.sent[client],
                seen: life.seen[client],
                least: match promise {
                    Promise::OfLog { is_logged } => self.least(case, life, client, is_logged),
                    _ => 0,
                },
                most: if promise == Promise::OfDump { 0 } else { usize::MAX },
            })
            .collect();
        let is_seen_kept = !self.is_power_cut || case.policy == "always";
        let must_hold_seen = promise == Promise::OfLog { is_logged: true } && is_seen_kept;
        let found = judge(&stories, &actual, case, life, must_hold_seen);
        if self.is_power_cut && case.policy == "everysec" && found.is_some() {
            for (story, actual) in stories.iter().zip(&actual) {
                let counts = [story.sent.told.len(), story.least, story.count_held(actual)];
                let all = self.everysec.get();
                self.everysec.set(std::array::from_fn(|at| all[at] + counts[at]));
            }
        }
        found.unwrap_or_else(|| {
            let said: String =
                stories.iter().zip(&actual).map(|(story, it)| story.complain(it)).collect();
            self.fail(case, &said)
        })
    }

    /// Lives go on with a log: without one it is built from `dump.rdb`.
    fn start_log(&mut self, case: &Case) {
        if let Some(mut process) = self.process.take() {
            process.kill_after(Duration::ZERO).wait();
            process.reap();
        }
        self.has_log = true;
        match self.start("") {
            Ok(process) => self.process = Some(process),
            Err(error) => self.fail(case, &format!("{error:?}")),
        }
    }

    /// How much of what a client sent must be there.
    fn least(&self, case: &Case, life: &Life, client: usize, is_logged: bool) -> usize {
        let told = &life.sent[client].told;
        let mut least = match (self.is_power_cut, case.policy) {
            (false, _) | (true, "always") => told.len(),
            (true, "everysec") => {
                let sure_ns = life.lags.iter().map(|(at, lag)| at.saturating_sub(lag + 2_000));
                let sure_ns = sure_ns.max().unwrap_or(0);
                told.iter().take_while(|told| told.at_ns <= sure_ns).count()
            }
            (true, _) => 0,
        };
        if case.work == Work::SwitchOn && life.is_told {
            least = least.max(life.asked[client]); // fsynced before the OK
        }
        if case.work == Work::SwitchOff {
            least = if is_logged { least } else { least.min(life.asked[client]) };
        }
        least
    }

    /// Keep what is there, and fail.
    fn fail(&self, case: &Case, text: &str) -> ! {
        let place = self.home.0.with_extension("failed");
        std::fs::rename(&self.home.0, &place).unwrap();
        panic!("{case:?}, power cut: {}, see {}\n{text}", self.is_power_cut, place.display());
    }
}

/// The states if they are explained: all clients went through a restore, or none did.
fn judge(
    stories: &[Story<'_>],
    actual: &[State],
    case: &Case,
    life: &Life,
    must_hold_seen: bool,
) -> Option<Vec<State>> {
    let restored = || -> Option<Vec<State>> {
        let explain = |(story, actual): (&Story<'_>, &State)| {
            let asked = life.asked[story.client];
            story.explain_restored(actual, asked, must_hold_seen)
        };
        stories.iter().zip(actual).map(explain).collect()
    };
    let plain = || -> Option<Vec<State>> {
        let explain = |(story, actual): (&Story<'_>, &State)| story.explain(actual, must_hold_seen);
        stories.iter().zip(actual).map(explain).collect()
    };
    match (case.work, life.is_told) {
        (Work::Restore, true) => restored(),
        (Work::Restore, false) => plain().or_else(restored),
        _ => plain(),
    }
}

/// Ask again and again until the server is dead.
fn repeat(process: &Process, admin: &mut Wire, words: &[&str]) -> bool {
    while !process.is_dead() {
        let _ = admin.call(words); // one may run already
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn switch(admin: &mut Wire, value: &str) -> bool {
    match admin.call(&["CONFIG", "SET", "appendonly", value]) {
        Ok(Reply::Error(text)) => panic!("{text}"),
        answer => answer.is_ok(),
    }
}

/// A command that ends in the middle, at the log's end. After a power cut the ring may know which
/// bytes stood there; the cut tears by itself.
fn tear(data: &Path) {
    let folder = data.join("appendonlydir");
    let manifest = std::fs::read_to_string(folder.join("appendonly.aof.manifest")).unwrap();
    let last = manifest.lines().rfind(|line| line.ends_with("type i")).unwrap();
    let path = folder.join(last.split(' ').nth(1).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"*3\r\n$3\r\nSET\r\n$8\r\nnobody");
    std::fs::write(path, bytes).unwrap();
}
