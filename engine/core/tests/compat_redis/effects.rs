//! What a server logs of the calls, framing and order of random members left out, so that two logs
//! can be compared.

use std::collections::BTreeSet;

use crate::generator::Call;
use crate::harness::{commands_of, shown};

/// How far times may differ between the two servers, ms.
pub const TOLERANCE_MS: i64 = 30_000;
const SHOWN_AROUND: usize = 4;

/// A command of the log and the database it changes.
pub type Effect = (usize, Call);

/// Reads a log as it grows.
#[derive(Default)]
pub struct Reader {
    db: usize,
}

impl Reader {
    /// The commands of the next piece. SREMs in a row are one, members sorted: SPOP's members
    /// differ, and what the other side popped is then taken from both. DELs in a row are sorted: a
    /// SCAN deletes what has expired in the order of its walk.
    pub fn effects(&mut self, log: &[u8]) -> Vec<Effect> {
        let mut effects: Vec<Effect> = Vec::new();
        for words in commands_of(log) {
            match words[0].to_ascii_uppercase().as_slice() {
                b"SELECT" => self.db = String::from_utf8_lossy(&words[1]).parse().unwrap(),
                b"MULTI" | b"EXEC" => {}
                b"SREM" => match effects.last_mut() {
                    Some((db, last)) if *db == self.db && is_srem_of(last, &words[1]) => {
                        last.extend_from_slice(&words[2..]);
                    }
                    _ => effects.push((self.db, words)),
                },
                _ => effects.push((self.db, words)),
            }
        }
        for (_, words) in &mut effects {
            if words[0].eq_ignore_ascii_case(b"SREM") {
                let members: BTreeSet<Vec<u8>> = words.drain(2..).collect();
                words.extend(members);
            }
        }
        let is_del = |effect: &Effect| effect.1[0].eq_ignore_ascii_case(b"DEL");
        effects.chunk_by_mut(|a, b| is_del(a) && is_del(b)).for_each(<[Effect]>::sort);
        effects
    }
}

fn is_srem_of(words: &[Vec<u8>], key: &[u8]) -> bool {
    words[0].eq_ignore_ascii_case(b"SREM") && words[1] == key
}

/// Where two logs part, shown with what stands around it.
pub fn first_difference(real: &[Effect], ours: &[Effect]) -> Option<String> {
    let at = (0..real.len().max(ours.len())).find(|at| match (real.get(*at), ours.get(*at)) {
        (Some(real), Some(ours)) => !is_same(real, ours),
        _ => true,
    })?;
    let around = |log: &[Effect]| {
        let lines = log.iter().take(at + 2).skip(at.saturating_sub(SHOWN_AROUND));
        lines.map(|(db, words)| format!("    {db}: {}\n", shown(words))).collect::<String>()
    };
    Some(format!("effect {at}\n  real:\n{}  ours:\n{}", around(real), around(ours)))
}

fn is_same(real: &Effect, ours: &Effect) -> bool {
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i64>().ok();
    let is_near = |a: i64, b: i64| a.abs_diff(b) <= TOLERANCE_MS as u64;
    let is_same_name = real.1[0].eq_ignore_ascii_case(&ours.1[0]);
    let times =
        [b"PEXPIREAT".as_slice(), b"SET"].iter().any(|n| n.eq_ignore_ascii_case(&real.1[0]));
    real.0 == ours.0
        && is_same_name
        && real.1.len() == ours.1.len()
        && real.1.iter().zip(&ours.1).skip(1).all(|(a, b)| {
            a == b || times && number(a).zip(number(b)).is_some_and(|(a, b)| is_near(a, b))
        })
}
