//! List commands: `ends` (push, pop, move), `read`, `change`. What a list is, whatever its form, is
//! `value::list`; the blocking commands are not here yet.

pub mod change;
pub mod ends;
pub mod read;

use crate::resp::Reply;
use crate::value::listpack::Element;

/// Answer an element.
#[inline]
fn write_element(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Int(value) => reply.bulk_int(value),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}
