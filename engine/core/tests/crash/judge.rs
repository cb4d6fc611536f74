//! Whether what a server holds after a crash is what its clients were told: for each of them the
//! state after a prefix of what it sent, which holds all that must be there; with a restore in
//! between, the restored state and what was sent after some place.

use crate::clients::{Seen, Sent};
use crate::model::{State, Value, count_of};

/// What is known of one client.
pub struct Story<'a> {
    pub client: usize,
    /// Its keys at the begin.
    pub base: &'a State,
    pub sent: &'a Sent,
    pub seen: Seen,
    /// So much of what was sent must be there.
    pub least: usize,
    /// And so much may be.
    pub most: usize,
}

impl Story<'_> {
    /// The prefix that explains `actual` without a restore. `must_hold_seen`: and all that readers
    /// saw.
    pub fn explain(&self, actual: &State, must_hold_seen: bool) -> Option<State> {
        if self.seen.is_restored || !self.fits_told(0, self.base) {
            return None;
        }
        let found = self.search(0, actual)?;
        let count = count_of(&found, self.client);
        (!must_hold_seen || count >= self.seen.last).then_some(found)
    }

    /// The same with a restore of the base somewhere behind `asked`.
    pub fn explain_restored(
        &self,
        actual: &State,
        asked: usize,
        must_hold_seen: bool,
    ) -> Option<State> {
        let explain = |from: usize| {
            self.fits_told(from, self.base).then(|| self.search(from, actual)).flatten()
        };
        let found = (asked..=self.sent.units.len()).find_map(explain)?;
        let count = count_of(&found, self.client);
        let is_seen = !must_hold_seen || !self.seen.is_restored || count >= self.seen.last;
        is_seen.then_some(found)
    }

    /// Whether what the client was told of its counter is so with a restore before unit `from`.
    fn fits_told(&self, from: usize, base: &State) -> bool {
        let begin = count_of(base, self.client);
        let mut count = begin;
        self.sent.told.iter().enumerate().all(|(number, told)| {
            if number == from {
                count = begin;
            }
            told.count.is_none_or(|told| {
                count += 1;
                told == count
            })
        })
    }

    fn search(&self, from: usize, actual: &State) -> Option<State> {
        let units = &self.sent.units;
        let most = self.most.min(units.len());
        let wanted = count_of(actual, self.client);
        let mut state = self.base.clone();
        let first = self.least.max(from);
        units.get(from..first)?.iter().for_each(|unit| unit.apply(&mut state));
        for upto in first..=most {
            if count_of(&state, self.client) == wanted && state == *actual {
                return Some(state);
            }
            if let Some(unit) = units.get(upto) {
                unit.apply(&mut state);
            }
        }
        None
    }

    /// How many of the units that were told the counter shows, about.
    pub fn count_held(&self, actual: &State) -> usize {
        let count = count_of(actual, self.client);
        self.sent
            .told
            .iter()
            .rposition(|told| told.count.is_some_and(|it| it <= count))
            .unwrap_or(0)
    }

    /// For a person: how the state differs from the one that must be there at least.
    pub fn complain(&self, actual: &State) -> String {
        let mut least = self.base.clone();
        self.sent.units[..self.least].iter().for_each(|unit| unit.apply(&mut least));
        let mut text = format!(
            "client {}: sent {}, told {}, must hold {}, may hold {}; counter {} (told {}, seen {:?})\n",
            self.client,
            self.sent.units.len(),
            self.sent.told.len(),
            self.least,
            self.most,
            count_of(actual, self.client),
            count_of(&least, self.client),
            self.seen,
        );
        let keys: std::collections::BTreeSet<_> = least.keys().chain(actual.keys()).collect();
        for key in keys.into_iter().filter(|key| least.get(*key) != actual.get(*key)).take(4) {
            let shown = |kept: Option<&(Value, i64)>| {
                format!("{kept:?}").chars().take(120).collect::<String>()
            };
            text += &format!("  {key}: {}\n", shown(actual.get(key)));
            text += &format!("     told: {}\n", shown(least.get(key)));
        }
        for (number, unit) in self.sent.units.iter().enumerate().skip(self.least).take(4) {
            let shown: String = format!("{:?}", unit.commands).chars().take(160).collect();
            text += &format!("  then {number}: {shown}\n");
        }
        text
    }
}

#[test]
fn a_lost_write_a_changed_order_and_an_unseen_value_are_found() {
    use crate::{clients::Told, model::Unit};
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    let unit = |text: &str, is_counting| Unit {
        commands: vec![words(text)],
        is_transaction: false,
        is_counting,
    };
    let units =
        [("INCR c0:count", true), ("RPUSH c0:list:0 a", false), ("RPUSH c0:list:0 b", false)];
    let units: Vec<Unit> = units.iter().map(|(text, counts)| unit(text, *counts)).collect();
    let told = |count| Told { at_ns: 0, count };
    let sent = Sent { units: units.clone(), told: vec![told(Some(1)), told(None)] };
    let base = State::new();
    let seen = Seen { last: 1, is_restored: false };
    let story = Story { client: 0, base: &base, sent: &sent, seen, least: 2, most: usize::MAX };
    let after = |numbers: &[usize]| {
        let mut state = State::new();
        numbers.iter().for_each(|number| units[*number].apply(&mut state));
        state
    };
    assert!(story.explain(&after(&[0, 1]), true).is_some());
    assert!(story.explain(&after(&[0, 1, 2]), true).is_some(), "what was not told may be there");
    assert!(story.explain(&after(&[0]), true).is_none(), "an answered write is lost");
    assert!(story.explain(&after(&[0, 2, 1]), true).is_none(), "the order is another");
    assert!(story.explain(&after(&[0, 1, 1]), true).is_none(), "a write is there twice");
    assert!(story.explain_restored(&after(&[2]), 2, true).is_some(), "restored after two");
    let saw_more = Story { seen: Seen { last: 2, ..seen }, ..story };
    assert!(saw_more.explain(&after(&[0, 1]), true).is_none(), "a reader saw what is gone");
}
