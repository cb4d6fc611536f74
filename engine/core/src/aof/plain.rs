//! A base as plain commands (`aof-use-rdb-preamble no`): what a log would hold that made the data
//! set at once, in the form that redis-server 7.0 writes. Runs in the fork child and in the
//! foreground: allocates nothing, takes no lock, has no panic path (I1); it works in the memory of
//! [`SaveScratch`]. Its counterpart is `replay`. Not here: a base as an RDB file (`rdb::save`).
//!
//! ```text
//! #TS:<unix s>\r\n                                if aof-timestamp-enabled
//! FUNCTION LOAD <source>                          each library
//! SELECT <db>                                     each database that has keys
//! SET k v | RPUSH k e.. | SADD k m.. | ZADD k s m .. | HMSET k f v ..    at most 64 elements each
//! PEXPIREAT k <unix ms>                           if the key has an end
//! ```

use std::os::fd::RawFd;

use crate::keyspace::{Db, EntryRef, Keyspace};
use crate::rdb::{Progress, SaveOptions, SaveScratch, Saved, Writer};
use crate::value::ValueRef;
use crate::value::integer::IntText;
use crate::value::score::ScoreText;

/// Elements that one command adds.
const ELEMENTS_MAX: usize = 64;
/// Progress is told after so many keys, or so many bytes if that comes first.
const PROGRESS_KEYS: u64 = 1024;
const PROGRESS_BYTES: u64 = 1024 * 1024;

/// Write the whole keyspace to `fd` (not fsynced). Allocates nothing, takes no lock. Keys whose
/// time is over are written too: a replay deletes them.
///
/// # Errors
/// The operating system's error number, or `ECANCELED` when `progress` said stop.
pub fn save_commands(
    keyspace: &Keyspace,
    options: &SaveOptions,
    scratch: &mut SaveScratch,
    fd: RawFd,
    progress: Progress<'_>,
) -> Result<Saved, i32> {
    let out = Writer::new(fd, scratch.buffer(), false, options.is_written_back);
    let mut plain = Plain { out, progress, keys: 0, told_keys: 0, told_bytes: 0 };
    if options.is_timestamped {
        plain.out.put(b"#TS:")?;
        plain.out.put(&IntText::new(options.ctime_unix_s))?;
        plain.out.put(b"\r\n")?;
    }
    for source in keyspace.functions() {
        plain.begin(3, b"FUNCTION")?;
        plain.word(b"LOAD")?;
        plain.word(source)?;
    }
    for index in 0..keyspace.databases() {
        plain.database(index, keyspace.db(index))?;
    }
    plain.out.flush()?;
    plain.tell()?;
    Ok(Saved { size_bytes: plain.out.size_bytes(), keys: plain.keys })
}

/// A base under way.
struct Plain<'a, 'b> {
    out: Writer<'a>,
    progress: Progress<'b>,
    keys: u64,
    told_keys: u64,
    told_bytes: u64,
}

impl Plain<'_, '_> {
    fn database(&mut self, index: usize, db: &Db) -> Result<(), i32> {
        if db.is_empty() {
            return Ok(());
        }
        self.begin(2, b"SELECT")?;
        self.number(index as i64)?;
        for entry in db.iter() {
            self.entry(entry)?;
            self.tell_if_due()?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: EntryRef<'_>) -> Result<(), i32> {
        let key = entry.key();
        self.keys += 1;
        match entry.value() {
            value @ (ValueRef::Int(_) | ValueRef::Bytes(_)) => {
                self.begin(3, b"SET")?;
                self.word(key)?;
                self.word(&value.text())?;
            }
            ValueRef::List(list) => {
                let mut add = Addition::new(b"RPUSH", key, list.len(), 1);
                for element in list.iter() {
                    add.next(self)?;
                    self.word(&element)?;
                }
            }
            ValueRef::Set(set) => {
                let mut add = Addition::new(b"SADD", key, set.len(), 1);
                for member in set.iter() {
                    add.next(self)?;
                    self.word(&member)?;
                }
            }
            ValueRef::ZSet(zset) => {
                let mut add = Addition::new(b"ZADD", key, zset.len(), 2);
                for (member, score) in zset.iter() {
                    add.next(self)?;
                    self.word(&ScoreText::new(score))?;
                    self.word(&member)?;
                }
            }
            ValueRef::Hash(hash) => {
                let mut add = Addition::new(b"HMSET", key, hash.len(), 2);
                for (field, value) in hash.iter() {
                    add.next(self)?;
                    self.word(&field)?;
                    self.word(&value)?;
                }
            }
        }
        if let Some(at_ms) = entry.expire_at_ms() {
            self.begin(3, b"PEXPIREAT")?;
            self.word(key)?;
            self.number(at_ms)?;
        }
        Ok(())
    }

    /// The head of a command of so many words, the first of which is its name.
    fn begin(&mut self, words: usize, name: &[u8]) -> Result<(), i32> {
        self.count(b"*", words)?;
        self.word(name)
    }

    fn word(&mut self, bytes: &[u8]) -> Result<(), i32> {
        self.count(b"$", bytes.len())?;
        self.out.put(bytes)?;
        self.out.put(b"\r\n")
    }

    fn number(&mut self, number: i64) -> Result<(), i32> {
        self.word(&IntText::new(number))
    }

    fn count(&mut self, mark: &[u8], count: usize) -> Result<(), i32> {
        self.out.put(mark)?;
        self.out.put(&IntText::new(count as i64))?;
        self.out.put(b"\r\n")
    }

    fn tell_if_due(&mut self) -> Result<(), i32> {
        let is_due = self.keys - self.told_keys >= PROGRESS_KEYS
            || self.out.size_bytes() - self.told_bytes >= PROGRESS_BYTES;
        if is_due { self.tell() } else { Ok(()) }
    }

    fn tell(&mut self) -> Result<(), i32> {
        self.told_keys = self.keys;
        self.told_bytes = self.out.size_bytes();
        if (self.progress)(self.keys) { Ok(()) } else { Err(libc::ECANCELED) }
    }
}

/// The commands that build one collection.
struct Addition<'a> {
    name: &'static [u8],
    key: &'a [u8],
    /// Elements that are still to come.
    left: usize,
    /// Words of one element.
    words: usize,
    /// Elements for which the command under way has room.
    room: usize,
}

impl<'a> Addition<'a> {
    fn new(name: &'static [u8], key: &'a [u8], elements: usize, words: usize) -> Self {
        Self { name, key, left: elements, words, room: 0 }
    }

    /// Before each element: begin a command where the last one is full.
    fn next(&mut self, plain: &mut Plain<'_, '_>) -> Result<(), i32> {
        if self.room == 0 {
            self.room = self.left.min(ELEMENTS_MAX);
            plain.begin(2 + self.room * self.words, self.name)?;
            plain.word(self.key)?;
            // A big collection is one key: its progress shows by its bytes.
            plain.tell_if_due()?;
        }
        self.room = self.room.saturating_sub(1);
        self.left = self.left.saturating_sub(1);
        Ok(())
    }
}
