//! Whether an order tree is what it says. Reads everything: for tests and debugging.

use super::node::{Key, LeafId, NodeId, Row};
use super::tree::Tree;

/// What a walk through the tree has seen.
struct Walk {
    last: Option<Key>,
    last_leaf: Option<LeafId>,
}

impl Tree {
    /// The first broken invariant, if any.
    pub fn check(&self) -> Result<(), String> {
        let mut walk = Walk { last: None, last_leaf: None };
        let count = self.check_below(self.root, self.height, &mut walk)?;
        if count != self.len() {
            return Err(format!("{count} elements in the tree, which says {}", self.len()));
        }
        if walk.last_leaf != Some(self.last) || self.nodes.leaf(self.last).next.is_some() {
            return Err("the last leaf is another one".to_owned());
        }
        Ok(())
    }

    fn check_below(&self, node: NodeId, height: usize, walk: &mut Walk) -> Result<usize, String> {
        if height == 0 {
            return self.check_leaf(node.leaf(), walk);
        }
        let inner = self.nodes.inner(node.inner());
        if inner.len() < 1 + usize::from(height == self.height) {
            return Err(format!("an inner node has {} children", inner.len()));
        }
        let mut total = 0;
        for index in 0..inner.len() {
            let (Some(child), Some(low)) = (inner.child(index), inner.low(index)) else {
                return Err("an inner node lacks a child".to_owned());
            };
            let count = self.check_below(child, height - 1, walk)?;
            let least = if height == 1 {
                self.nodes.leaf(child.leaf()).key(0)
            } else {
                self.nodes.inner(child.inner()).low(0)
            };
            let is_least =
                least.is_some_and(|key| key.entry == low.entry && key.score == low.score);
            if inner.counts().get(index) != Some(&count) || !is_least {
                return Err(format!("an inner node is wrong about child {index}"));
            }
            total += count;
        }
        Ok(total)
    }

    fn check_leaf(&self, id: LeafId, walk: &mut Walk) -> Result<usize, String> {
        let leaf = self.nodes.leaf(id);
        if leaf.prev != walk.last_leaf || (leaf.prev.is_none() && self.first != id) {
            return Err("a leaf is not linked to the one before".to_owned());
        }
        let is_linked = leaf.prev.is_none_or(|prev| self.nodes.leaf(prev).next == Some(id));
        if !is_linked || (leaf.len() == 0 && self.height > 0) {
            return Err("a leaf is not linked, or is empty".to_owned());
        }
        walk.last_leaf = Some(id);
        for index in 0..leaf.len() {
            let Some(key) = leaf.key(index) else { return Err("a leaf lacks a key".to_owned()) };
            let is_after = walk.last.is_none_or(|last| {
                let (one, other) = (self.nodes.entry(last.entry), self.nodes.entry(key.entry));
                last.score < key.score || (last.score == key.score && one.key() < other.key())
            });
            if !is_after {
                return Err(format!("element {index} of a leaf is not in order"));
            }
            walk.last = Some(key);
        }
        Ok(leaf.len())
    }
}
