//! Our commands against a real redis-server 7.0: the same random calls to both, replies compared,
//! then the data set (DEBUG DIGEST), the figures of INFO, and what both logs hold.
//!
//! `PERDURE_TEST_SEED` repeats a run, `PERDURE_COMPAT_CALLS` makes it longer, `PERDURE_COMPAT_ONLY`
//! draws from some families only ("list,set"; see `generator::FAMILIES`), `PERDURE_COMPAT_EACH`
//! is the call from which on figures, logs and data are compared after each. `make diff` is the long
//! run. A difference is shown with its number, both replies and the last calls on its keys; then
//! both sides are emptied and the run goes on, so that one run shows all that is wrong.

#![allow(clippy::unwrap_used)] // a test may fail so

mod arena;
mod chance;
mod effects;
mod generator;
#[path = "../harness/mod.rs"]
mod harness;
mod peer;
mod replies;
mod same;

use arena::Arena;
use generator::{Call, Generator};
use harness::Random;

const CALLS: usize = 40_000;
/// Calls of one client in a row, at most; and the rows after which the data is compared,
/// and after which both servers save and load.
const ROW_MAX: usize = 100;
const ROWS_TO_DIGEST: usize = 16;
const ROWS_TO_RELOAD: usize = 160;

/// The replies to calls in a row, and the state they leave, are those of a real server.
#[test]
fn random_calls_are_answered_as_by_a_real_server() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let calls = number("PERDURE_COMPAT_CALLS").unwrap_or(CALLS);
    let each_from = number("PERDURE_COMPAT_EACH").unwrap_or(usize::MAX);
    let mut generator = Generator::new(Random::from_environment("compat_redis"));
    let mut arena = Arena::new();
    let unknown: Vec<&str> = generator::names().filter(|name| !arena.is_known(name)).collect();
    assert!(unknown.is_empty(), "commands that one of the servers does not have: {unknown:?}");
    let mut rows = 0;
    while arena.calls < calls && !arena.is_over() {
        let who = generator.random.below(2);
        let length = 1 + generator.random.below(ROW_MAX);
        let mut row: Vec<Call> = Vec::new();
        for _ in 0..1 + generator.random.below(length) {
            let call = generator.next();
            if call[0].eq_ignore_ascii_case(b"WATCH") && call.len() > 1 {
                // Our WATCH deletes what has expired already; let both do so.
                row.push([vec![b"EXISTS".to_vec()], call[1..].to_vec()].concat());
            }
            row.extend(generator::before_sort(&call));
            if chance::is_drawn(&call) {
                arena.run(who, &std::mem::take(&mut row));
                chance::run(&mut arena, who, call);
            } else {
                row.push(call);
            }
            if arena.calls >= each_from {
                arena.run(who, &std::mem::take(&mut row));
                arena.check();
                arena.check_digest();
            }
        }
        arena.run(who, &row);
        arena.check();
        rows += 1;
        if rows % ROWS_TO_RELOAD == 0 {
            arena.reload();
        } else if rows % ROWS_TO_DIGEST == 0 {
            arena.check_digest();
        }
    }
    arena.check_digest();
    eprintln!("compat_redis: {} calls", arena.calls);
    let verdict = arena.verdict();
    assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
}
