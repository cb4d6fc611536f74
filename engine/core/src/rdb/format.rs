//! The RDB file as bytes: every constant with its drawing. No code that reads or writes (`save`,
//! `parse`, `strings`). `docs/formats/rdb.md` tells the same in prose, with what is refused. All
//! multi-byte integers that are not lengths are little-endian; lengths are big-endian.
//!
//! ```text
//! "REDIS" "0010"                                      magic, version as four digits
//! FA <string name> <string value>                     aux field, any number
//! FE <length db>                                      what follows belongs to this database
//! FB <length keys> <length expires>                   a hint of its size
//! [FC <8 bytes ms> | FD <4 bytes s>]                  of the next key: its end
//! [F8 <length> | F9 <1 byte>]                         of the next key: idle time or frequency
//! <1 byte type> <string key> <value>                  a key
//! ...
//! FF <8 bytes CRC64 of everything before; 0: none>    end
//! ```

use crate::value::Type;

/// Every file begins so, but those of Valkey 9 and later.
pub(super) const MAGIC: &[u8; 5] = b"REDIS";
/// With a version of three digits, of its own count.
pub(super) const MAGIC_VALKEY: &[u8; 6] = b"VALKEY";
/// The one that is read (Valkey 9.0 and 9.1). It is Redis's version 11 but for hashes with fields
/// that expire, which are refused by name.
pub(super) const VERSION_VALKEY: u32 = 80;
/// Magic and version.
pub(super) const HEADER_BYTES: usize = 9;
/// Written: Redis 7.0, and everything since reads it.
pub(super) const VERSION_WRITTEN: u32 = 10;
/// Newest that is read (Redis 7.4 to 8.2).
pub(super) const VERSION_MAX: u32 = 12;
/// From this version on a checksum follows the end.
pub(super) const VERSION_CHECKSUM: u32 = 5;

// Opcodes: they stand where a type could stand.
/// Slot sizes of a cluster node (version 12): three lengths. Skipped.
pub(super) const OP_SLOT_INFO: u8 = 0xF4;
/// A function library, its source as one string (Redis 7.0).
pub(super) const OP_FUNCTION2: u8 = 0xF5;
/// A function library as release candidates of Redis 7.0 wrote it.
pub(super) const OP_FUNCTION_PRE_GA: u8 = 0xF6;
/// Data of a module that belongs to no key: `<length id> <length 2> <length when> (<opcode>
/// <payload>)* <length 0>`.
pub(super) const OP_MODULE_AUX: u8 = 0xF7;
/// Idle time of the next key: a length (seconds).
pub(super) const OP_IDLE: u8 = 0xF8;
/// Access frequency of the next key: one byte.
pub(super) const OP_FREQ: u8 = 0xF9;
/// A name and a value about the file.
pub(super) const OP_AUX: u8 = 0xFA;
/// Keys and expiries of the current database.
pub(super) const OP_RESIZEDB: u8 = 0xFB;
/// End of the next key: signed 64 bits, unix ms.
pub(super) const OP_EXPIRETIME_MS: u8 = 0xFC;
/// End of the next key: signed 32 bits, unix seconds.
pub(super) const OP_EXPIRETIME: u8 = 0xFD;
/// The database that follows.
pub(super) const OP_SELECTDB: u8 = 0xFE;
/// The end of the data.
pub(super) const OP_EOF: u8 = 0xFF;

// Types: which of them are written stands in `save_collection`.
/// `<string>`
pub(super) const TYPE_STRING: u8 = 0;
/// `<length> <string>...`
pub(super) const TYPE_LIST: u8 = 1;
/// `<length> <string>...`
pub(super) const TYPE_SET: u8 = 2;
/// `<length> (<string member> <1 byte length> <score as text>)...`
pub(super) const TYPE_ZSET: u8 = 3;
/// `<length> (<string field> <string value>)...`
pub(super) const TYPE_HASH: u8 = 4;
/// `<length> (<string member> <8 bytes score>)...`
pub(super) const TYPE_ZSET_2: u8 = 5;
// Of one string each: its bytes are the packed form.
/// `zipmap`.
pub(super) const TYPE_HASH_ZIPMAP: u8 = 9;
/// `ziplist`.
pub(super) const TYPE_LIST_ZIPLIST: u8 = 10;
/// `value::intset`.
pub(super) const TYPE_SET_INTSET: u8 = 11;
/// `ziplist`: members, each followed by its score, in order.
pub(super) const TYPE_ZSET_ZIPLIST: u8 = 12;
/// `ziplist`: fields, each followed by its value.
pub(super) const TYPE_HASH_ZIPLIST: u8 = 13;
/// `<length> <string>...`, each a `ziplist`: a node.
pub(super) const TYPE_LIST_QUICKLIST: u8 = 14;
/// `value::listpack`: fields, each followed by its value.
pub(super) const TYPE_HASH_LISTPACK: u8 = 16;
/// `value::listpack`: members, each followed by its score, in order.
pub(super) const TYPE_ZSET_LISTPACK: u8 = 17;
/// `<length> (<length container> <string>)...`: nodes, each a `value::listpack` or one element.
pub(super) const TYPE_LIST_QUICKLIST_2: u8 = 18;
/// `value::listpack` (Redis 7.2).
pub(super) const TYPE_SET_LISTPACK: u8 = 20;

