//! A base as plain commands: a real redis-server replays it to an equal digest, redis-check-aof
//! accepts it, and its bytes are those that Redis 7.0 would have written.

use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use perdure_engine::aof::save_commands;
use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::rdb::{SaveOptions, SaveScratch, Saved};
use perdure_engine::value::NewValue;

use crate::encoder as pen;
use crate::encodings::every_encoding;
use crate::files::{Scratch, load, options};
use crate::peer::Peer;
use crate::redis::digest;
use crate::samples::file_of;

const CHECKER: &str = "/usr/bin/redis-check-aof";

fn save(keyspace: &Keyspace, options: &SaveOptions, path: &Path) -> Saved {
    let file = std::fs::File::create(path).unwrap();
    let mut scratch = SaveScratch::new(options);
    save_commands(keyspace, options, &mut scratch, file.as_raw_fd(), &mut |_| true).unwrap()
}

/// Write the base of an append-only directory under `folder`; gives its path.
fn write_base(folder: &Path, keyspace: &Keyspace, options: &SaveOptions) -> PathBuf {
    let directory = folder.join("appendonlydir");
    std::fs::create_dir_all(&directory).unwrap();
    let name = "appendonly.aof.1.base.aof";
    let manifest = format!("file {name} seq 1 type b\n");
    std::fs::write(directory.join("appendonly.aof.manifest"), manifest).unwrap();
    let path = directory.join(name);
    let saved = save(keyspace, options, &path);
    assert_eq!(saved.keys, keyspace.len() as u64);
    assert_eq!(saved.size_bytes, path.metadata().unwrap().len());
    path
}

/// Collections of one element less, as many, and one more than one command holds, and many more;
/// strings that no line could hold.
fn large(scratch: &Scratch) -> Keyspace {
    let mut file = pen::File::new(10);
    for count in [1, 63, 64, 65, 128, 129, 1000] {
        let texts: Vec<String> = (0..count).map(|at| format!("element-{at}")).collect();
        let elements: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let pairs: Vec<&[u8]> = elements.iter().flat_map(|it| [*it, *it]).collect();
        let scores: Vec<(&[u8], f64)> =
            elements.iter().enumerate().map(|(at, it)| (*it, at as f64 / 3.0 - 9.0)).collect();
        file.key(1, &format!("list:{count}"), &pen::strings(count, &elements));
        file.ends_at_ms(4_000_000_000_000);
        file.key(2, &format!("set:{count}"), &pen::strings(count, &elements));
        file.key(4, &format!("hash:{count}"), &pen::strings(count, &pairs));
        file.key(5, &format!("zset:{count}"), &pen::scores_binary(&scores));
    }
    let (mut keyspace, _) = load(&scratch.file("large.rdb", &file.end(true))).unwrap();
    let db = keyspace.db_mut(15);
    db.set(b"bin\0\xff\r\n", NewValue::Bytes(b"\r\n*1\r\n$4\r\nQUIT\r\n"), Expiry::Never);
    db.set(b"", NewValue::Int(i64::MIN), Expiry::At(4_000_000_000_001));
    db.set(b"long", NewValue::Bytes(&vec![b'y'; 3 << 20]), Expiry::Never);
    keyspace
}

#[test]
fn redis_server_replays_a_base_of_commands_to_an_equal_digest() {
    let scratch = Scratch::new();
    let samples = scratch.file("all.rdb", &file_of(&every_encoding(), 12, true));
    for (number, keyspace) in [large(&scratch), load(&samples).unwrap().0].iter().enumerate() {
        let is_timestamped = number == 0;
        let options = SaveOptions { is_timestamped, ..options() };
        let path = write_base(&scratch.0, keyspace, &options);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.starts_with(b"#TS:1790000000\r\n*"), is_timestamped);
        let manifest = path.with_file_name("appendonly.aof.manifest");
        let checked = Command::new(CHECKER).arg(manifest).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.contains("All AOF files"), "{said}");
        let peer = Peer::start_with(&scratch.0, &["--appendonly", "yes"]);
        assert_eq!(peer.digest(), digest(keyspace));
    }
}

#[test]
fn libraries_are_in_a_base_of_commands() {
    let scratch = Scratch::new();
    let mut keyspace = Keyspace::new(16);
    let code = "redis.register_function('answer', function() return 42 end)";
    keyspace.add_function(format!("#!lua name=one\n{code}\n").as_bytes());
    write_base(&scratch.0, &keyspace, &options());
    let peer = Peer::start_with(&scratch.0, &["--appendonly", "yes"]);
    assert_eq!(peer.run("FCALL answer 0\n"), "42\n");
}

#[test]
fn a_base_of_commands_has_the_bytes_of_redis() {
    let scratch = Scratch::new();
    let mut file = pen::File::new(10);
    file.select(3);
    file.ends_at_ms(4_000_000_000_000);
    file.key(5, "z", &pen::scores_binary(&[(b"b", f64::NEG_INFINITY), (b"d", 0.1)]));
    let (keyspace, _) = load(&scratch.file("z.rdb", &file.end(true))).unwrap();
    let path = write_base(&scratch.0, &keyspace, &options());
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let expected = "*2 $6 SELECT $1 3 *6 $4 ZADD $1 z $4 -inf $1 b $19 0.10000000000000001 $1 d \
        *3 $9 PEXPIREAT $1 z $13 4000000000000 ";
    assert_eq!(text.replace("\r\n", " "), expected);
}
