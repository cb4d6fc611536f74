//! The quicklist against a `Vec` of elements, with nodes small enough that everything happens.

use super::*;
use crate::alloc;
use crate::value::seeded::Seeded;

const SMALL: NodeLimit = NodeLimit { bytes: 256, count: 65_534 };

fn texts(list: &Quicklist) -> Vec<Vec<u8>> {
    list.iter().map(|element| element.text().to_vec()).collect()
}

/// Do one random edit to both.
fn edit(random: &mut Seeded, list: &mut Quicklist, model: &mut Vec<Vec<u8>>, limit: NodeLimit) {
    let element = random.element();
    let place = random.below(model.len().max(1));
    match random.below(12) {
        0 | 1 => {
            list.push(End::Front, &element, limit);
            model.insert(0, element);
        }
        2 | 3 => {
            list.push(End::Back, &element, limit);
            model.push(element);
        }
        4 if !model.is_empty() => {
            list.pop(End::Front, limit);
            model.remove(0);
        }
        5 => {
            list.pop(End::Back, limit);
            model.pop();
        }
        6 | 7 => {
            assert_eq!(list.insert_before(place, &element, limit), !model.is_empty());
            model.splice(place..place, (!model.is_empty()).then_some(element));
        }
        8 if !model.is_empty() => {
            assert!(list.insert_after(place, &element, limit));
            model.insert(place + 1, element);
        }
        9 => {
            assert_eq!(list.replace(place, &element, limit), !model.is_empty());
            model.splice(
                place..(place + 1).min(model.len()),
                (!model.is_empty()).then_some(element),
            );
        }
        10 => {
            let count = random.below(6) * random.below(6);
            list.remove_range(place, count, limit);
            model.drain(place.min(model.len())..(place + count).min(model.len()));
        }
        _ => remove_matches(random, list, model, limit),
    }
}

fn remove_matches(
    random: &mut Seeded,
    list: &mut Quicklist,
    model: &mut Vec<Vec<u8>>,
    limit: NodeLimit,
) {
    let needle = match model.len() {
        0 => random.element(),
        len => model[random.below(len)].clone(),
    };
    let count = [1, 2, usize::MAX][random.below(3)];
    let from = [End::Front, End::Back][random.below(2)];
    let matches: Vec<_> = (0..model.len()).filter(|place| model[*place] == needle).collect();
    let removed: Vec<_> = match from {
        End::Front => matches.into_iter().take(count).collect(),
        End::Back => matches.into_iter().rev().take(count).collect(),
    };
    assert_eq!(list.remove_matches(&needle, count, from, limit), removed.len());
    let mut place = 0;
    model.retain(|_| {
        place += 1;
        !removed.contains(&(place - 1))
    });
}

fn compare(random: &mut Seeded, list: &Quicklist, model: &[Vec<u8>], limit: NodeLimit) {
    list.check_invariants().unwrap();
    assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
    assert_eq!(texts(list), model);
    let index = random.below(model.len() + 2);
    let found = list.get(index).map(|element| element.text().to_vec());
    assert_eq!(found.as_ref(), model.get(index));
    let upper: Vec<_> = list.iter_from(index).map(|element| element.text().to_vec()).collect();
    assert_eq!(upper, model[index.min(model.len())..]);
    let lower = list.iter_up_to(index).rev().map(|element| element.text().to_vec());
    let end = if index < model.len() { index + 1 } else { 0 };
    assert!(lower.eq(model[..end].iter().rev().cloned()));
    meet_in_the_middle(random, list, model);
    let ends = [End::Front, End::Back].map(|end| list.end(end).map(|end| end.text().to_vec()));
    assert_eq!([ends[0].as_ref(), ends[1].as_ref()], [model.first(), model.last()]);
    for node in list.nodes() {
        let (size, count) = (node.size_bytes(), node.len());
        assert!(count == 1 || limit.admits(size, count), "{count} in {size} bytes");
    }
}

/// Take from both ends of a walk until it is done.
fn meet_in_the_middle(random: &mut Seeded, list: &Quicklist, model: &[Vec<u8>]) {
    let (mut walk, mut left) = (list.iter(), model);
    while let (Some(first), Some(last)) = (left.first(), left.last()) {
        if random.below(2) == 0 {
            assert_eq!(*walk.next().unwrap().text(), **first);
            left = &left[1..];
        } else {
            assert_eq!(*walk.next_back().unwrap().text(), **last);
            left = &left[..left.len() - 1];
        }
    }
    assert!(walk.next().is_none() && walk.next_back().is_none());
}

#[test]
fn random_edits_agree_with_a_vector_of_elements() {
    let mut random = Seeded::from_environment("quicklist edits");
    let before = alloc::live_bytes();
    let limits = [SMALL, NodeLimit::of(-1), NodeLimit::of(3), NodeLimit::of(1)];
    for round in 0..80 {
        let limit = limits[round % limits.len()];
        let (mut list, mut model) = (Quicklist::new(), Vec::new());
        for _ in 0..200 {
            edit(&mut random, &mut list, &mut model, limit);
            compare(&mut random, &list, &model, limit);
        }
        let copy = list.duplicate();
        copy.check_invariants().unwrap();
        drop(list);
        assert_eq!(texts(&copy), model);
    }
    assert_eq!(alloc::live_bytes(), before, "every block was freed");
}

