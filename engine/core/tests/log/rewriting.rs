//! Rewrites under load: the log that comes of them is the data, and only the files that count stay.

use crate::load::Load;
use crate::running::wait_until;
use crate::{
    copy_of, event, listed, log_files, redis_on, replayed, rewrite, turn, with_log, without_log,
};

#[test]
fn a_rewrite_under_load_is_replayed_to_an_equal_digest() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    for preamble in ["yes", "no", "yes"] {
        client.command(&["CONFIG", "SET", "aof-use-rdb-preamble", preamble]);
        let load = Load::start(engine.handle.ports().0, 3);
        wait_until("there is data", || client.command(&["DBSIZE"]) != ":0");
        rewrite(&engine, &mut client);
        rewrite(&engine, &mut client);
        assert!(load.end() > 100);
        let digest = client.digest();
        assert_eq!(replayed(&dir), digest, "preamble {preamble}");
        assert_eq!(client.command(&["DEBUG", "LOADAOF"]), "+OK");
        assert_eq!(client.digest(), digest, "loaded again, preamble {preamble}");
        let suffix = if preamble == "yes" { "rdb" } else { "aof" };
        let files = listed(&dir);
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files[0].contains(&format!(".base.{suffix} ")) && files[0].ends_with("type b"));
        assert!(files[1].contains(".incr.aof ") && files[1].ends_with("type i"));
        assert_eq!(log_files(&dir).len(), 3, "{:?}", log_files(&dir));
    }
}

#[test]
fn expiries_and_time_lines_are_in_a_rewritten_log() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    client.command(&[
        "CONFIG",
        "SET",
        "aof-use-rdb-preamble",
        "no",
        "aof-timestamp-enabled",
        "yes",
    ]);
    client.command(&["SET", "before", "1", "PX", "100000000"]);
    rewrite(&engine, &mut client);
    client.command(&["SET", "after", "1", "PX", "100000000"]);
    assert_eq!(replayed(&dir), client.digest());
    let copy = copy_of(&dir);
    let base = log_files(&copy).into_iter().find(|name| name.ends_with(".base.aof")).unwrap();
    let text = std::fs::read(copy.0.join("appendonlydir").join(base)).unwrap();
    assert!(text.starts_with(b"#TS:"), "{}", text.escape_ascii());
    let redis = redis_on(&copy.0);
    let end = redis.run("PEXPIRETIME before\nPEXPIRETIME after\n");
    let ours =
        [client.command(&["PEXPIRETIME", "before"]), client.command(&["PEXPIRETIME", "after"])];
    assert_eq!(end, ours.join("\n").replace(':', "") + "\n");
}

#[test]
fn a_log_that_has_grown_is_rewritten_by_itself() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    client.command(&["CONFIG", "SET", "auto-aof-rewrite-min-size", "100kb"]);
    client.fill("key", 300, &"v".repeat(100));
    assert!(!engine.has_event(event("aof_rewrite_done")), "not past the size");
    client.fill("key", 2000, &"v".repeat(100));
    engine.wait_event(event("aof_rewrite_done"));
    wait_until("it has ended", || client.info("aof_rewrite_in_progress") == "0");
    assert_eq!(replayed(&dir), client.digest());
    let bytes: u64 = client.info("aof_base_size").parse().unwrap();
    assert!((10_000..500_000).contains(&bytes), "{bytes}");
}

#[test]
fn without_a_log_a_rewrite_writes_a_base() {
    let _turn = turn();
    let (dir, engine, mut client) = without_log();
    client.fill("key", 200, "value");
    rewrite(&engine, &mut client);
    assert_eq!(listed(&dir).len(), 1);
    assert_eq!(replayed(&dir), client.digest());
    client.fill("key", 300, "value");
    rewrite(&engine, &mut client);
    assert_eq!(replayed(&dir), client.digest());
    assert_eq!(log_files(&dir).len(), 2, "{:?}", log_files(&dir));
    crate::assert_starts(&dir, 300, &client.digest(), "there is nothing else");
    // What is written now, only dump.rdb has: a start with the log on must not pass it over.
    client.fill("later", 10, "value");
    assert_eq!(client.command(&["SAVE"]), "+OK");
    assert_eq!(crate::refusal_of(&dir), "AOF_STALE");
}

