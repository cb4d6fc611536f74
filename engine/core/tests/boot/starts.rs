//! What a start makes of each source: a log, an RDB file alone, a log of Redis 6, nothing; and that
//! nobody is answered before the new epoch is on the disk.

use std::time::Duration;

use perdure_engine::clock::Clock;
use perdure_engine::failpoint;

use crate::running::{Dir, launch, options, start_with, wait_until};
use crate::{copy_of, digest, info, log_options, manifest, start_logged, turn};

/// Text of `appendonly.aof.2.incr.aof` and its like.
fn read(dir: &Dir, name: &str) -> String {
    let bytes = std::fs::read(dir.0.join("appendonlydir").join(name)).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn state_line(dir: &Dir, name: &str) -> String {
    let text = std::fs::read_to_string(dir.0.join("perdure.state")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

#[test]
fn a_log_begins_on_an_empty_folder_and_is_loaded_after_a_kill() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir);
    assert_eq!(manifest(&dir), ["1.base.rdb seq 1 type b", "1.incr.aof seq 1 type i"]);
    let mut client = engine.client();
    assert_eq!(info(&mut client, "aof_enabled"), "1");
    client.fill("key", 1000, "value");
    for call in ["SELECT 3", "RPUSH list a b c", "SADD set x y", "SELECT 0", "DEL key:7"] {
        client.command(&call.split(' ').collect::<Vec<_>>());
    }
    let held = digest(&mut client);
    let killed = copy_of(&dir.0);
    let again = start_logged(&killed);
    let mut client = again.client();
    assert_eq!(digest(&mut client), held);
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    let load = again.stats()["last_load"].clone();
    assert!(load["commands"].as_u64().unwrap() >= 1003, "{load}");
    assert_eq!(load["torn_bytes"], 0);
    let lines = manifest(&killed);
    assert_eq!(lines[1..], ["1.incr.aof seq 1 type i", "2.incr.aof seq 2 type i"]);
}

#[test]
fn each_start_begins_an_epoch_and_the_state_file_says_so() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir);
    assert_eq!(engine.client().command(&["SET", "k", "v"]), "+OK");
    let first: u64 = state_line(&dir, "last-epoch").parse().unwrap();
    assert_eq!((state_line(&dir, "log"), state_line(&dir, "ended")), ("on".into(), "none".into()));
    let killed = copy_of(&dir.0);
    engine.stop();
    let ended = state_line(&dir, "ended");
    let length = read(&dir, "appendonly.aof.1.incr.aof").len();
    assert_eq!(ended, format!("{first}:{length}"));
    for (dir, parent) in [(&dir, ended), (&killed, String::new())] {
        let _engine = start_logged(dir);
        let second: u64 = state_line(dir, "last-epoch").parse().unwrap();
        assert!(second > first);
        assert!(state_line(dir, "parent").starts_with(&format!("{first}:")));
        assert!(parent.is_empty() || state_line(dir, "parent") == parent);
        let begin = format!("#PD:{second}:0:");
        assert!(read(dir, "appendonly.aof.2.incr.aof").starts_with(&begin));
    }
}

#[test]
fn starts_without_a_write_leave_no_heap_of_files() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir);
    assert_eq!(engine.client().command(&["SET", "k", "v"]), "+OK");
    engine.stop();
    for _ in 0..4 {
        start_logged(&dir).stop();
    }
    let lines = manifest(&dir);
    let incrs: Vec<_> = lines.iter().filter(|line| line.ends_with("type i")).collect();
    assert_eq!(incrs.len(), 2, "{lines:?}"); // the one with the write, and the newest
    let files = std::fs::read_dir(dir.0.join("appendonlydir")).unwrap().count();
    assert_eq!(files, 4);
    assert_eq!(start_logged(&dir).client().command(&["GET", "k"]), "v");
}

#[test]
fn an_rdb_file_alone_becomes_the_base_of_a_log() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_with(&options(&dir.0), Clock::system());
    let mut client = engine.client();
    client.fill("key", 100, "value");
    assert_eq!(client.command(&["SAVE"]), "+OK");
    let held = digest(&mut client);
    engine.stop();
    for form in ["yes", "no"] {
        let dir = copy_of(&dir.0);
        let mut options = log_options(&dir.0);
        let args = options["redis_args"].as_array_mut().unwrap();
        args.extend(["--aof-use-rdb-preamble", form].map(Into::into));
        let logged = start_with(&options, Clock::system());
        assert_eq!(digest(&mut logged.client()), held);
        let name = if form == "yes" { "1.base.rdb" } else { "1.base.aof" };
        assert_eq!(manifest(&dir)[0], format!("{name} seq 1 type b"));
        let killed = copy_of(&dir.0);
        // The log is the data set now: nobody needs the file any more.
        std::fs::remove_file(killed.0.join("dump.rdb")).unwrap();
        assert_eq!(digest(&mut start_logged(&killed).client()), held);
    }
}

