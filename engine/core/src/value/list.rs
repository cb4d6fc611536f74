//! A list: what reading and changing one mean, whatever its form. A small list is one listpack in
//! its entry; it moves to a `quicklist` outside when that passes [`PACKED_BYTES_MAX`] or what
//! `list-max-listpack-size` allows one node, and stays there (clients see one encoding, Redis's
//! `quicklist`, of both). Not here: indexes counted from the end, and what commands answer.

use super::large::Content;
use super::listpack::{self, Element, Encoded, Listpack, Needle};
use super::packing::Packing;
use super::quicklist::{NodeLimit, Quicklist, Walk};
use super::{Kind, Text, ValueMut, ValueRef};

pub use super::quicklist::End;

/// Largest list in an entry. A quicklist's node then holds it better: it has room at both ends, and
/// the entry no longer moves with it.
const PACKED_BYTES_MAX: usize = super::layout::INLINE_BYTES_MAX;

/// A list as it is read. Allocates nothing.
#[derive(Debug, Clone, Copy)]
pub enum ListRef<'a> {
    /// A listpack of its elements.
    Packed(Listpack<'a>),
    /// What is outside its entry.
    Large(&'a Quicklist),
}

impl<'a> ListRef<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len(),
            Self::Large(large) => large.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Redis 7.0's name of the encoding.
    pub fn encoding(self) -> &'static str {
        "quicklist"
    }

    /// The element of an index, counted from the end if negative.
    pub fn get(self, index: i64) -> Option<Text<'a>> {
        match self {
            Self::Packed(packed) => packed.seek(index).map(|at| packed.get(at)),
            Self::Large(large) => large.get(self.from_front(index)?).map(Element::text),
        }
    }

    /// The place from the front of an index that may count from the end; `None` past either end.
    pub fn from_front(self, index: i64) -> Option<usize> {
        let len = self.len();
        let place = match usize::try_from(index) {
            Ok(place) => place,
            Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
        };
        (place < len).then_some(place)
    }

    /// The element at an end.
    pub fn end(self, end: End) -> Option<Element<'a>> {
        match self {
            Self::Packed(packed) => {
                let at = if end == End::Front { packed.first() } else { packed.last() };
                at.map(|at| packed.element(at))
            }
            Self::Large(large) => large.end(end),
        }
    }

    /// The elements as texts, from both ends.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Text<'a>> + use<'a> {
        self.elements().map(Element::text)
    }

    /// As [`ListRef::iter`], from a place on.
    pub fn iter_from(self, place: usize) -> impl DoubleEndedIterator<Item = Text<'a>> + use<'a> {
        self.elements_from(place).map(Element::text)
    }

    /// The elements as they are stored, from both ends.
    pub fn elements(self) -> Walk<'a> {
        match self {
            Self::Packed(packed) => Walk::over(packed.entries()),
            Self::Large(large) => large.iter(),
        }
    }

    /// The elements as they are stored, from a place on.
    pub fn elements_from(self, place: usize) -> Walk<'a> {
        match self {
            Self::Packed(packed) => match packed.seek(place as i64) {
                Some(at) => Walk::over(packed.entries_from(at)),
                None => Walk::default(),
            },
            Self::Large(large) => large.iter_from(place),
        }
    }

    /// The elements as they are stored, up to a place, that one included.
    pub fn elements_up_to(self, place: usize) -> Walk<'a> {
        match self {
            Self::Packed(packed) => match packed.seek(place as i64) {
                Some(at) => Walk::over(packed.entries_up_to(at)),
                None => Walk::default(),
            },
            Self::Large(large) => large.iter_up_to(place),
        }
    }

    /// Number of listpacks that hold the list.
    pub fn nodes_len(self) -> usize {
        match self {
            Self::Packed(_) => 1,
            Self::Large(large) => large.nodes().len(),
        }
    }

    /// The listpacks that hold the list, in order, for an RDB to write as they are. An element is
    /// in a listpack however large it is.
    pub fn nodes(self) -> impl Iterator<Item = Listpack<'a>> + use<'a> {
        let (packed, large) = match self {
            Self::Packed(packed) => (Some(packed), None),
            Self::Large(large) => (None, Some(large)),
        };
        packed.into_iter().chain(large.into_iter().flat_map(Quicklist::nodes))
    }
}

/// A list as it is changed.
#[derive(Debug)]
pub struct ListMut<'a, 'v> {
    value: &'a mut ValueMut<'v>,
    limit: NodeLimit,
}

impl<'a, 'v> ListMut<'a, 'v> {
    /// Change `value`, which is a list.
    pub fn of(value: &'a mut ValueMut<'v>, packing: Packing) -> Self {
        Self { value, limit: NodeLimit::of(packing.list_node) }
    }

