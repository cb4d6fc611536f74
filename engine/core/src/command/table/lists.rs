//! Rows of the list commands. Arity, flags, keys and categories are Redis 7.0's (COMMAND INFO
//! answers them); the summaries are ours. The blocking commands are not here yet.

use super::spec::*;
use crate::command::list::{change, ends, read};

const INSERTED: &[KeySpec] = &[key(1, "RW insert", 0, 1)];
const DELETED: &[KeySpec] = &[key(1, "RW delete", 0, 1)];
const POPPED: &[KeySpec] = &[key(1, "RW access delete", 0, 1)];
const READ: &[KeySpec] = &[key(1, "RO access", 0, 1)];
const MOVED: &[KeySpec] = &[key(1, "RW access delete", 0, 1), key(2, "RW insert", 0, 1)];

/// The rows.
pub(super) const LISTS: &[Spec] =
    &[
        spec("lpush", -3, WRITE | DENYOOM | FAST, CAT_LIST, ends::lpush)
            .keys(1, 1, 1, INSERTED)
            .doc("list", "1.0.0", "Add elements before the first one of a list."),
        spec("rpush", -3, WRITE | DENYOOM | FAST, CAT_LIST, ends::rpush)
            .keys(1, 1, 1, INSERTED)
            .doc("list", "1.0.0", "Add elements after the last one of a list."),
        spec("lpushx", -3, WRITE | DENYOOM | FAST, CAT_LIST, ends::lpushx)
            .keys(1, 1, 1, INSERTED)
            .doc("list", "2.2.0", "Add elements before the first one of a list that exists."),
        spec("rpushx", -3, WRITE | DENYOOM | FAST, CAT_LIST, ends::rpushx)
            .keys(1, 1, 1, INSERTED)
            .doc("list", "2.2.0", "Add elements after the last one of a list that exists."),
        spec("lpop", -2, WRITE | FAST, CAT_LIST, ends::lpop).keys(1, 1, 1, POPPED).doc(
            "list",
            "1.0.0",
            "Take elements from the front of a list.",
        ),
        spec("rpop", -2, WRITE | FAST, CAT_LIST, ends::rpop).keys(1, 1, 1, POPPED).doc(
            "list",
            "1.0.0",
            "Take elements from the end of a list.",
        ),
        spec("llen", 2, READONLY | FAST, CAT_LIST, read::llen)
            .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
            .doc("list", "1.0.0", "Number of elements of a list."),
        spec("lrange", 4, READONLY, CAT_LIST, read::lrange).keys(1, 1, 1, READ).doc(
            "list",
            "1.0.0",
            "Read a part of a list.",
        ),
        spec("lindex", 3, READONLY, CAT_LIST, read::lindex).keys(1, 1, 1, READ).doc(
            "list",
            "1.0.0",
            "Read one element of a list.",
        ),
        spec("lset", 4, WRITE | DENYOOM, CAT_LIST, change::lset)
            .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
            .doc("list", "1.0.0", "Replace one element of a list."),
        spec("linsert", 5, WRITE | DENYOOM, CAT_LIST, change::linsert).keys(1, 1, 1, INSERTED).doc(
            "list",
            "2.2.0",
            "Insert an element beside another one.",
        ),
        spec("lrem", 4, WRITE, CAT_LIST, change::lrem).keys(1, 1, 1, DELETED).doc(
            "list",
            "1.0.0",
            "Remove the elements that are equal to a value.",
        ),
        spec("ltrim", 4, WRITE, CAT_LIST, change::ltrim).keys(1, 1, 1, DELETED).doc(
            "list",
            "1.0.0",
            "Keep a part of a list.",
        ),
        spec("lpos", -3, READONLY, CAT_LIST, read::lpos).keys(1, 1, 1, READ).doc(
            "list",
            "6.0.6",
            "Find elements of a list.",
        ),
        spec("lmove", 5, WRITE | DENYOOM, CAT_LIST, ends::lmove).keys(1, 2, 1, MOVED).doc(
            "list",
            "6.2.0",
            "Move an element from an end of a list to an end of another.",
        ),
        spec("rpoplpush", 3, WRITE | DENYOOM, CAT_LIST, ends::rpoplpush).keys(1, 2, 1, MOVED).doc(
            "list",
            "1.2.0",
            "Move the last element of a list to the front of another.",
        ),
        spec("lmpop", -4, WRITE, CAT_LIST, ends::lmpop)
            .keys(0, 0, 0, &[counted_keys(1, "RW access delete")])
            .doc("list", "7.0.0", "Take elements from the first list that has any."),
    ];
