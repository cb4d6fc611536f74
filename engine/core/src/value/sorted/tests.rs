//! A model of the large sorted set: a `BTreeMap` of members and a `BTreeSet` of the order, under
//! random operations of several shapes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Put, Sorted};
use crate::alloc::live_bytes;
use crate::value::seeded::Seeded;

/// A score that compares as the model needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score(f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.partial_cmp(&other.0).unwrap()
    }
}

#[derive(Default)]
struct Model {
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(Score, Vec<u8>)>,
}

impl Model {
    fn put(&mut self, member: &[u8], score: f64) -> Put {
        match self.scores.get(member).copied() {
            Some(old) if old == score => Put::Same,
            Some(old) => {
                self.order.remove(&(Score(old), member.to_vec()));
                self.order.insert((Score(score), member.to_vec()));
                self.scores.insert(member.to_vec(), score);
                Put::Updated
            }
            None => {
                self.order.insert((Score(score), member.to_vec()));
                self.scores.insert(member.to_vec(), score);
                Put::Added
            }
        }
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.scores.remove(member) else { return false };
        self.order.remove(&(Score(score), member.to_vec()))
    }

    fn elements(&self) -> Vec<(Vec<u8>, u64)> {
        // The bits of the score that was given: -0 stays -0.
        self.order.iter().map(|(_, it)| (it.clone(), self.scores[it].to_bits())).collect()
    }
}

fn elements<'a>(
    range: impl Iterator<Item = (crate::value::entry_ref::EntryRef<'a>, f64)>,
) -> Vec<(Vec<u8>, u64)> {
    range.map(|(entry, score)| (entry.key().to_vec(), score.to_bits())).collect()
}

fn compare(sorted: &Sorted, model: &Model, random: &mut Seeded) {
    sorted.check_invariants().unwrap();
    let expected = model.elements();
    assert_eq!(sorted.len(), expected.len());
    assert_eq!(elements(sorted.range(0, usize::MAX)), expected);
    let mut backwards = elements(sorted.range(0, usize::MAX).rev());
    backwards.reverse();
    assert_eq!(backwards, expected);
    for _ in 0..20.min(expected.len()) {
        let rank = random.below(expected.len());
        let (member, bits) = &expected[rank];
        let score = f64::from_bits(*bits);
        assert_eq!(sorted.score(member).map(f64::to_bits), Some(*bits));
        assert_eq!(sorted.rank(member), Some((rank, score)));
        let to = rank + random.below(expected.len() - rank + 1);
        assert_eq!(elements(sorted.range(rank, to)), expected[rank..to]);
        let mut range = sorted.range(rank, to);
        let (mut front, mut back) = (rank, to);
        while front < back {
            if random.below(2) == 0 {
                assert_eq!(range.next().unwrap().0.key(), expected[front].0);
                front += 1;
            } else {
                back -= 1;
                assert_eq!(range.next_back().unwrap().0.key(), expected[back].0);
            }
        }
        assert!(range.next().is_none() && range.next_back().is_none());
        let below = model.order.iter().filter(|(other, _)| other.0 < score).count();
        assert_eq!(sorted.count_before(|other, _| other < score), below);
        let through = model.order.iter().filter(|(other, _)| other.0 <= score).count();
        assert_eq!(sorted.count_before(|other, _| other <= score), through);
    }
}

/// Which scores and members a run draws.
#[derive(Clone, Copy)]
struct Shape {
    scores: usize,
    members: usize,
    /// Insertions of ten.
    insertions: usize,
}

fn run(shape: Shape, operations: usize, random: &mut Seeded) {
    let before = live_bytes();
    let (mut sorted, mut model) = (Sorted::default(), Model::default());
    for turn in 0..operations {
        let member = format!("member:{:06}", random.below(shape.members)).into_bytes();
        let score = match random.below(shape.scores) {
            0 => -0.0,
            1 => f64::INFINITY,
            other => other as f64 * 0.1,
        };
        // Now filling, now emptying.
        let is_filling = (turn * 4 / operations).is_multiple_of(2);
        let insertions = if is_filling { shape.insertions } else { 10 - shape.insertions };
        if random.below(10) < insertions {
            assert_eq!(sorted.put(&member, score), model.put(&member, score));
        } else if random.below(50) == 0 && !model.scores.is_empty() {
            let from = random.below(model.scores.len());
            let to = from + random.below(8);
            let gone: Vec<_> = model.order.iter().skip(from).take(to - from).cloned().collect();
            assert_eq!(sorted.remove_range(from, to), gone.len());
            gone.iter().for_each(|(_, member)| assert!(model.remove(member)));
        } else {
            assert_eq!(sorted.remove(&member), model.remove(&member));
        }
        if turn % (operations / 8) == 0 {
            compare(&sorted, &model, random);
        }
    }
    compare(&sorted, &model, random);
    let copy = sorted.duplicate();
    drop(sorted);
    compare(&copy, &model, random);
    drop(copy);
    assert_eq!(live_bytes(), before, "all memory was given back");
}

