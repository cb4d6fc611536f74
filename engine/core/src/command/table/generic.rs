//! Rows of the commands on keys of any type. Arity, flags, keys and categories are Redis 7.0's
//! (COMMAND INFO answers them); the summaries are ours.

use super::container;
use super::spec::*;
use crate::command::connection::waitaof::waitaof;
use crate::command::generic::{expire, keys, object, scan, sort};

const SORTED: u32 = CAT_SET | CAT_SORTED_SET | CAT_LIST | CAT_DANGEROUS;
const WEIGHTS: KeySpec = keys_at(Place::Unknown, "RO access").noting(
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the \
     content of the key we sort",
);
const RESULT: KeySpec = keys_at(Place::AfterStore, "OW update").noting(
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear \
     anywhere in the argument array",
);

/// The rows.
pub(super) const GENERIC: &[Spec] = &[
    spec("del", -2, WRITE, CAT_KEYSPACE, keys::del)
        .keys(1, -1, 1, &[key(1, "RM delete", -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "1.0.0", "Delete keys."),
    spec("unlink", -2, WRITE | FAST, CAT_KEYSPACE, keys::unlink)
        .keys(1, -1, 1, &[key(1, "RM delete", -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "4.0.0", "Delete keys, freeing their memory elsewhere."),
    spec("exists", -2, READONLY | FAST, CAT_KEYSPACE, keys::exists)
        .keys(1, -1, 1, &[key(1, "RO", -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "1.0.0", "Count which of the keys exist."),
    spec("waitaof", 4, BLOCKING, CAT_CONNECTION, waitaof)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc("generic", "7.2.0", "Wait until what this connection wrote is fsynced."),
    spec("type", 2, READONLY | FAST, CAT_KEYSPACE, keys::type_name)
        .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
        .doc("generic", "1.0.0", "Type of a key's value."),
    spec("ttl", 2, READONLY | FAST, CAT_KEYSPACE, expire::ttl)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output"])
        .doc("generic", "1.0.0", "Seconds that a key has left."),
    spec("pttl", 2, READONLY | FAST, CAT_KEYSPACE, expire::pttl)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .tips(&["nondeterministic_output"])
        .doc("generic", "2.6.0", "Milliseconds that a key has left."),
    spec("expire", -3, WRITE | FAST, CAT_KEYSPACE, expire::expire)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .doc("generic", "1.0.0", "Let a key end after some seconds."),
    spec("pexpire", -3, WRITE | FAST, CAT_KEYSPACE, expire::pexpire)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .doc("generic", "2.6.0", "Let a key end after some milliseconds."),
    spec("expireat", -3, WRITE | FAST, CAT_KEYSPACE, expire::expireat)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .doc("generic", "1.2.0", "Let a key end at a Unix time in seconds."),
    spec("pexpireat", -3, WRITE | FAST, CAT_KEYSPACE, expire::pexpireat)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .doc("generic", "2.6.0", "Let a key end at a Unix time in milliseconds."),
    spec("expiretime", 2, READONLY | FAST, CAT_KEYSPACE, expire::expiretime)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .doc("generic", "7.0.0", "Unix time in seconds at which a key ends."),
    spec("pexpiretime", 2, READONLY | FAST, CAT_KEYSPACE, expire::pexpiretime)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .doc("generic", "7.0.0", "Unix time in milliseconds at which a key ends."),
    spec("persist", 2, WRITE | FAST, CAT_KEYSPACE, expire::persist)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .doc("generic", "2.2.0", "Take a key's expiry away."),
    spec("rename", 3, WRITE, CAT_KEYSPACE, keys::rename)
        .keys(1, 2, 1, &[key(1, "RW access delete", 0, 1), key(2, "OW update", 0, 1)])
        .doc("generic", "1.0.0", "Give a key another name."),
    spec("renamenx", 3, WRITE | FAST, CAT_KEYSPACE, keys::renamenx)
        .keys(1, 2, 1, &[key(1, "RW access delete", 0, 1), key(2, "OW insert", 0, 1)])
        .doc("generic", "1.0.0", "Give a key another name unless it is taken."),
    spec("keys", 2, READONLY, CAT_DANGEROUS | CAT_KEYSPACE, scan::keys)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .doc("generic", "1.0.0", "All keys that match a pattern."),
    spec("scan", -2, READONLY, CAT_KEYSPACE, scan::scan)
        .tips(&["nondeterministic_output", "request_policy:special"])
        .doc("generic", "2.8.0", "Walk through the keys, a few at a time."),
    spec("randomkey", 1, READONLY, CAT_KEYSPACE, scan::randomkey)
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .doc("generic", "1.0.0", "One key at random."),
    spec("move", 3, WRITE | FAST, CAT_KEYSPACE, keys::move_key)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .doc("generic", "1.0.0", "Move a key to another database."),
    spec("copy", -3, WRITE | DENYOOM, CAT_KEYSPACE, keys::copy)
        .keys(1, 2, 1, &[key(1, "RO access", 0, 1), key(2, "OW update", 0, 1)])
        .doc("generic", "6.2.0", "Copy a key's value to another key."),
    spec("touch", -2, READONLY | FAST, CAT_KEYSPACE, keys::touch)
        .keys(1, -1, 1, &[key(1, "RO", -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "3.2.1", "Note an access to keys."),
    spec("sort", -2, WRITE | DENYOOM, SORTED, sort::sort)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1), WEIGHTS, RESULT])
        .doc("generic", "1.0.0", "Sort a list, set or sorted set, or what other keys hold for it."),
    spec("sort_ro", -2, READONLY, SORTED, sort::sort_ro)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1), WEIGHTS])
        .doc("generic", "7.0.0", "Sort a list, set or sorted set, without storing the result."),
    spec("object", -2, NONE, 0, container)
        .doc("generic", "2.2.3", "Look at how a value is kept.")
        .subs(&[
            spec("object|encoding", 3, READONLY, CAT_KEYSPACE, object::encoding)
                .keys(2, 2, 1, &[key(2, "RO", 0, 1)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "2.2.3", "Name of a value's encoding."),
            spec("object|freq", 3, READONLY, CAT_KEYSPACE, object::freq)
                .keys(2, 2, 1, &[key(2, "RO", 0, 1)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "4.0.0", "Access frequency of a key."),
            spec("object|idletime", 3, READONLY, CAT_KEYSPACE, object::idletime)
                .keys(2, 2, 1, &[key(2, "RO", 0, 1)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "2.2.3", "Seconds since the last access to a key."),
            spec("object|refcount", 3, READONLY, CAT_KEYSPACE, object::refcount)
                .keys(2, 2, 1, &[key(2, "RO", 0, 1)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "2.2.3", "References to a value."),
            spec("object|help", 2, LOADING | STALE, CAT_KEYSPACE, object::help).doc(
                "generic",
                "6.2.0",
                "List the subcommands.",
            ),
        ]),
];
