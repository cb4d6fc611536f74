//! The framing of an RDB file, versions 1-12: header, opcodes, keys in order, end, checksum. What a
//! key becomes is the [`Sink`]'s business: a keyspace (`load`) or nothing (`verify`). The
//! counterpart of `save`. Every byte is hostile (I7).
//!
//! Adding a type? `format::type_by_number` names it, `Parser::entry` reads it, `Sink` takes it,
//! `save::entry` writes it.

use std::collections::BTreeMap;

use super::format::*;
use super::reader::Reader;
use super::strings::{Loaded, load_bytes, load_length, load_string};
use super::{DatabaseSummary, Summary};
use crate::error::Result;
use crate::value::Type;

/// Aux fields that are kept, and bytes of each value; what is beyond is read and dropped.
const AUX_FIELDS_MAX: usize = 256;
const AUX_VALUE_BYTES_MAX: usize = 1024;
/// A key takes at least so many bytes of a file (type, key, value, each one byte or more): bounds
/// what RESIZEDB may ask for.
const KEY_BYTES_MIN: u64 = 4;
/// A key's name in an error's text is cut after so many bytes.
const SHOWN_KEY_BYTES_MAX: usize = 128;

/// Where the keys go.
pub(super) trait Sink {
    /// Databases that it has.
    fn databases(&self) -> usize;
    /// `keys` keys in all will come to `db`, as the file says (already bounded by its size).
    fn reserve(&mut self, db: usize, keys: usize);
    /// Take a string.
    fn string(&mut self, key: Key<'_>, value: Loaded<'_>) -> Taken;
}

/// A key as the file describes it.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) db: usize,
    pub(super) name: &'a [u8],
    pub(super) expire_at_ms: Option<i64>,
}

/// What became of a key.
pub(super) enum Taken {
    /// It is in.
    Kept,
    /// Its time is over: left out.
    Expired,
    /// It was there already: no server writes that.
    Duplicate,
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
        strings: 0,
        expire_at_ms: None,
        reservable: 0,
        key: Vec::new(),
        unpacked: Vec::new(),
    };
    parser.reservable = parser.from.size_bytes() / KEY_BYTES_MIN;
    parser.header()?;
    while parser.item(sink)? {}
    parser.end(is_end_strict)
}

