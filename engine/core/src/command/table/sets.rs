//! Rows of the set commands. Arity, flags, keys and categories are Redis 7.0's (COMMAND INFO
//! answers them); the summaries are ours.

use super::spec::*;
use crate::command::set::{algebra, change, pick, read};

/// The rows.
pub(super) const SETS: &[Spec] = &[
    spec("sadd", -3, WRITE | DENYOOM | FAST, CAT_SET, change::sadd)
        .keys(1, 1, 1, &[key(1, "RW insert", 0, 1)])
        .member(2)
        .doc("set", "1.0.0", "Add members to a set."),
    spec("srem", -3, WRITE | FAST, CAT_SET, change::srem)
        .keys(1, 1, 1, &[key(1, "RW delete", 0, 1)])
        .member(2)
        .doc("set", "1.0.0", "Remove members of a set."),
    spec("sismember", 3, READONLY | FAST, CAT_SET, read::sismember)
        .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
        .member(2)
        .doc("set", "1.0.0", "Whether a set has a member."),
    spec("smismember", -3, READONLY | FAST, CAT_SET, read::smismember)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .member(2)
        .doc("set", "6.2.0", "Whether a set has each of several members."),
    spec("scard", 2, READONLY | FAST, CAT_SET, read::scard)
        .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
        .doc("set", "1.0.0", "Number of members of a set."),
    spec("smembers", 2, READONLY, CAT_SET, read::smembers)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "All members of a set."),
    spec("spop", -2, WRITE | FAST, CAT_SET, pick::spop)
        .keys(1, 1, 1, &[key(1, "RW access delete", 0, 1)])
        .tips(&["nondeterministic_output"])
        .doc("set", "1.0.0", "Take members out of a set at random."),
    spec("srandmember", -2, READONLY, CAT_SET, pick::srandmember)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output"])
        .doc("set", "1.0.0", "Members of a set at random."),
    spec("smove", 4, WRITE | FAST, CAT_SET, change::smove)
        .keys(1, 2, 1, &[key(1, "RW access delete", 0, 1), key(2, "RW insert", 0, 1)])
        .member(3)
        .doc("set", "1.0.0", "Move a member from one set to another."),
    spec("sinter", -2, READONLY, CAT_SET, algebra::sinter)
        .keys(1, -1, 1, &[key(1, "RO access", -1, 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "Members that all sets have."),
    spec("sinterstore", -3, WRITE | DENYOOM, CAT_SET, algebra::sinterstore)
        .keys(1, -1, 1, &[key(1, "RW update", 0, 1), key(2, "RO access", -1, 1)])
        .doc("set", "1.0.0", "Store the members that all sets have."),
    spec("sintercard", -3, READONLY, CAT_SET, algebra::sintercard)
        .keys(0, 0, 0, &[counted_keys(1, "RO access")])
        .doc("set", "7.0.0", "Count the members that all sets have."),
    spec("sunion", -2, READONLY, CAT_SET, algebra::sunion)
        .keys(1, -1, 1, &[key(1, "RO access", -1, 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "Members that any of the sets has."),
    spec("sunionstore", -3, WRITE | DENYOOM, CAT_SET, algebra::sunionstore)
        .keys(1, -1, 1, &[key(1, "OW update", 0, 1), key(2, "RO access", -1, 1)])
        .doc("set", "1.0.0", "Store the members that any of the sets has."),
    spec("sdiff", -2, READONLY, CAT_SET, algebra::sdiff)
        .keys(1, -1, 1, &[key(1, "RO access", -1, 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "Members of the first set that no other one has."),
    spec("sdiffstore", -3, WRITE | DENYOOM, CAT_SET, algebra::sdiffstore)
        .keys(1, -1, 1, &[key(1, "OW update", 0, 1), key(2, "RO access", -1, 1)])
        .doc("set", "1.0.0", "Store the members of the first set that no other one has."),
    spec("sscan", -3, READONLY, CAT_SET, read::sscan)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output"])
        .doc("set", "2.8.0", "Walk through the members of a set, a few at a time."),
];
