//! Rows of the hash commands. Arity, flags, keys and categories are Redis 7.0's (COMMAND INFO
//! answers them); the summaries are ours.

use super::spec::*;
use crate::command::hash::{change, number, pick, read};

/// The rows.
pub(super) const HASHES: &[Spec] = &[
    spec("hset", -4, WRITE | DENYOOM | FAST, CAT_HASH, change::hset)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Set fields of a hash."),
    spec("hsetnx", 4, WRITE | DENYOOM | FAST, CAT_HASH, change::hsetnx)
        .keys(1, 1, 1, &[key(1, "RW insert", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Set a field of a hash unless it exists."),
    spec("hmset", -4, WRITE | DENYOOM | FAST, CAT_HASH, change::hmset)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Set fields of a hash (old name of HSET)."),
    spec("hget", 3, READONLY | FAST, CAT_HASH, read::hget)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Read a field of a hash."),
    spec("hmget", -3, READONLY | FAST, CAT_HASH, read::hmget)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Read several fields of a hash."),
    spec("hgetall", 2, READONLY, CAT_HASH, read::hgetall)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("hash", "2.0.0", "Read all fields of a hash with their values."),
    spec("hkeys", 2, READONLY, CAT_HASH, read::hkeys)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("hash", "2.0.0", "Names of all fields of a hash."),
    spec("hvals", 2, READONLY, CAT_HASH, read::hvals)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("hash", "2.0.0", "Values of all fields of a hash."),
    spec("hlen", 2, READONLY | FAST, CAT_HASH, read::hlen)
        .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
        .doc("hash", "2.0.0", "Number of fields of a hash."),
    spec("hstrlen", 3, READONLY | FAST, CAT_HASH, read::hstrlen)
        .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
        .member(2)
        .doc("hash", "3.2.0", "Length of a field's value in bytes."),
    spec("hexists", 3, READONLY | FAST, CAT_HASH, read::hexists)
        .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Whether a hash has a field."),
    spec("hdel", -3, WRITE | FAST, CAT_HASH, change::hdel)
        .keys(1, 1, 1, &[key(1, "RW delete", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Remove fields of a hash."),
    spec("hincrby", 4, WRITE | DENYOOM | FAST, CAT_HASH, number::hincrby)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .member(2)
        .doc("hash", "2.0.0", "Add to the integer in a field."),
    spec("hincrbyfloat", 4, WRITE | DENYOOM | FAST, CAT_HASH, number::hincrbyfloat)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .member(2)
        .doc("hash", "2.6.0", "Add to the floating-point number in a field."),
    spec("hscan", -3, READONLY, CAT_HASH, read::hscan)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output"])
        .doc("hash", "2.8.0", "Walk through the fields of a hash, a few at a time."),
    spec("hrandfield", -2, READONLY, CAT_HASH, pick::hrandfield)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output"])
        .doc("hash", "6.2.0", "Fields of a hash at random."),
];
