//! How long replaying a log takes: `aof_replay_speed FILE [RUNS]`, a file of plain commands.
//! Prints seconds of the best run, commands a second, and the processor seconds of the calling
//! thread and of the whole process in that run. Run with
//! `cargo run --release --example aof_replay_speed`.
#![allow(unsafe_code)] // reads the processor clocks

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use perdure_engine::aof::replay::{Stretch, replay};
use perdure_engine::clock::Clock;
use perdure_engine::command::Replayer;
use perdure_engine::config::Config;
use perdure_engine::error::EngineError;
use perdure_engine::keyspace::Keyspace;

fn main() -> Result<(), EngineError> {
    let mut words = std::env::args().skip(1);
    let Some(path) = words.next().map(PathBuf::from) else {
        println!("usage: aof_replay_speed FILE [RUNS]");
        return Ok(());
    };
    let runs: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(3);
    let wrap = |error: std::io::Error| EngineError::from_io("read", &path, &error);
    let to = std::fs::metadata(&path).map_err(wrap)?.len();
    let mut best: Option<(f64, String)> = None;
    for _ in 0..runs {
        let clock = Arc::new(Clock::system());
        let mut replayer = Replayer::new(&Config::redis_defaults(), &clock, Keyspace::new(16));
        let (started, before) = (Instant::now(), cpu_seconds());
        let stretch = Stretch { path: &path, from: 0, to };
        let commands = replay(&mut replayer, stretch, &mut |_| true)?;
        let (wall, after) = (started.elapsed().as_secs_f64(), cpu_seconds());
        let rate = commands as f64 / wall / 1e6;
        let (thread, process) = (after[0] - before[0], after[1] - before[1]);
        let keys = replayer.finish().len();
        let line = format!(
            "{commands} commands, {keys} keys: {wall:.3} s, {rate:.2} M/s \
             (cpu: thread {thread:.3}, process {process:.3})"
        );
        if best.as_ref().is_none_or(|(least, _)| wall < *least) {
            best = Some((wall, line));
        }
    }
    println!("{}", best.map_or_else(String::new, |(_, line)| line));
    Ok(())
}

fn cpu_seconds() -> [f64; 2] {
    [libc::CLOCK_THREAD_CPUTIME_ID, libc::CLOCK_PROCESS_CPUTIME_ID].map(|clock| {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: fills a struct of ours.
        unsafe { libc::clock_gettime(clock, &raw mut now) };
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    })
}
