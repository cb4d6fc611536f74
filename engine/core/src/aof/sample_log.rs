//! Logs for tests: units and annotations whose places are known. Only for tests.

use super::annotation::{Annotation, Checksum, FIELD_BYTES, write_time};
use crate::effects::encode_command;

/// A log under way.
#[derive(Clone)]
pub struct SampleLog {
    pub bytes: Vec<u8>,
    /// Where each unit begins and ends.
    pub units: Vec<(usize, usize)>,
    /// Every place where the log may be cut: behind units and annotations.
    pub ends: Vec<usize>,
    epoch: u64,
    start: u64,
    checksum: Checksum,
    summed: usize,
}

impl SampleLog {
    /// A file that begins at `start` of an epoch; nothing is in it.
    pub fn new(epoch: u64, start: u64) -> Self {
        Self {
            bytes: Vec::new(),
            units: Vec::new(),
            ends: vec![0],
            epoch,
            start,
            checksum: Checksum::default(),
            summed: 0,
        }
    }

    /// One that begins as ours do.
    pub fn begun(epoch: u64, start: u64) -> Self {
        let mut log = Self::new(epoch, start);
        log.annotate(start);
        log
    }

    /// The position of its end.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    pub fn unit(&mut self, commands: &[&[&str]]) -> &mut Self {
        let begin = self.bytes.len();
        if commands.len() > 1 {
            encode_command(&mut self.bytes, &["MULTI"]);
        }
        commands.iter().for_each(|args| encode_command(&mut self.bytes, args));
        if commands.len() > 1 {
            encode_command(&mut self.bytes, &["EXEC"]);
        }
        self.units.push((begin, self.bytes.len()));
        self.ends.push(self.bytes.len());
        self
    }

    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.unit(&[&["SET", key, value]])
    }

    /// A line that says so much of the epoch was fsynced.
    pub fn annotate(&mut self, fsynced: u64) -> &mut Self {
        let annotation = Annotation {
            epoch: self.epoch,
            offset: self.end(),
            fsynced,
            unix_ms: 4_000_000_000_000 + self.bytes.len() as i64,
        };
        let field = annotation.write(&mut self.bytes);
        self.checksum.update(&self.bytes[self.summed..field]);
        let digits = self.checksum.take_field();
        self.summed = field + FIELD_BYTES;
        self.bytes[field..self.summed].copy_from_slice(&digits);
        self.ends.push(self.bytes.len());
        self
    }

    /// As after an orderly stop: all before the last line is fsynced.
    pub fn stop(&mut self) -> &mut Self {
        self.annotate(self.end())
    }

    pub fn time(&mut self, unix_s: i64) -> &mut Self {
        write_time(unix_s, &mut self.bytes);
        self.ends.push(self.bytes.len());
        self
    }

    /// The last place before `limit` where the log may be cut.
    pub fn last_end(&self, limit: usize) -> usize {
        self.ends.iter().copied().filter(|end| *end <= limit).max().unwrap_or(0)
    }

    /// Commands of every family, transactions, both kinds of annotations. Not stopped.
    pub fn families(epoch: u64) -> Self {
        let mut log = Self::begun(epoch, 0);
        log.unit(&[&["SELECT", "0"]])
            .set("string", "value")
            .unit(&[&["INCRBY", "number", "10"]])
            .unit(&[&["SET", "expiring", "", "PXAT", "1795000000000"]])
            .unit(&[&["RPUSH", "list", "a", "b", "c"]])
            .unit(&[&["LSET", "list", "1", "x\r\ny"]]);
        let fsynced = log.end() - 20;
        log.annotate(fsynced)
            .unit(&[&["HSET", "hash", "field", "1"], &["HDEL", "hash", "field"]])
            .time(1_795_000_001)
            .unit(&[&["SADD", "set", "a", "b"]])
            .unit(&[&["SREM", "set", "a"]])
            .unit(&[&["ZADD", "zset", "1.5", "member"], &["SELECT", "3"], &["DEL", "k"]]);
        let fsynced = log.end() - 100;
        log.annotate(fsynced).set("big", &"v".repeat(300)).unit(&[&["FLUSHDB"]]);
        log
    }
}