#[test]
fn a_flushall_and_what_follows_outlast_a_rewrite() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    client.command(&["CONFIG", "SET", "save", "3600 1"]);
    client.fill("old", 500, "value");
    let load = Load::start(engine.handle.ports().0, 2);
    assert!(client.command(&["BGREWRITEAOF"]).starts_with('+'));
    assert_eq!(client.command(&["FLUSHALL"]), "+OK");
    client.fill("new", 100, "value");
    wait_until("the rewrite has ended", || client.info("aof_rewrite_in_progress") == "0");
    load.end();
    assert_eq!(client.info("aof_last_bgrewrite_status"), "ok");
    assert_eq!(replayed(&dir), client.digest());
    assert_eq!(client.command(&["DEBUG", "RELOAD"]), "+OK");
    client.fill("newer", 100, "value");
    assert_eq!(replayed(&dir), client.digest(), "after DEBUG RELOAD");
    assert!(client.command(&["DEBUG", "RELOAD", "NOSAVE"]).starts_with("-ERR DEBUG RELOAD NOSAVE"));
}

#[test]
fn each_rdb_file_says_where_the_log_stood() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    client.fill("key", 50, "value");
    let position = |path: String| {
        let verified = engine.end_of(engine.handle.verify(path)).unwrap();
        let position = &verified["log_position"];
        let number = |name: &str| position[name].as_u64();
        let found = number("epoch").zip(number("offset"));
        let text = found.map(|(epoch, offset)| format!("{epoch}:{offset}"));
        assert_eq!(verified["aux"]["perdure-log-position"].as_str(), text.as_deref());
        found
    };
    assert_eq!(client.command(&["SAVE"]), "+OK");
    let (epoch, offset) = position(dir.file("dump.rdb")).unwrap();
    assert!(epoch > 1_700_000_000_000 && offset > 50 * 30, "{epoch} {offset}");
    client.fill("more", 50, "value");
    let path = dir.file("cut.rdb");
    let cut = engine.end_of(engine.handle.cut(path.clone(), String::new())).unwrap();
    let later = position(path).unwrap();
    assert!(later.0 == epoch && later.1 > offset);
    assert_eq!(cut["log_position"], serde_json::json!({"epoch": later.0, "offset": later.1}));
    assert_eq!(position(dir.file("dump.rdb")), Some((epoch, offset)), "a cut leaves it alone");
    assert!(client.command(&["BGSAVE"]).starts_with("+Background"));
    engine.wait_event(event("bgsave_done"));
    assert!(position(dir.file("dump.rdb")) >= Some(later));
    client.fill("most", 50, "value");
    assert_eq!(client.command(&["DEBUG", "RELOAD"]), "+OK");
    let reloaded = position(dir.file("dump.rdb")).unwrap();
    assert!(reloaded.0 == epoch && reloaded.1 > later.1, "{reloaded:?} {later:?}");
    let checked = crate::peer::check_rdb(&dir.0.join("cut.rdb"));
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_eq!(client.command(&["CONFIG", "SET", "appendonly", "no"]), "+OK");
    assert_eq!(client.command(&["SAVE"]), "+OK");
    assert_eq!(position(dir.file("dump.rdb")), None, "there is no log");
}

#[test]
fn the_save_of_a_shutdown_says_where_the_log_ended() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    client.fill("key", 50, "value");
    assert_eq!(client.command(&["CONFIG", "SET", "save", "3600 1"]), "+OK");
    client.fill("key", 100, "value");
    let end = engine.stats()["log"]["position"].clone();
    engine.end_of(engine.handle.stop(Some(true))).unwrap();
    let copy = copy_of(&dir);
    let other = without_log();
    let verified = other.1.end_of(other.1.handle.verify(copy.file("dump.rdb"))).unwrap();
    let (saved, end) = (&verified["log_position"], &end);
    assert!(saved["epoch"] == end["epoch"] && saved["offset"].as_u64() >= end["offset"].as_u64());
    // So a start without the log has it all, and says so by starting.
    let engine = crate::running::start(&copy);
    assert_eq!(engine.client().command(&["DBSIZE"]), ":100");
}