#[test]
fn random_operations_do_what_the_model_does() {
    let mut random = Seeded::from_environment("sorted");
    for (scores, members, operations) in
        [(3, 300, 4_000), (1, 20_000, 60_000), (3, 20_000, 60_000), (1 << 40, 20_000, 60_000)]
    {
        run(Shape { scores, members, insertions: 8 }, operations, &mut random);
    }
}

#[test]
fn sets_filled_in_order_have_full_leaves_and_drain_from_either_end() {
    const ELEMENTS: usize = 20_000;
    for is_ascending in [true, false] {
        for is_first_popped in [true, false] {
            let mut sorted = Sorted::default();
            let number = |turn| if is_ascending { turn } else { ELEMENTS - 1 - turn };
            for turn in 0..ELEMENTS {
                let member = format!("{:05}", number(turn));
                sorted.put(member.as_bytes(), number(turn) as f64);
            }
            sorted.check_invariants().unwrap();
            let nodes = sorted.order.memory_bytes();
            assert!(nodes < ELEMENTS * 18, "{nodes} bytes of nodes");
            for turn in 0..ELEMENTS {
                let rank = if is_first_popped { 0 } else { sorted.len() - 1 };
                assert_eq!(sorted.remove_range(rank, rank + 1), 1);
                if turn % 1000 == 0 {
                    sorted.check_invariants().unwrap();
                }
            }
            assert!(sorted.is_empty());
            assert_eq!(sorted.put(b"again", 1.0), Put::Added);
            sorted.check_invariants().unwrap();
        }
    }
}

#[test]
fn an_entry_stays_where_it_is_while_its_score_changes_and_the_table_grows() {
    let mut sorted = Sorted::default();
    sorted.put(b"m", 1.0);
    let address = |sorted: &Sorted| sorted.members.get(b"m").unwrap().address();
    let before = address(&sorted);
    for turn in 0..5000 {
        sorted.put(format!("other:{turn}").as_bytes(), f64::from(turn));
        sorted.put(b"m", f64::from(turn) / 3.0);
        assert_eq!(address(&sorted), before);
    }
    sorted.check_invariants().unwrap();
}

#[test]
fn nan_is_not_taken() {
    let mut sorted = Sorted::default();
    assert_eq!(sorted.put(b"m", f64::NAN), Put::Same);
    sorted.put(b"m", 1.0);
    assert_eq!(sorted.put(b"m", f64::NAN), Put::Same);
    assert_eq!(sorted.score(b"m"), Some(1.0));
    sorted.check_invariants().unwrap();
}

#[test]
fn a_million_members_with_one_score_are_in_the_order_of_their_bytes() {
    const ELEMENTS: usize = 1_000_000;
    let member = |number: usize| format!("{:06}", number * 611_953 % ELEMENTS).into_bytes();
    let mut sorted = Sorted::default();
    (0..ELEMENTS).for_each(|number| {
        sorted.put(&member(number), 0.0);
    });
    sorted.check_invariants().unwrap();
    for number in (0..ELEMENTS).step_by(9973) {
        let text = member(number);
        let rank = std::str::from_utf8(&text).unwrap().parse().unwrap();
        assert_eq!(sorted.rank(&text), Some((rank, 0.0)));
        let found = sorted.range(rank, rank + 1).next();
        assert_eq!(found.map(|(entry, _)| entry.key().to_vec()), Some(text));
    }
    (0..ELEMENTS).step_by(2).for_each(|number| assert!(sorted.remove(&member(number))));
    sorted.check_invariants().unwrap();
    assert_eq!(sorted.len(), ELEMENTS / 2);
}