struct Parser<'a> {
    from: Reader<'a>,
    summary: Summary,
    databases: BTreeMap<u32, DatabaseSummary>,
    /// The database selected, and its counts since.
    db: usize,
    counts: DatabaseSummary,
    strings: u64,
    /// Of the next key.
    expire_at_ms: Option<i64>,
    /// Keys that RESIZEDB may still ask room for, over all databases.
    reservable: u64,
    /// The key at hand, and memory to unpack into; reused.
    key: Vec<u8>,
    unpacked: Vec<u8>,
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
        let start_shown = &start[..shown];
        let is_like = |magic: &[u8]| {
            let both = magic.len().min(start_shown.len());
            start_shown[..both] == magic[..both]
        };
        if is_like(MAGIC_VALKEY) && shown >= MAGIC_VALKEY.len() {
            let version = String::from_utf8_lossy(&start_shown[MAGIC_VALKEY.len()..]).into_owned();
            return Err(self.unsupported_version(&format!("Valkey {version}")));
        }
        if !is_like(MAGIC) && !is_like(MAGIC_VALKEY) {
            return Err(self.from.alien("it does not begin with REDIS"));
        }
        if shown < HEADER_BYTES {
            // Fails with the place where the file ends.
            self.from.byte()?;
        }
        let digits = &start[MAGIC.len()..];
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(self.from.alien("its version is not a number"));
        }
        let version = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if !(1..=VERSION_MAX).contains(&version) {
            return Err(self.unsupported_version(&version.to_string()));
        }
        self.summary.rdb_version = version;
        Ok(())
    }

    fn unsupported_version(&self, version: &str) -> crate::error::EngineError {
        let reason = format!("RDB version {version}; versions 1 to {VERSION_MAX} are read");
        let hint = "Save it with Redis up to 8.2 or Valkey up to 8: they write such a version.";
        self.from.refuse("RDB_VERSION_UNSUPPORTED", &reason, hint).with("version", version)
    }

    /// One opcode or one key; `false` at the end.
    fn item<S: Sink>(&mut self, sink: &mut S) -> Result<bool> {
        let op = self.from.byte()?;
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
            OP_IDLE => {
                load_length(&mut self.from)?;
            }
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
            OP_MODULE_AUX => self.skip_module_aux()?,
            OP_FUNCTION2 | OP_FUNCTION_PRE_GA => return Err(self.functions_unsupported()),
            _ => self.entry(op, sink)?,
        }
        Ok(true)
    }

    fn set_expire(&mut self, at_ms: i64) -> Result<()> {
        if at_ms < 0 {
            return Err(self.from.corrupt("a key that ends before 1970"));
        }
        self.expire_at_ms = Some(at_ms);
        Ok(())
    }

    fn aux(&mut self) -> Result<()> {
        let mut texts = [String::new(), String::new()];
        for text in &mut texts {
            load_bytes(&mut self.from, &mut self.unpacked, &mut self.key)?;
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

    /// Modules' data outside keys is passed over: there is no module here that could keep it.
    fn skip_module_aux(&mut self) -> Result<()> {
        load_length(&mut self.from)?;
        if load_length(&mut self.from)? != MODULE_UINT {
            return Err(self.from.corrupt("module data without the time it belongs to"));
        }
        load_length(&mut self.from)?;
        loop {
            match load_length(&mut self.from)? {
                MODULE_EOF => return Ok(()),
                MODULE_SINT | MODULE_UINT => drop(load_length(&mut self.from)?),
                MODULE_FLOAT => drop(self.from.array::<4>()?),
                MODULE_DOUBLE => drop(self.from.array::<8>()?),
                MODULE_STRING => drop(load_string(&mut self.from, &mut self.unpacked)?),
                code => {
                    return Err(self.from.corrupt(&format!("unknown code {code} in module data")));
                }
            }
        }
    }

    #[cold]
    fn functions_unsupported(&self) -> crate::error::EngineError {
        let reason = "it holds a function library (FUNCTION LOAD), which is not supported yet";
        let hint = "Delete the functions on the server that saved it (FUNCTION FLUSH), save again.";
        self.from.refuse("RDB_FUNCTIONS_UNSUPPORTED", reason, hint)
    }

    /// A key and its value; `type_number` is read already.
    fn entry<S: Sink>(&mut self, type_number: u8, sink: &mut S) -> Result<()> {
        if type_number != TYPE_STRING {
            return Err(self.type_unsupported(type_number));
        }
        load_bytes(&mut self.from, &mut self.unpacked, &mut self.key)?;
        let expire_at_ms = self.expire_at_ms.take();
        let value = load_string(&mut self.from, &mut self.unpacked)?;
        let taken = sink.string(Key { db: self.db, name: &self.key, expire_at_ms }, value);
        self.counts.keys += 1;
        self.counts.expires += u64::from(expire_at_ms.is_some());
        self.strings += 1;
        match taken {
            Taken::Kept => Ok(()),
            Taken::Expired => {
                self.summary.expired_skipped += 1;
                Ok(())
            }
            Taken::Duplicate => {
                let reason = format!("key '{}' in db {} stands there twice", self.shown(), self.db);
                Err(self.with_key(self.from.corrupt(&reason)))
            }
        }
    }

    #[cold]
    fn type_unsupported(&mut self, type_number: u8) -> crate::error::EngineError {
        let Some((name, encoding)) = type_by_number(type_number) else {
            return self.from.corrupt(&format!("unknown type or opcode {type_number}"));
        };
        if let Err(error) = load_bytes(&mut self.from, &mut self.unpacked, &mut self.key) {
            return error;
        }
        let shown = self.shown();
        let reason = format!("key '{shown}' in db {} is a {name} ({encoding})", self.db);
        let hint = "Only strings are read so far: delete or convert such keys on the server that \
                    saved it, then save again.";
        let refused = self.from.refuse("RDB_TYPE_UNSUPPORTED", &reason, hint);
        self.with_key(refused).with("type", name)
    }

    fn with_key(&self, error: crate::error::EngineError) -> crate::error::EngineError {
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
        let strings = std::mem::take(&mut self.strings);
        if counts.keys == 0 {
            return;
        }
        let index = u32::try_from(self.db).unwrap_or(u32::MAX);
        let sum = self.databases.entry(index).or_default();
        sum.index = index;
        sum.keys += counts.keys;
        sum.expires += counts.expires;
        match sum.types.first_mut() {
            Some((_, sum)) => *sum += strings,
            None => sum.types.push((Type::String.name(), strings)),
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
            return Err(self.from.corrupt("bytes after the end of the data"));
        }
        (self.summary.trailing_bytes, self.summary.sha256) = self.from.finish()?;
        Ok(self.summary)
    }
}
