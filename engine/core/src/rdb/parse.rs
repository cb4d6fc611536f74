//! The framing of an RDB file, versions 1-12: header, opcodes, keys in order, end, checksum. What a
//! key becomes is the [`Sink`]'s business: a keyspace (`load`) or nothing (`verify`). The
//! counterpart of `save`. Every byte is hostile (I7).
//!
//! Adding a type? `format::type_by_number` names it, `Parser::value` reads it (`load_collection`),
//! `Sink` takes it, `save_collection` writes it.

use std::collections::BTreeMap;

use super::format::*;
use super::load_collection::{Work, load_collection};
use super::packed::with_text;
use super::pass_over::{pass_over_module_aux, pass_over_value};
use super::reader::Reader;
use super::strings::{Loaded, load_bytes, load_length, load_string};
use super::{DatabaseSummary, Summary};
use crate::error::{EngineError, Result};
use crate::value::Type;

/// Aux fields that are kept, and bytes of each value; what is beyond is read and dropped.
const AUX_FIELDS_MAX: usize = 256;
const AUX_VALUE_BYTES_MAX: usize = 1024;
/// A key takes at least so many bytes of a file (type, key, value, each one byte or more): bounds
/// what RESIZEDB may ask for.
const KEY_BYTES_MIN: u64 = 4;
/// A key's name in an error's text is cut after so many bytes.
const SHOWN_KEY_BYTES_MAX: usize = 128;

/// Type numbers that have names (`format::type_by_number`).
const TYPE_NUMBERS: usize = 26;

/// Where the keys go. A string comes whole, and so can a small collection ([`Sink::whole`]). Else a
/// collection comes as [`Sink::begin`], its elements by whichever of the next four fits, and
/// [`Sink::end`]; it is never held by the parser.
pub(super) trait Sink {
    /// Databases that it has.
    fn databases(&self) -> usize;
    /// `keys` keys in all will come to `db`, as the file says (already bounded by its size).
    fn reserve(&mut self, db: usize, keys: usize);
    /// Take a function library: its source.
    fn function(&mut self, source: &[u8]);
    /// Take a string.
    fn string(&mut self, key: Key<'_>, value: Loaded<'_>) -> Taken;
    /// Take a whole collection in a form that is also ours; it was checked, is not empty, and
    /// nothing stands in it twice. `None`: not taken, it comes in parts.
    fn whole(&mut self, key: Key<'_>, made: Type, form: Form<'_>) -> Option<Taken>;
    /// Begin a collection. About `elements` will come (0: not known), as far as the file goes.
    fn begin(&mut self, key: Key<'_>, made: Type, elements: usize);
    /// Take the elements of a list's node, as [`Sink::whole`]; false: they come one by one.
    fn node(&mut self, form: Form<'_>) -> bool;
    /// Take an element of a list or a set; false if the set has it already.
    fn element(&mut self, element: Loaded<'_>) -> bool;
    /// Take a field of a hash; false if it is there already.
    fn field(&mut self, field: Loaded<'_>, value: Loaded<'_>) -> bool;
    /// Take a member of a sorted set; false if it is there already. The score is a number.
    fn member(&mut self, member: Loaded<'_>, score: f64) -> bool;
    /// The collection is whole.
    fn end(&mut self) -> Taken;
    /// Everything has come: take what still waits.
    fn finish(&mut self) -> Taken {
        Taken::Kept
    }
    /// Whether keys of types that cannot be loaded are passed over instead of refused.
    fn passes_over(&self) -> bool {
        false
    }
    /// What a key that was taken, or passed over, is in the file.
    fn note(&mut self, key: Key<'_>, stored: Stored) {
        let _ = (key, stored);
    }
}

/// A key as the file describes it.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) db: usize,
    pub(super) name: &'a [u8],
    pub(super) expire_at_ms: Option<i64>,
    /// Seconds since its last use, if the file says so.
    pub(super) idle_seconds: Option<u64>,
}

/// A packed form that is kept in memory as it is, with the number of its elements.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    Listpack(&'a [u8], usize),
    Intset(&'a [u8], usize),
}

/// What a key is in the file.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) type_number: u8,
    /// Expiry, type, name and value.
    pub(super) bytes: u64,
    /// Fields, members or elements; the bytes of a string.
    pub(super) elements: u64,
    /// Whether a load takes such a type.
    pub(super) is_loaded: bool,
}

/// What became of a key.
#[derive(PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in.
    Kept,
    /// Its time is over: left out.
    Expired,
    /// A collection without elements, which is no key: left out, as redis-server does.
    Empty,
    /// It was there already: no server writes that. Database and name, if it is one before the key
    /// at hand.
    Duplicate(Option<Box<(usize, Vec<u8>)>>),
    /// Something in it stands there twice, found out at its end.
    Twins,
}

/// Read a whole file into `sink`. `is_end_strict`: bytes after the end are refused (Redis's loader
/// ignores them).
pub(super) fn parse<S: Sink>(
    from: Reader<'_>,
    sink: &mut S,
    is_end_strict: bool,
) -> Result<Summary> {
    let mut parser = Parser {
        from,
        summary: Summary::default(),
        databases: BTreeMap::new(),
        db: 0,
        counts: DatabaseSummary::default(),
        types: [0; TYPE_NUMBERS],
        next: Next::default(),
        reservable: 0,
        key: Vec::new(),
        work: Work::new(),
    };
    parser.reservable = parser.from.size_bytes() / KEY_BYTES_MIN;
    parser.header()?;
    while parser.item(sink)? {}
    if let Taken::Duplicate(before) = sink.finish() {
        return Err(parser.duplicate(before));
    }
    parser.end(is_end_strict)
}

struct Parser<'a> {
    from: Reader<'a>,
    summary: Summary,
    databases: BTreeMap<u32, DatabaseSummary>,
    /// The database selected, and its counts since.
    db: usize,
    counts: DatabaseSummary,
    /// Keys of each type number.
    types: [u64; TYPE_NUMBERS],
    next: Next,
    /// Keys that RESIZEDB may still ask room for, over all databases.
    reservable: u64,
    /// The key at hand, and memory to work in; reused.
    key: Vec<u8>,
    work: Work,
}

