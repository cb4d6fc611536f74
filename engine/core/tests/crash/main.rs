//! No acknowledged write is lost: the server is killed, or the power is cut, at the steps that touch
//! the disk while clients write, and what the next start finds is compared with what the clients
//! were told, and saw. `PERDURE_CRASHES` says how many times each (a sample in `make test`),
//! `PERDURE_TEST_SEED` repeats a run. A failure tells the seed of its chain: that seed with
//! `PERDURE_CRASHES=1` runs it alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails

mod chain;
mod clients;
mod dirty;
mod disk;
#[path = "../harness/mod.rs"]
mod harness;
mod judge;
mod matrix;
mod model;
mod power;
mod process;
#[path = "../running/mod.rs"]
mod running;
mod wire;

use std::collections::BTreeMap;

use chain::Chain;
use harness::Random;
use matrix::{Case, Work};

/// A step that is tried so often must be reached.
const TRIES_TO_REACH: usize = 8;
/// Lives of one data dir.
const LIVES_MAX: usize = 5;

fn crashes(sample: usize) -> usize {
    std::env::var("PERDURE_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(sample)
}

/// The next data dir's lives: begun by switching the log on, or ended by switching it off, or neither.
fn next_chain(cases: &mut Vec<Case>) -> Vec<Case> {
    let mut lives: Vec<Case> = Vec::new();
    while let Some(case) = cases.last() {
        let is_full = lives.len() == LIVES_MAX;
        if is_full || (case.work == Work::SwitchOn && !lives.is_empty()) {
            break;
        }
        let is_last = case.work == Work::SwitchOff;
        lives.extend(cases.pop());
        if is_last {
            break;
        }
    }
    lives
}

fn crash(test: &str, count: usize, is_power_cut: bool) {
    let mut seeds = Random::from_environment(test);
    let mut reached: BTreeMap<(Work, &str), (usize, usize)> = BTreeMap::new();
    let (mut done, mut cases) = (0, Vec::new());
    let mut everysec = [0; 3];
    while done < count {
        if cases.is_empty() {
            cases = matrix::shuffled(&mut seeds, is_power_cut);
        }
        let lives = next_chain(&mut cases);
        let seed = seeds.draw();
        let mut chain = Chain::begin(seed, &lives[0], is_power_cut);
        for case in lives.iter().take(count - done) {
            let is_reached = chain.live(case);
            let counts = reached.entry((case.work, case.step.unwrap_or("any"))).or_default();
            counts.0 += 1;
            counts.1 += usize::from(is_reached);
            done += 1;
        }
        everysec.iter_mut().zip(chain.everysec.get()).for_each(|(all, one)| *all += one);
    }
    let [told, sure, held] = everysec;
    eprintln!("{test}: of {told} units told under everysec, {sure} had to survive, {held} did");
    for ((work, step), (tried, reached)) in &reached {
        eprintln!("{test}: {work:?} {step}: {reached} of {tried}");
        let is_long = *tried >= TRIES_TO_REACH && *step != "any";
        assert!(*reached > 0 || !is_long, "{work:?} never comes to {step}");
    }
}

#[test]
fn a_kill_at_any_step_loses_nothing_that_was_told_or_seen() {
    crash("a_kill_at_any_step", crashes(40), false);
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_that_was_promised() {
    crash("a_power_cut_at_any_step", crashes(40), true);
}
