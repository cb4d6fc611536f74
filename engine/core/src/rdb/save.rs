//! Writing a keyspace as an RDB file, version 10. Runs in the fork child and in the foreground:
//! allocates nothing, takes no lock, has no panic path (I1); everything it needs is made before, in
//! [`SaveScratch`]. Its counterpart is `parse`. Not here: the fork, the file's name, fsync
//! (`snapshot`, `durable`).

use std::os::fd::{AsRawFd as _, RawFd};

use super::crc::Crc64;
use super::format::*;
use super::save_collection::type_saved;
use super::strings::{Packer, save_int, save_length, save_string};
use super::writer::Writer;
use super::{Progress, SaveOptions, Saved};
use crate::keyspace::{Db, EntryRef, Keyspace};
use crate::value::ValueRef;

/// Bytes for one `write` call.
const BUFFER_BYTES: usize = 512 * 1024;
/// Progress is told after so many keys, or so many bytes if that comes first.
const PROGRESS_KEYS: u64 = 4096;
const PROGRESS_BYTES: u64 = 1024 * 1024;
/// Stands in the aux field `redis-ver`: the server whose format this is. Tools choose their parser
/// by it.
const REDIS_VERSION: &str = "7.0.15";
/// The aux field that says where the log stood at the cut: `<epoch>:<offset>`.
pub const AUX_LOG_POSITION: &str = "perdure-log-position";

/// Memory that a save works in, made before the fork.
pub struct SaveScratch {
    buffer: Box<[u8]>,
    /// Magic, version and aux fields.
    head: Vec<u8>,
    packer: Packer,
}

impl SaveScratch {
    /// Allocate and initialise everything that [`save`] needs.
    pub fn new(options: &SaveOptions) -> Self {
        Crc64::warm_up();
        let mut buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        // Touched now, so that the child does not fault its pages in.
        buffer.fill(1);
        Self { buffer, head: head(options), packer: Packer::new() }
    }

    /// Write the aux fields anew, for what became known after [`SaveScratch::new`] (the instant of
    /// a cut). Before the fork.
    pub fn stamp(&mut self, options: &SaveOptions) {
        self.head = head(options);
    }

    /// The buffer, for another form than this.
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

fn head(options: &SaveOptions) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(format!("{VERSION_WRITTEN:04}").as_bytes());
    let position = options.log_position.map(|it| format!("{}:{}", it.epoch, it.offset));
    let fields = [
        ("redis-ver", REDIS_VERSION.to_owned()),
        ("redis-bits", usize::BITS.to_string()),
        ("ctime", options.ctime_unix_s.to_string()),
        ("used-mem", options.used_memory_bytes.to_string()),
        ("aof-base", u8::from(options.is_log_base).to_string()),
        ("perdure-version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    for (name, value) in fields.into_iter().chain(position.map(|it| (AUX_LOG_POSITION, it))) {
        head.push(OP_AUX);
        for text in [name.as_bytes(), value.as_bytes()] {
            // All of them are shorter than 64 bytes: the length is one byte.
            head.push(text.len() as u8 & !LEN_FORM);
            head.extend_from_slice(text);
        }
    }
    head
}

/// Write the whole keyspace to `fd` (not fsynced). Allocates nothing, takes no lock. Keys whose
/// time is over and that were not deleted yet are written too, as Redis does: a load leaves them
/// out.
///
/// # Errors
/// The operating system's error number, or `ECANCELED` when `progress` said stop.
pub fn save(
    keyspace: &Keyspace,
    options: &SaveOptions,
    scratch: &mut SaveScratch,
    fd: RawFd,
    progress: Progress<'_>,
) -> Result<Saved, i32> {
    let SaveScratch { buffer, head, packer } = scratch;
    let mut save = Save {
        out: Writer::new(fd, buffer, options.is_checksummed, options.is_written_back),
        packer: options.is_compressed.then_some(packer),
        progress,
        keys: 0,
        told_bytes: 0,
        told_keys: 0,
    };
    save.out.put(head)?;
    for source in keyspace.functions() {
        save.out.put(&[OP_FUNCTION2])?;
        save.string(source)?;
    }
    for index in 0..keyspace.databases() {
        save.database(index, keyspace.db(index))?;
    }
    save.out.put(&[OP_EOF])?;
    let checksum = save.out.checksum();
    save.out.put(&checksum.to_le_bytes())?;
    save.out.flush()?;
    save.tell()?;
    Ok(Saved { size_bytes: save.out.size_bytes(), keys: save.keys })
}

/// Bytes that a value takes in a file, without its type and key (DEBUG OBJECT).
///
/// # Errors
/// The operating system's error number: there is no `/dev/null`.
pub fn saved_value_bytes(value: ValueRef<'_>, options: &SaveOptions) -> Result<u64, i32> {
    let nowhere = std::fs::File::options().write(true).open("/dev/null");
    let nowhere = nowhere.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
    let SaveScratch { mut buffer, mut packer, .. } = SaveScratch::new(options);
    let mut save = Save {
        out: Writer::new(nowhere.as_raw_fd(), &mut buffer, false, false),
        packer: options.is_compressed.then_some(&mut packer),
        progress: &mut |_| true,
        keys: 0,
        told_bytes: 0,
        told_keys: 0,
    };
    save.value(value)?;
    Ok(save.out.size_bytes())
}

/// A save under way.
pub(super) struct Save<'a, 'b> {
    pub(super) out: Writer<'a>,
    pub(super) packer: Option<&'a mut Packer>,
    progress: Progress<'b>,
    keys: u64,
    told_keys: u64,
    told_bytes: u64,
}

impl Save<'_, '_> {
    fn database(&mut self, index: usize, db: &Db) -> Result<(), i32> {
        if db.is_empty() {
            return Ok(());
        }
        self.out.put(&[OP_SELECTDB])?;
        save_length(&mut self.out, index as u64)?;
        self.out.put(&[OP_RESIZEDB])?;
        save_length(&mut self.out, db.len() as u64)?;
        save_length(&mut self.out, db.expires_len() as u64)?;
        for entry in db.iter() {
            self.entry(entry)?;
            self.tell_if_due()?;
        }
        Ok(())
    }

    /// `[FC <ms>] <type> <key> <value>`
    #[inline]
    fn entry(&mut self, entry: EntryRef<'_>) -> Result<(), i32> {
        if let Some(at_ms) = entry.expire_at_ms() {
            self.out.put(&[OP_EXPIRETIME_MS])?;
            self.out.put(&at_ms.to_le_bytes())?;
        }
        let value = entry.value();
        self.out.put(&[type_saved(value)])?;
        let packer = self.packer.as_deref_mut();
        save_string(&mut self.out, packer, entry.key())?;
        self.keys += 1;
        self.value(value)
    }

    #[inline]
    fn value(&mut self, value: ValueRef<'_>) -> Result<(), i32> {
        match value {
            ValueRef::Int(value) => save_int(&mut self.out, value),
            ValueRef::Bytes(bytes) => save_string(&mut self.out, self.packer.as_deref_mut(), bytes),
            ValueRef::List(list) => self.list(list),
            ValueRef::Set(set) => self.set(set),
            ValueRef::ZSet(zset) => self.sorted_set(zset),
            ValueRef::Hash(hash) => self.hash(hash),
        }
    }

    #[inline]
    pub(super) fn tell_if_due(&mut self) -> Result<(), i32> {
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
