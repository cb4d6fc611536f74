//! Rows of the sorted-set commands. Arity, flags, keys and categories are Redis 7.0's (COMMAND INFO
//! answers them); the summaries are ours. The blocking commands are not here yet.

use super::spec::*;
use crate::command::zset::{add, combine, random, range, read, remove, scan};

const READ: &[KeySpec] = &[key(1, "RO access", 0, 1)];
const DELETED: &[KeySpec] = &[key(1, "RW delete", 0, 1)];
const POPPED: &[KeySpec] = &[key(1, "RW access delete", 0, 1)];
const COUNTED: &[KeySpec] = &[counted_keys(1, "RO access")];
const STORED: &[KeySpec] = &[key(1, "OW update", 0, 1), counted_keys(2, "RO access")];
const GROUP: &str = "sorted-set";

/// The rows.
pub(super) const ZSETS: &[Spec] = &[
    row("zadd", -4, WRITE | DENYOOM | FAST, add::zadd)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .member(3)
        .doc(GROUP, "1.2.0", "Set scores of members, with conditions."),
    row("zincrby", 4, WRITE | DENYOOM | FAST, add::zincrby)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .member(3)
        .doc(GROUP, "1.2.0", "Add to the score of a member."),
    row("zrem", -3, WRITE | FAST, remove::zrem).keys(1, 1, 1, DELETED).member(2).doc(
        GROUP,
        "1.2.0",
        "Remove members.",
    ),
    row("zcard", 2, READONLY | FAST, read::zcard).keys(1, 1, 1, &[key(1, "RO", 0, 1)]).doc(
        GROUP,
        "1.2.0",
        "Number of members.",
    ),
    row("zscore", 3, READONLY | FAST, read::zscore).keys(1, 1, 1, READ).member(2).doc(
        GROUP,
        "1.2.0",
        "Score of a member.",
    ),
    row("zmscore", -3, READONLY | FAST, read::zmscore).keys(1, 1, 1, READ).member(2).doc(
        GROUP,
        "6.2.0",
        "Scores of members.",
    ),
    row("zcount", 4, READONLY | FAST, read::zcount).keys(1, 1, 1, READ).doc(
        GROUP,
        "2.0.0",
        "Count members in a range of scores.",
    ),
    row("zlexcount", 4, READONLY | FAST, read::zlexcount).keys(1, 1, 1, READ).doc(
        GROUP,
        "2.8.9",
        "Count members between two members.",
    ),
    row("zrank", 3, READONLY | FAST, read::zrank).keys(1, 1, 1, READ).member(2).doc(
        GROUP,
        "2.0.0",
        "Rank of a member, from the lowest score.",
    ),
    row("zrevrank", 3, READONLY | FAST, read::zrevrank).keys(1, 1, 1, READ).member(2).doc(
        GROUP,
        "2.0.0",
        "Rank of a member, from the highest score.",
    ),
    row("zrange", -4, READONLY, range::zrange).keys(1, 1, 1, READ).doc(
        GROUP,
        "1.2.0",
        "Members in a range of ranks, scores or members.",
    ),
    row("zrangestore", -5, WRITE | DENYOOM, range::zrangestore)
        .keys(1, 2, 1, &[key(1, "OW update", 0, 1), key(2, "RO access", 0, 1)])
        .doc(GROUP, "6.2.0", "Keep a range of a sorted set under another key."),
    row("zrangebyscore", -4, READONLY, range::zrangebyscore).keys(1, 1, 1, READ).doc(
        GROUP,
        "1.0.5",
        "Members in a range of scores.",
    ),
    row("zrevrangebyscore", -4, READONLY, range::zrevrangebyscore).keys(1, 1, 1, READ).doc(
        GROUP,
        "2.2.0",
        "Members in a range of scores, the highest first.",
    ),
    row("zrangebylex", -4, READONLY, range::zrangebylex).keys(1, 1, 1, READ).doc(
        GROUP,
        "2.8.9",
        "Members between two members.",
    ),
    row("zrevrangebylex", -4, READONLY, range::zrevrangebylex).keys(1, 1, 1, READ).doc(
        GROUP,
        "2.8.9",
        "Members between two members, the last first.",
    ),
    row("zrevrange", -4, READONLY, range::zrevrange).keys(1, 1, 1, READ).doc(
        GROUP,
        "1.2.0",
        "Members in a range of ranks, the highest score first.",
    ),
    row("zremrangebyrank", 4, WRITE, remove::zremrangebyrank).keys(1, 1, 1, DELETED).doc(
        GROUP,
        "2.0.0",
        "Remove a range of ranks.",
    ),
    row("zremrangebyscore", 4, WRITE, remove::zremrangebyscore).keys(1, 1, 1, DELETED).doc(
        GROUP,
        "1.2.0",
        "Remove a range of scores.",
    ),
    row("zremrangebylex", 4, WRITE, remove::zremrangebylex).keys(1, 1, 1, DELETED).doc(
        GROUP,
        "2.8.9",
        "Remove the members between two members.",
    ),
    row("zpopmin", -2, WRITE | FAST, remove::zpopmin).keys(1, 1, 1, POPPED).doc(
        GROUP,
        "5.0.0",
        "Take the members with the lowest scores.",
    ),
    row("zpopmax", -2, WRITE | FAST, remove::zpopmax).keys(1, 1, 1, POPPED).doc(
        GROUP,
        "5.0.0",
        "Take the members with the highest scores.",
    ),
    row("zmpop", -4, WRITE, remove::zmpop)
        .keys(0, 0, 0, &[counted_keys(1, "RW access delete")])
        .doc(GROUP, "7.0.0", "Take members from the first sorted set that has any."),
    row("zrandmember", -2, READONLY, random::zrandmember)
        .keys(1, 1, 1, READ)
        .tips(&["nondeterministic_output"])
        .doc(GROUP, "6.2.0", "Members at random."),
    row("zscan", -3, READONLY, scan::zscan)
        .keys(1, 1, 1, READ)
        .tips(&["nondeterministic_output"])
        .doc(GROUP, "2.8.0", "Walk through members and scores in steps."),
    row("zunion", -3, READONLY, combine::zunion).keys(0, 0, 0, COUNTED).doc(
        GROUP,
        "6.2.0",
        "Members of any of several sets.",
    ),
    row("zinter", -3, READONLY, combine::zinter).keys(0, 0, 0, COUNTED).doc(
        GROUP,
        "6.2.0",
        "Members of all of several sets.",
    ),
    row("zdiff", -3, READONLY, combine::zdiff).keys(0, 0, 0, COUNTED).doc(
        GROUP,
        "6.2.0",
        "Members of one set that others do not have.",
    ),
    row("zunionstore", -4, WRITE | DENYOOM, combine::zunionstore).keys(1, 1, 1, STORED).doc(
        GROUP,
        "2.0.0",
        "Keep the members of any of several sets.",
    ),
    row("zinterstore", -4, WRITE | DENYOOM, combine::zinterstore).keys(1, 1, 1, STORED).doc(
        GROUP,
        "2.0.0",
        "Keep the members of all of several sets.",
    ),
    row("zdiffstore", -4, WRITE | DENYOOM, combine::zdiffstore).keys(1, 1, 1, STORED).doc(
        GROUP,
        "6.2.0",
        "Keep the members of one set that others do not have.",
    ),
    row("zintercard", -3, READONLY, combine::zintercard).keys(0, 0, 0, COUNTED).doc(
        GROUP,
        "7.0.0",
        "Count the members of all of several sets.",
    ),
];

const fn row(name: &'static str, arity: i32, flags: Flags, handler: Handler) -> Spec {
    spec(name, arity, flags, CAT_SORTED_SET, handler)
}
