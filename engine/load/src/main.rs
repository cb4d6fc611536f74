//! A load generator for gRPC that costs little itself, so that the server is the limit: calls are
//! encoded by hand, many streams share a connection, all that can be sent goes out in one write.
//! It speaks to any server (`http2`), with the messages of the data API or of etcd (`messages`).
//! It checks that each call is answered by a message, not what the message says.
//!
//! Prints one JSON object: calls, operations, seconds, its own CPU, and quantiles of latency.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that is run by make bench")]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test fails by panicking

mod http2;
mod messages;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use http2::{Connection, Failure};
use messages::{Api, Draw, Row};

/// What was asked for.
#[derive(Clone)]
struct Plan {
    port: u16,
    row: Row,
    connections: u32,
    outstanding: usize,
    calls: u64,
    draw: Draw,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    calls: u64,
    microseconds: Vec<u32>,
}

fn main() -> ExitCode {
    match plan().and_then(|plan| run(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            eprintln!(
                "Try: perdure-load --port N --api perdure|etcd --row \
                 get|set|multi-get|multi-set|pipeline [--connections N] [--outstanding N] \
                 [--calls N] [--keys N] [--batch N] [--value-bytes N]"
            );
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan, Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| {
        let at = words.iter().position(|word| word == &format!("--{name}"));
        at.and_then(|at| words.get(at + 1)).map(String::as_str)
    };
    let number = |name: &str, default: u64| match text(name) {
        Some(word) => word.parse::<u64>().map_err(|_| Failure::from(format!("--{name} {word}"))),
        None => Ok(default),
    };
    let api = Api::named(text("api").unwrap_or("perdure")).ok_or("--api is unknown")?;
    let row = Row::named(api, text("row").unwrap_or("get")).ok_or("--row is unknown")?;
    Ok(Plan {
        port: u16::try_from(number("port", 6380)?).map_err(|_| "--port is too large")?,
        row,
        connections: u32::try_from(number("connections", 1)?.max(1)).unwrap_or(1),
        outstanding: usize::try_from(number("outstanding", 50)?.max(1)).unwrap_or(50),
        calls: number("calls", 100_000)?,
        draw: Draw {
            keys: number("keys", 200_000)?.max(1),
            batch: usize::try_from(number("batch", 100)?.max(1)).unwrap_or(100),
            value_bytes: usize::try_from(number("value-bytes", 64)?).unwrap_or(64),
        },
    })
}

fn run(plan: &Plan) -> Result<(), Failure> {
    let began = (Instant::now(), own_cpu()?);
    let threads: Vec<_> = (0..plan.connections)
        .map(|number| {
            let plan = plan.clone();
            std::thread::spawn(move || drive(&plan, u64::from(number)).map_err(|it| it.to_string()))
        })
        .collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().map_err(|_| "a thread failed")??;
        all.calls += seen.calls;
        all.microseconds.extend(seen.microseconds);
    }
    let seconds = began.0.elapsed().as_secs_f64();
    let cpu = own_cpu()? - began.1;
    all.microseconds.sort_unstable();
    let quantile = |share: f64| {
        let at = (all.microseconds.len() as f64 * share) as usize;
        all.microseconds.get(at).copied().unwrap_or(0)
    };
    let report = serde_json::json!({
        "calls": all.calls,
        "operations": all.calls * plan.row.operations(plan.draw) as u64,
        "seconds": seconds,
        "client_cpu_seconds": cpu.as_secs_f64(),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
    });
    println!("{report}");
    Ok(())
}

/// One connection's share of the calls.
fn drive(plan: &Plan, number: u64) -> Result<Seen, Failure> {
    let share = plan.calls / u64::from(plan.connections);
    let mut connection = Connection::open(plan.port, plan.row.path())?;
    let mut source = plan.row.source(plan.draw, number);
    let mut seen = Seen::default();
    let mut sent = 0;
    if plan.row.is_stream() {
        connection.open_stream();
    }
    while seen.calls < share {
        while sent < share && connection.outstanding() < plan.outstanding {
            let message = source.next_message();
            let is_sent = if plan.row.is_stream() {
                connection.send_on_stream(message)
            } else {
                connection.call(message)
            };
            if !is_sent {
                source.keep();
                break; // the server's window is full
            }
            sent += 1;
        }
        let answered = connection.exchange(&mut seen.microseconds)?;
        seen.calls += answered;
    }
    Ok(seen)
}

/// CPU time that this process has taken.
fn own_cpu() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis((ticks(12) + ticks(13)) * 10)) // a tick is 10 ms on Linux
}