    /// Read it.
    pub fn as_ref(&self) -> ListRef<'_> {
        match self.value.value() {
            ValueRef::List(list) => list,
            _ => ListRef::Packed(self.packed()),
        }
    }

    /// Add at the end.
    pub fn push_back(&mut self, element: &[u8]) {
        self.push(End::Back, element);
    }

    /// Add before the first element.
    pub fn push_front(&mut self, element: &[u8]) {
        self.push(End::Front, element);
    }

    /// Add at an end.
    pub fn push(&mut self, end: End, element: &[u8]) {
        let limit = self.limit;
        if let Some(list) = self.large() {
            return list.push(end, element, limit);
        }
        let encoded = Encoded::of(element);
        if !self.has_packed_room(encoded.size_bytes(), 1) {
            self.promote();
            return self.push(end, element);
        }
        let first = if end == End::Front { self.packed().first() } else { None };
        listpack::insert_all(self.value, first, [encoded]);
    }

    /// Remove the element at an end, if there is one.
    pub fn pop(&mut self, end: End) {
        let limit = self.limit;
        if let Some(list) = self.large() {
            return list.pop(end, limit);
        }
        let packed = self.packed();
        let at = if end == End::Front { packed.first() } else { packed.last() };
        if let Some(at) = at {
            listpack::remove(self.value, at, 1);
        }
    }

    /// Replace the element at a place; false if there is none.
    pub fn replace(&mut self, place: usize, element: &[u8]) -> bool {
        let limit = self.limit;
        if let Some(list) = self.large() {
            return list.replace(place, element, limit);
        }
        let packed = self.packed();
        let Some(at) = packed.seek(place as i64) else { return false };
        let encoded = Encoded::of(element);
        let old = Encoded::element(packed.element(at)).size_bytes();
        if !self.has_packed_room(encoded.size_bytes().saturating_sub(old), 0) {
            self.promote();
            return self.replace(place, element);
        }
        listpack::replace_encoded(self.value, at, encoded);
        true
    }

    /// Insert before the element at a place; false, and nothing done, if there is none.
    pub fn insert_before(&mut self, place: usize, element: &[u8]) -> bool {
        let limit = self.limit;
        if let Some(list) = self.large() {
            return list.insert_before(place, element, limit);
        }
        let Some(at) = self.packed().seek(place as i64) else { return false };
        let encoded = Encoded::of(element);
        if !self.has_packed_room(encoded.size_bytes(), 1) {
            self.promote();
            return self.insert_before(place, element);
        }
        listpack::insert_all(self.value, Some(at), [encoded]);
        true
    }

    /// Insert after the element at a place; false, and nothing done, if there is none.
    pub fn insert_after(&mut self, place: usize, element: &[u8]) -> bool {
        if place + 1 == self.as_ref().len() {
            self.push(End::Back, element);
            return true;
        }
        self.insert_before(place + 1, element)
    }

    /// Remove `count` elements from a place on, or as many as there are.
    pub fn remove_range(&mut self, place: usize, count: usize) {
        let limit = self.limit;
        if let Some(list) = self.large() {
            return list.remove_range(place, count, limit);
        }
        if let Some(at) = self.packed().seek(place as i64) {
            listpack::remove(self.value, at, count);
        }
    }

    /// Remove up to `count` elements that are `needle`, from an end on; gives how many.
    pub fn remove_matches(&mut self, needle: &[u8], count: usize, from: End) -> usize {
        let limit = self.limit;
        if let Some(list) = self.large() {
            return list.remove_matches(needle, count, from, limit);
        }
        listpack::remove_matches(self.value, &Needle::new(needle), count, from == End::Back)
    }

    /// Add the elements of a listpack at the end: as a node, as they are, unless they fit the entry
    /// of an empty list. The bytes have passed [`listpack::check`].
    pub fn adopt(&mut self, listpack: &[u8]) {
        let limit = self.limit;
        if let Some(list) = self.large() {
            return list.append_node(listpack);
        }
        let is_small = listpack.len() <= PACKED_BYTES_MAX
            && limit.admits(listpack.len(), Listpack::new(listpack).len());
        if is_small && self.packed().is_empty() {
            return self.value.set_packed(Kind::List, listpack);
        }
        self.promote();
        self.adopt(listpack);
    }

    fn packed(&self) -> Listpack<'_> {
        Listpack::new(self.value.packed())
    }

    fn large(&mut self) -> Option<&mut Quicklist> {
        match self.value.large_mut() {
            Some(Content::List(list)) => Some(list),
            _ => None,
        }
    }

    /// Whether the packed list may grow by so much.
    fn has_packed_room(&self, bytes: usize, elements: usize) -> bool {
        let packed = self.packed();
        let size = packed.size_bytes() + bytes;
        size <= PACKED_BYTES_MAX && self.limit.admits(size, packed.len() + elements)
    }

    /// Move a packed list out of its entry; its listpack becomes the first node.
    fn promote(&mut self) {
        let mut list = Quicklist::new();
        list.append_node(self.value.packed());
        self.value.set_large(Kind::List, Content::List(list));
    }
}
