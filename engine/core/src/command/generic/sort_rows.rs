//! The rows of SORT: elements with what they are weighed by, and Redis's order of them. Not here:
//! where they come from and go to (`sort`).

use std::cmp::Ordering;
use std::ops::Range;

use crate::command::texts::c_text;
use crate::value::score::parse_prefix;

/// Many byte strings in one allocation.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// Add one.
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(index).copied().unwrap_or(0);
        self.bytes.get(start.unwrap_or(0)..end).unwrap_or_default()
    }
}

/// What rows are ordered by: a number each, a text each (or none), or nothing but themselves.
#[derive(Debug, Default)]
pub struct Weights {
    numbers: Vec<f64>,
    texts: Texts,
    /// Whether there is a text; where there is none an empty one stands.
    has_text: Vec<bool>,
}

impl Weights {
    /// Add what C's `strtod` reads, as Redis takes it: blanks before it and nothing at all pass; what
    /// is not there is 0. False: not a number.
    pub fn push_number(&mut self, text: Option<&[u8]>) -> bool {
        let text = c_text(text.unwrap_or_default(), usize::MAX);
        let read = parse_prefix(text);
        let is_out_of_range = read.is_out_of_range || read.value.is_subnormal();
        self.numbers.push(read.value);
        read.bytes == text.len() && !is_out_of_range && !read.value.is_nan()
    }

    /// Add a text, or that there is none.
    pub fn push_text(&mut self, text: Option<&[u8]>) {
        self.texts.push(text.unwrap_or_default());
        self.has_text.push(text.is_some());
    }

    fn number(&self, row: usize) -> f64 {
        self.numbers.get(row).copied().unwrap_or(0.0)
    }

    fn text(&self, row: usize) -> Option<&[u8]> {
        self.has_text.get(row).copied().unwrap_or(false).then(|| self.texts.get(row))
    }
}

/// Which order.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// DESC.
    pub is_descending: bool,
    /// ALPHA: by text, not by number.
    pub is_alpha: bool,
    /// BY: by what other keys hold.
    pub has_weights: bool,
    /// STORE: Redis then compares texts as bytes, else as the locale does, up to the first NUL. The
    /// locale here is C's.
    pub is_stored: bool,
}

impl Order {
    fn compare_texts(self, one: &[u8], other: &[u8]) -> Ordering {
        if self.is_stored {
            return one.cmp(other);
        }
        c_text(one, usize::MAX).cmp(c_text(other, usize::MAX))
    }
}

/// Elements in an order.
#[derive(Debug)]
pub struct Rows {
    elements: Texts,
    order: Vec<usize>,
}

impl Rows {
    /// The elements as they come.
    pub fn new(elements: Texts) -> Self {
        let order = (0..elements.len()).collect();
        Self { elements, order }
    }

    /// All elements.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.range(0..self.order.len())
    }

    /// The elements with these places in the order.
    pub fn range(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let rows = self.order.get(range).unwrap_or_default();
        rows.iter().map(|row| self.elements.get(*row))
    }

    /// Put them in order. Equal numbers are told apart by the elements; rows that are equal
    /// altogether stay as they were.
    pub fn sort(&mut self, order: Order, weights: &Weights) {
        let elements = &self.elements;
        let ascending = |one: usize, other: usize| {
            let bytes = || elements.get(one).cmp(elements.get(other));
            match (order.is_alpha, order.has_weights) {
                (false, _) => {
                    let numbers = weights.number(one).partial_cmp(&weights.number(other));
                    numbers.unwrap_or(Ordering::Equal).then_with(bytes)
                }
                (true, false) => order.compare_texts(elements.get(one), elements.get(other)),
                (true, true) => match (weights.text(one), weights.text(other)) {
                    (Some(one), Some(other)) => order.compare_texts(one, other),
                    (one, other) => one.is_some().cmp(&other.is_some()),
                },
            }
        };
        self.order.sort_by(|one, other| {
            let found = ascending(*one, *other);
            if order.is_descending { found.reverse() } else { found }
        });
    }
}