/// What the opcodes before a key say of it.
#[derive(Clone, Copy, Default)]
struct Next {
    expire_at_ms: Option<i64>,
    idle_seconds: Option<u64>,
    /// Where the first of them stands.
    offset: Option<u64>,
}

impl Parser<'_> {
    fn header(&mut self) -> Result<()> {
        // A beginning that is not ours is alien, however short the file is; a short one that is
        // ours is truncated.
        let shown = self.from.size_bytes().min(HEADER_BYTES as u64) as usize;
        let mut start = [0; HEADER_BYTES];
        for place in start.iter_mut().take(shown) {
            *place = self.from.byte()?;
        }
        let is_like = |magic: &[u8]| {
            let both = magic.len().min(shown);
            start[..both] == magic[..both]
        };
        if !is_like(MAGIC) && !is_like(MAGIC_VALKEY) {
            return Err(self.from.alien("it does not begin with REDIS or VALKEY"));
        }
        if shown < HEADER_BYTES {
            // Fails with the place where the file ends.
            self.from.byte()?;
        }
        let is_valkey = is_like(MAGIC_VALKEY);
        let digits = &start[if is_valkey { MAGIC_VALKEY.len() } else { MAGIC.len() }..];
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(self.from.alien("its version is not a number"));
        }
        let version = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        match is_valkey {
            false if !(1..=VERSION_MAX).contains(&version) => {
                Err(self.unsupported_version(&version.to_string()))
            }
            true if version != VERSION_VALKEY => {
                Err(self.unsupported_version(&format!("{version} of Valkey")))
            }
            _ => {
                self.summary.rdb_version = version;
                Ok(())
            }
        }
    }

    fn unsupported_version(&self, version: &str) -> EngineError {
        let reason = format!(
            "RDB version {version}; versions 1 to {VERSION_MAX} and Valkey's {VERSION_VALKEY} are read"
        );
        let hint = "Save it with Redis up to 8.2 or Valkey up to 9.1: they write such a version.";
        self.from.refuse("RDB_VERSION_UNSUPPORTED", &reason, hint).with("version", version)
    }

    /// One opcode or one key; `false` at the end.
    fn item<S: Sink>(&mut self, sink: &mut S) -> Result<bool> {
        let offset = self.from.offset();
        let op = self.from.byte()?;
        if matches!(op, OP_EXPIRETIME_MS | OP_EXPIRETIME | OP_IDLE | OP_FREQ) {
            self.next.offset.get_or_insert(offset);
        }
        if (OP_SLOT_INFO..=OP_RESIZEDB).contains(&op) && self.summary.rdb_version < VERSION_CHECKSUM
        {
            // Else a damaged version would switch the checksum off.
            return Err(self.from.corrupt("its version is older than what stands in it"));
        }
        match op {
            OP_EOF => return Ok(false),
            OP_EXPIRETIME_MS => {
                let at_ms = i64::from_le_bytes(self.from.array()?);
                self.set_expire(at_ms)?;
            }
            OP_EXPIRETIME => {
                let at_s = i32::from_le_bytes(self.from.array()?);
                self.set_expire(i64::from(at_s) * 1000)?;
            }
            OP_IDLE => self.next.idle_seconds = Some(load_length(&mut self.from)?),
            OP_FREQ => {
                self.from.byte()?;
            }
            OP_AUX => self.aux()?,
            OP_SELECTDB => self.select(sink)?,
            OP_RESIZEDB => self.resize(sink)?,
            OP_SLOT_INFO => {
                for _ in 0..3 {
                    load_length(&mut self.from)?;
                }
            }
            // There is no module here that could keep it.
            OP_MODULE_AUX => pass_over_module_aux(&mut self.from, &mut self.work.unpacked)?,
            OP_FUNCTION2 => {
                let source = load_string(&mut self.from, &mut self.work.unpacked)?;
                with_text(source, |source| sink.function(source));
                self.summary.functions += 1;
            }
            OP_FUNCTION_PRE_GA => return Err(self.functions_unsupported()),
            _ => self.entry(op, offset, sink)?,
        }
        Ok(true)
    }

    fn set_expire(&mut self, at_ms: i64) -> Result<()> {
        if at_ms < 0 {
            return Err(self.from.corrupt("a key that ends before 1970"));
        }
        self.next.expire_at_ms = Some(at_ms);
        Ok(())
    }

    fn aux(&mut self) -> Result<()> {
        let mut texts = [String::new(), String::new()];
        for text in &mut texts {
            load_bytes(&mut self.from, &mut self.work.unpacked, &mut self.key)?;
            let shown = self.key.get(..AUX_VALUE_BYTES_MAX).unwrap_or(&self.key);
            *text = String::from_utf8_lossy(shown).into_owned();
        }
        if self.summary.aux.len() < AUX_FIELDS_MAX {
            let [name, value] = texts;
            self.summary.aux.push((name, value));
        }
        Ok(())
    }

    fn select<S: Sink>(&mut self, sink: &S) -> Result<()> {
        let index = load_length(&mut self.from)?;
        let (databases, selected) = (sink.databases(), usize::try_from(index));
        match selected {
            Ok(selected) if selected < databases => {
                self.close_database();
                self.db = selected;
                Ok(())
            }
            _ => {
                let reason = format!("it selects database {index}; there are {databases} here");
                let hint = "Raise the directive `databases` above that number.";
                let refused = self.from.refuse("RDB_DATABASE_OUT_OF_RANGE", &reason, hint);
                Err(refused.with("db", index.to_string()))
            }
        }
    }

    fn resize<S: Sink>(&mut self, sink: &mut S) -> Result<()> {
        let keys = load_length(&mut self.from)?;
        load_length(&mut self.from)?;
        let granted = keys.min(self.reservable);
        self.reservable -= granted;
        if let Ok(granted) = usize::try_from(granted) {
            sink.reserve(self.db, granted);
        }
        Ok(())
    }

    #[cold]
    fn functions_unsupported(&self) -> EngineError {
        let reason = "it holds a function library as release candidates of Redis 7.0 wrote it";
        let hint = "Load it into that server, upgrade it to Redis 7.0, and save again.";
        self.from.refuse("RDB_FUNCTIONS_UNSUPPORTED", reason, hint)
    }

    /// A key and its value; the type at `offset` is read already.
    fn entry<S: Sink>(&mut self, type_number: u8, offset: u64, sink: &mut S) -> Result<()> {
        let made = type_loaded(type_number);
        if made.is_none() && !(sink.passes_over() && type_by_number(type_number).is_some()) {
            return Err(self.type_unsupported(type_number));
        }
        load_bytes(&mut self.from, &mut self.work.unpacked, &mut self.key)?;
        let Next { expire_at_ms, idle_seconds, offset: first } = std::mem::take(&mut self.next);
        let key = Key { db: self.db, name: &self.key, expire_at_ms, idle_seconds };
        let (from, work) = (&mut self.from, &mut self.work);
        let read = match made {
            Some(Type::String) => load_string(from, &mut work.unpacked)
                .map(|value| Some((sink.string(key, value), value.text_bytes()))),
            Some(made) => load_collection((made, type_number), key, from, work, sink).map(Some),
            None => {
                pass_over_value((type_number, self.summary.rdb_version), from, &mut work.unpacked)
                    .map(|elements| Some((Taken::Kept, elements?)))
            }
        };
        let Some((taken, elements)) = read.map_err(|error| self.within_key(error))? else {
            return Err(self.key_unsupported(type_number));
        };
        if self.count(type_number, taken, expire_at_ms.is_some())? {
            let bytes = self.from.offset() - first.unwrap_or(offset);
            let key = Key { db: self.db, name: &self.key, expire_at_ms, idle_seconds };
            sink.note(key, Stored { type_number, bytes, elements, is_loaded: made.is_some() });
        }
        Ok(())
    }

    /// Count the key at hand; gives whether it is one.
    #[inline]
    fn count(&mut self, type_number: u8, taken: Taken, is_expiring: bool) -> Result<bool> {
        match taken {
            Taken::Kept => {}
            Taken::Expired => self.summary.expired_skipped += 1,
            Taken::Empty => {
                self.summary.empty_skipped += 1;
                return Ok(false);
            }
            Taken::Duplicate(before) => return Err(self.duplicate(before)),
            Taken::Twins => {
                let reason = "an element stands in its collection twice";
                return Err(self.within_key(self.from.corrupt(reason)));
            }
        }
        self.counts.keys += 1;
        self.counts.expires += u64::from(is_expiring);
        if let Some(keys) = self.types.get_mut(usize::from(type_number)) {
            *keys += 1;
        }
        Ok(true)
    }

    #[cold]
    fn type_unsupported(&mut self, type_number: u8) -> EngineError {
        if type_by_number(type_number).is_none() {
            return self.from.corrupt(&format!("unknown type or opcode {type_number}"));
        }
        match load_bytes(&mut self.from, &mut self.work.unpacked, &mut self.key) {
            Ok(()) => self.key_unsupported(type_number),
            Err(error) => error,
        }
    }

    /// The key was read.
    #[cold]
    fn key_unsupported(&self, type_number: u8) -> EngineError {
        let (name, encoding) = type_by_number(type_number).unwrap_or_default();
        let shown = self.shown();
        let reason = format!("key '{shown}' in db {} is a {name} ({encoding})", self.db);
        let hint = match name {
            "hash" => {
                "Fields that expire by themselves (HEXPIRE) are not supported: HPERSIST them, or \
                 delete such keys, on the server that saved it, then save again."
            }
            _ => {
                "Strings, lists, sets, sorted sets and hashes are read: delete other keys (`perdure \
                 rdb inspect FILE` counts them) on the server that saved it, then save again."
            }
        };
        let refused = self.from.refuse("RDB_TYPE_UNSUPPORTED", &reason, hint);
        self.with_key(refused).with("type", name)
    }

    #[cold]
    fn duplicate(&mut self, before: Option<Box<(usize, Vec<u8>)>>) -> EngineError {
        if let Some(found) = before {
            (self.db, self.key) = *found;
        }
        self.within_key(self.from.corrupt("the key stands there twice"))
    }

    /// Say of an error about the value at hand whose it is.
    #[cold]
    fn within_key(&self, mut error: EngineError) -> EngineError {
        if error.code.starts_with("RDB_") {
            error.message.push_str(&format!(" (key '{}' in db {})", self.shown(), self.db));
            return self.with_key(error);
        }
        error
    }

    fn with_key(&self, error: EngineError) -> EngineError {
        error.with("key", self.shown()).with("db", self.db.to_string())
    }

    /// The key at hand, for an error's text.
    fn shown(&self) -> String {
        match self.key.get(..SHOWN_KEY_BYTES_MAX) {
            Some(start) => format!("{}...", start.escape_ascii()),
            None => self.key.escape_ascii().to_string(),
        }
    }

    /// Add the counts since the last SELECTDB to their database's.
    fn close_database(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        let types = std::mem::replace(&mut self.types, [0; TYPE_NUMBERS]);
        if counts.keys == 0 {
            return;
        }
        let index = u32::try_from(self.db).unwrap_or(u32::MAX);
        let sum = self.databases.entry(index).or_default();
        sum.index = index;
        sum.keys += counts.keys;
        sum.expires += counts.expires;
        for (number, keys) in (0..).zip(types).filter(|(_, keys)| *keys > 0) {
            let (name, _) = type_by_number(number).unwrap_or_default();
            match sum.types.iter_mut().find(|(other, _)| *other == name) {
                Some((_, sum)) => *sum += keys,
                None => sum.types.push((name, keys)),
            }
        }
    }

    /// Checksum, bytes after the end, SHA-256.
    fn end(mut self, is_end_strict: bool) -> Result<Summary> {
        self.close_database();
        if self.summary.rdb_version >= VERSION_CHECKSUM {
            let computed = self.from.checksum();
            let stored = u64::from_le_bytes(self.from.array()?);
            if stored != 0 && stored != computed {
                let text = format!("checksum is {computed:016x}, the file says {stored:016x}");
                return Err(self.from.corrupt(&text));
            }
            self.summary.is_checksummed = stored != 0;
        }
        self.summary.size_bytes = self.from.size_bytes();
        self.summary.databases = self.databases.into_values().collect();
        if is_end_strict && self.from.has(1) {
            let reason = "bytes after the end of the data";
            let hint = "A start ignores them, a restore does not: find out what appended them, or \
                        cut the file there.";
            return Err(self.from.refuse("RDB_CORRUPT", reason, hint).with("reason", reason));
        }
        (self.summary.trailing_bytes, self.summary.sha256) = self.from.finish()?;
        Ok(self.summary)
    }
}