// Not loaded; `pass_over` knows where they end.
/// Data of a module: as OP_MODULE_AUX, without the time.
pub(super) const TYPE_MODULE_2: u8 = 7;
/// A stream as Redis 5.0 wrote it.
pub(super) const TYPE_STREAM: u8 = 15;
/// A stream as Redis 7.0 wrote it.
pub(super) const TYPE_STREAM_2: u8 = 19;
/// A stream as Redis 7.2 wrote it.
pub(super) const TYPE_STREAM_3: u8 = 21;
/// A hash with fields that expire as Valkey writes it; Redis used the number in previews of 7.4.
pub(super) const TYPE_HASH_EXPIRING_VALKEY: u8 = 22;
/// A hash with fields that expire (Redis 7.4).
pub(super) const TYPE_HASH_EXPIRING: u8 = 24;
/// The same as one listpack.
pub(super) const TYPE_HASH_EXPIRING_LISTPACK: u8 = 25;

/// Of a node: one element, as it is.
pub(super) const CONTAINER_PLAIN: u64 = 1;
/// Of a node: a listpack.
pub(super) const CONTAINER_PACKED: u64 = 2;

// Lengths of a score's text that stand for what has no digits:
/// Not a number.
pub(super) const SCORE_NAN: u8 = 253;
/// Larger than all.
pub(super) const SCORE_INFINITE: u8 = 254;
/// Smaller than all.
pub(super) const SCORE_MINUS_INFINITE: u8 = 255;

// Lengths. The first byte's two high bits tell the form:
//
//   00nnnnnn                                   6 bits
//   01nnnnnn nnnnnnnn                         14 bits
//   10000000 <4 bytes>                        32 bits
//   10000001 <8 bytes>                        64 bits
//   11eeeeee                                  no length: a string in the encoding e, below
/// Mask of the form.
pub(super) const LEN_FORM: u8 = 0xC0;
/// Form: 14 bits.
pub(super) const LEN_14: u8 = 0x40;
/// Whole first byte: 32 bits follow.
pub(super) const LEN_32: u8 = 0x80;
/// Whole first byte: 64 bits follow.
pub(super) const LEN_64: u8 = 0x81;
/// Form: an encoded string.
pub(super) const LEN_ENCODED: u8 = 0xC0;

// Strings: `<length> <bytes>`, or the first byte C0 with one of
/// `<1 byte>`: the decimal text of a signed integer.
pub(super) const ENC_INT8: u8 = 0;
/// `<2 bytes>`.
pub(super) const ENC_INT16: u8 = 1;
/// `<4 bytes>`.
pub(super) const ENC_INT32: u8 = 2;
/// `<length packed> <length unpacked> <packed bytes>`: LZF (`lzf`).
pub(super) const ENC_LZF: u8 = 3;

/// A string up to this length is written as an integer when it is one.
pub(super) const INT_TEXT_BYTES_MAX: usize = 11;
/// Shorter strings are never packed.
pub(super) const LZF_BYTES_MIN: usize = 21;

// What follows the head of OP_MODULE_AUX, each after its opcode as a length:
/// The end.
pub(super) const MODULE_EOF: u64 = 0;
/// A length.
pub(super) const MODULE_SINT: u64 = 1;
/// A length.
pub(super) const MODULE_UINT: u64 = 2;
/// 4 bytes.
pub(super) const MODULE_FLOAT: u64 = 3;
/// 8 bytes.
pub(super) const MODULE_DOUBLE: u64 = 4;
/// A string.
pub(super) const MODULE_STRING: u64 = 5;

/// What a type number that is read becomes.
pub(super) fn type_loaded(number: u8) -> Option<Type> {
    Some(match number {
        TYPE_STRING => Type::String,
        TYPE_LIST | TYPE_LIST_ZIPLIST | TYPE_LIST_QUICKLIST | TYPE_LIST_QUICKLIST_2 => Type::List,
        TYPE_SET | TYPE_SET_INTSET | TYPE_SET_LISTPACK => Type::Set,
        TYPE_ZSET | TYPE_ZSET_2 | TYPE_ZSET_ZIPLIST | TYPE_ZSET_LISTPACK => Type::ZSet,
        TYPE_HASH | TYPE_HASH_ZIPMAP | TYPE_HASH_ZIPLIST | TYPE_HASH_LISTPACK => Type::Hash,
        _ => return None,
    })
}

/// What a type number holds, for people: (type, encoding).
pub(super) fn type_by_number(number: u8) -> Option<(&'static str, &'static str)> {
    Some(match number {
        0 => ("string", "plain"),
        1 => ("list", "linked list"),
        2 => ("set", "hash table"),
        3 => ("zset", "scores as text"),
        4 => ("hash", "hash table"),
        5 => ("zset", "binary scores"),
        6 => ("module value", "version 1"),
        7 => ("module value", "version 2"),
        9 => ("hash", "zipmap"),
        10 => ("list", "ziplist"),
        11 => ("set", "intset"),
        12 => ("zset", "ziplist"),
        13 => ("hash", "ziplist"),
        14 => ("list", "quicklist"),
        15 => ("stream", "listpacks"),
        16 => ("hash", "listpack"),
        17 => ("zset", "listpack"),
        18 => ("list", "quicklist 2"),
        19 => ("stream", "listpacks 2"),
        20 => ("set", "listpack"),
        21 => ("stream", "listpacks 3"),
        22 | 24 => ("hash", "fields with expiry"),
        23 | 25 => ("hash", "listpack, fields with expiry"),
        _ => return None,
    })
}