/// Goal: a queue and a stack of many elements keep bounded nodes and a memory figure that follows.
#[test]
fn ends_take_and_give_many_elements() {
    let limit = NodeLimit::of(-2);
    for (push, pop) in [
        (End::Front, End::Front),
        (End::Front, End::Back),
        (End::Back, End::Front),
        (End::Back, End::Back),
    ] {
        let mut list = Quicklist::new();
        for value in 0..50_000 {
            list.push(push, format!("element:{value:09}").as_bytes(), limit);
        }
        list.check_invariants().unwrap();
        let packed: usize = list.nodes().map(Listpack::size_bytes).sum();
        assert!(list.memory_bytes() < packed + packed / 8 + 8192, "{}", list.memory_bytes());
        assert!(list.nodes().len() <= packed / 8000 + 2);
        for step in 0..50_000 {
            let value = if push == pop { 49_999 - step } else { step };
            let element = list.end(pop).map(|element| element.text().to_vec());
            assert_eq!(element, Some(format!("element:{value:09}").into_bytes()));
            list.pop(pop, limit);
        }
        assert!(list.is_empty() && list.nodes().len() == 0);
    }
}

/// Goal: what is left of a long list after most of it was removed does not sit in large nodes.
#[test]
fn thinned_list_gives_its_memory_back() {
    let limit = NodeLimit::of(-2);
    let mut list = Quicklist::new();
    for value in 0..20_000 {
        let is_kept = value % 100 == 0;
        list.push(End::Back, if is_kept { b"keep" } else { b"drop" }, limit);
    }
    assert_eq!(list.remove_matches(b"drop", usize::MAX, End::Back, limit), 19_800);
    list.check_invariants().unwrap();
    assert_eq!((list.len(), list.nodes().len()), (200, 1));
    list.remove_range(1, 198, limit);
    assert_eq!(texts(&list), [b"keep", b"keep"]);
    assert!(list.memory_bytes() < 1024, "{}", list.memory_bytes());
}

/// Goal: room ahead is for elements that can come, whatever bounds a node.
#[test]
fn full_nodes_do_not_keep_room() {
    for (setting, element_bytes) in [(1, 64), (3, 64), (100, 64), (-2, 64), (-2, 5000), (-1, 3000)]
    {
        let limit = NodeLimit::of(setting);
        for end in [End::Front, End::Back] {
            let mut list = Quicklist::new();
            for _ in 0..2000 {
                list.push(end, &vec![b'x'; element_bytes], limit);
            }
            let packed: usize = list.nodes().map(Listpack::size_bytes).sum();
            let nodes = list.nodes().len() * 64;
            let held = list.memory_bytes();
            assert!(held < packed + packed / 5 + nodes, "{setting}: {held} for {packed}");
        }
    }
}

#[test]
fn limits_are_those_of_the_directive() {
    let sizes = [-1, -2, -3, -4, -5, -6, i32::MIN].map(|value| NodeLimit::of(value).bytes);
    assert_eq!(sizes, [4096, 8192, 16_384, 32_768, 65_536, 65_536, 65_536]);
    let counts = [0, 1, 128, i32::MAX].map(|value| NodeLimit::of(value).count);
    assert_eq!(counts, [1, 1, 128, 65_534]);
    assert_eq!(NodeLimit::of(128).bytes, 8192);
    let limit = NodeLimit::of(2);
    let mut list = Quicklist::new();
    for element in ["a", "b", "c", "d", "e"] {
        list.push(End::Back, element.as_bytes(), limit);
    }
    list.push(End::Back, &[b'x'; 9000], limit);
    assert!(list.nodes().map(Listpack::len).eq([2, 2, 1, 1]));
}

#[test]
fn a_list_that_was_drained_gives_the_places_of_its_nodes_back() {
    let one = NodeLimit { count: 1, ..SMALL };
    let drains: [fn(&mut Quicklist, NodeLimit); 3] = [
        |list, limit| (0..9_999).for_each(|_| list.pop(End::Front, limit)),
        |list, limit| (0..9_999).for_each(|_| list.pop(End::Back, limit)),
        |list, limit| list.remove_range(1, 9_999, limit),
    ];
    for drain in drains {
        let mut list = Quicklist::new();
        (0..10_000).for_each(|at: i32| list.push(End::Back, at.to_string().as_bytes(), one));
        let full = list.memory_bytes();
        drain(&mut list, one);
        assert_eq!((list.len(), list.check_invariants()), (1, Ok(())));
        assert!(list.memory_bytes() < full / 50, "{} of {full} bytes", list.memory_bytes());
    }
}