#[test]
fn a_log_of_redis_6_is_moved_in_with_its_preamble() {
    let _turn = turn();
    let source = Dir::new();
    let engine = start_with(&options(&source.0), Clock::system());
    assert_eq!(engine.client().command(&["SET", "of-rdb", "1"]), "+OK");
    assert_eq!(engine.client().command(&["SAVE"]), "+OK");
    let preamble = std::fs::read(source.0.join("dump.rdb")).unwrap();
    let commands =
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$6\r\nof-log\r\n$1\r\n2\r\n";
    for head in [preamble, Vec::new()] {
        let dir = Dir::new();
        std::fs::write(dir.0.join("appendonly.aof"), [&head, &commands[..], b"*3\r\n"].concat())
            .unwrap();
        let engine = start_logged(&dir);
        let mut client = engine.client();
        assert_eq!(
            client.command(&["EXISTS", "of-rdb"]),
            format!(":{}", u8::from(!head.is_empty()))
        );
        client.command(&["SELECT", "1"]);
        assert_eq!(client.command(&["GET", "of-log"]), "2");
        assert_eq!(manifest(&dir), ["file appendonly.aof seq 1 type b", "1.incr.aof seq 1 type i"]);
        assert_eq!(engine.stats()["last_load"]["torn_bytes"], 4);
        assert_eq!(client.command(&["SET", "more", "3"]), "+OK");
        let held = digest(&mut client);
        assert_eq!(digest(&mut start_logged(&copy_of(&dir.0)).client()), held);
    }
}

#[test]
fn nobody_is_answered_before_the_new_epoch_is_on_the_disk() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir);
    engine.client().fill("key", 2000, "value");
    let killed = copy_of(&dir.0);
    drop(engine);
    let mark = killed.file("mark");
    failpoint::arm(&format!("aof.epoch_begun=pause:{mark}")).unwrap();
    let engine = launch(&log_options(&killed.0), Clock::system());
    wait_until("the start is held", || std::path::Path::new(&mark).exists());
    let mut client = engine.client();
    assert!(client.command(&["GET", "key:1"]).starts_with("-LOADING"));
    assert_eq!(info(&mut client, "loading"), "1");
    let total = info(&mut client, "loading_total_bytes");
    assert_eq!(info(&mut client, "loading_loaded_bytes"), total);
    assert!(total.parse::<u64>().unwrap() > 2000 * 30, "{total}");
    assert_eq!(manifest(&killed).len(), 2, "the new file is listed once its epoch is durable");
    std::fs::remove_file(&mark).unwrap();
    wait_until("it serves", || client.command(&["GET", "key:1"]) == "value");
    assert!(!client.has_reply_within(Duration::from_millis(1)));
}

#[test]
fn keys_whose_time_is_over_go_after_the_load_and_the_log_says_so() {
    let _turn = turn();
    let dir = Dir::new();
    // Time stands still: nothing ends before the kill.
    let engine = start_with(&log_options(&dir.0), Clock::driven(1_700_000_000_000));
    let mut client = engine.client();
    for call in ["SET short v PX 1", "SET long v PX 1", "PERSIST long", "SET kept v"] {
        client.command(&call.split(' ').collect::<Vec<_>>());
    }
    let killed = copy_of(&dir.0);
    let engine = start_logged(&killed);
    let mut client = engine.client();
    wait_until("it is deleted", || client.command(&["DBSIZE"]) != ":3");
    assert_eq!(client.command(&["EXISTS", "short"]), ":0");
    wait_until("the log says so", || {
        read(&killed, "appendonly.aof.2.incr.aof").contains("$3\r\nDEL\r\n$5\r\nshort\r\n")
    });
}

#[test]
fn a_failure_on_the_way_leaves_a_log_that_starts() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir);
    engine.client().fill("key", 50, "value");
    let held = digest(&mut engine.client());
    let points = [
        "aof.incr_created",
        "aof.epoch_begun",
        "aof.before_manifest",
        "aof.after_manifest",
        "aof.before_state",
        "aof.after_state",
        "aof.booted",
    ];
    for point in points {
        let killed = copy_of(&dir.0);
        failpoint::arm(&format!("{point}=error:EIO")).unwrap();
        let failing = launch(&log_options(&killed.0), Clock::system());
        let failed = failing.wait_event(|event| event["state"] == "failed");
        assert_eq!(failed["error"]["code"], "IO_ERROR", "{point}");
        drop(failing);
        failpoint::arm("").unwrap();
        for _ in 0..2 {
            let engine = start_logged(&killed);
            assert_eq!(digest(&mut engine.client()), held, "{point}");
            engine.stop();
        }
    }
}
