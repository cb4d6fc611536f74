//! The connections of one loop by token. A token names a slot and its generation, so that an event
//! for a connection that has gone is never taken for its successor's.

use super::connection::Connection;

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// A table of connections; freed slots are used again.
#[derive(Default)]
pub struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// Highest generation: leaves the upper half of all tokens to the loop's own descriptors.
const GENERATION_MASK: u32 = 0x7fff_ffff;

impl Slots {
    /// Keep a connection; gives its token.
    pub fn insert(&mut self, connection: Box<Connection>) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32 // bounded by the number of descriptors
        });
        let slot = &mut self.slots[index as usize];
        slot.connection = Some(connection);
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    /// The connection of `token`, unless it has gone.
    pub fn get(&mut self, token: u64) -> Option<&mut Connection> {
        let slot = self.slots.get_mut((token & 0xffff_ffff) as usize)?;
        if u64::from(slot.generation) == token >> 32 {
            slot.connection.as_deref_mut()
        } else {
            None
        }
    }

    /// Take the connection of `token` out for good.
    pub fn remove(&mut self, token: u64) -> Option<Box<Connection>> {
        self.get(token)?;
        let slot = &mut self.slots[(token & 0xffff_ffff) as usize];
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push((token & 0xffff_ffff) as u32);
        slot.connection.take()
    }

    /// Tokens of the connections for which `is_chosen` holds.
    pub fn tokens_where(&self, is_chosen: impl Fn(&Connection) -> bool) -> Vec<u64> {
        let token = |(index, slot): (usize, &Slot)| {
            let connection = slot.connection.as_deref()?;
            is_chosen(connection).then_some(u64::from(slot.generation) << 32 | index as u64)
        };
        self.slots.iter().enumerate().filter_map(token).collect()
    }
}
