//! SAVE, BGSAVE, save points, SHUTDOWN and cuts beside them: what becomes of `dump.rdb`, LASTSAVE
//! and the changes counter. The clock is driven where time matters. Failpoints are armed for the
//! whole process: tests take turns.

#![allow(clippy::unwrap_used)] // what fails in a test ends it

mod running;

use perdure_engine::clock::Clock;
use perdure_engine::{cron, failpoint};
use running::{
    Dir, Engine, hold, launch, let_go, options, start, start_with, turn, wait_held, wait_until,
};
use serde_json::json;

const START_MS: i64 = 1_800_000_000_000;

fn has_dump(dir: &Dir) -> bool {
    dir.names().contains(&"dump.rdb".to_owned())
}

fn wait_bgsave(engine: &Engine) {
    wait_until("the background save", || engine.stats()["bgsave_in_progress"] == false);
}

#[test]
fn a_save_point_saves_when_its_time_and_changes_have_come() {
    let _turn = turn();
    let dir = Dir::new();
    let mut wanted = options(&dir.0);
    wanted["redis_args"] = json!(["--save", "60", "3"]);
    let engine = start_with(&wanted, Clock::driven(START_MS));
    let mut client = engine.client();
    client.fill("k", 2, "v");
    engine.handle.shared().clock.drive_to(START_MS + 61_000);
    cron::turn(engine.handle.shared());
    assert!(!has_dump(&dir));
    client.fill("k", 1, "w");
    wait_until("the save point", || has_dump(&dir));
    wait_bgsave(&engine);
    wait_until("LASTSAVE", || {
        engine.stats()["last_save_unix_s"] == START_MS / 1000 + 61 && engine.stats()["dirty"] == 0
    });
    assert!(engine.stats()["unsaved_since_unix_ms"].is_null());
}

#[test]
fn a_failed_background_save_is_told_and_tried_again() {
    let _turn = turn();
    let dir = Dir::new();
    let mut wanted = options(&dir.0);
    wanted["redis_args"] = json!(["--save", "60", "1"]);
    let engine = start_with(&wanted, Clock::driven(START_MS));
    let mut client = engine.client();
    failpoint::arm("snapshot.child_written=error:ENOSPC").unwrap();
    client.fill("k", 1, "v");
    engine.handle.shared().clock.drive_to(START_MS + 61_000);
    let told = engine.wait_event(|event| event["name"] == "bgsave_failed");
    assert_eq!(told["fields"]["code"], "DISK_FULL");
    wait_until("the status", || engine.stats()["last_bgsave_status"] == "err");
    assert_eq!(dir.names(), Vec::<String>::new(), "no temporary file is left");
    let refused = client.command(&["SET", "a", "b"]);
    assert!(refused.starts_with("-MISCONF"), "{refused}");
    failpoint::arm("").unwrap();
    engine.handle.shared().clock.drive_to(START_MS + 70_000);
    wait_until("another try", || engine.stats()["last_bgsave_status"] == "ok");
    assert!(has_dump(&dir));
    assert_eq!(client.command(&["SET", "a", "b"]), "+OK");
}

#[test]
fn changes_after_the_cut_of_a_save_stay_counted() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("k", 10, "v");
    let marker = hold(&dir, "snapshot.child_started");
    assert_eq!(client.command(&["BGSAVE"]), "+Background saving started");
    wait_held(&marker);
    client.fill("later", 4, "v");
    let second = client.command(&["BGSAVE"]);
    assert_eq!(second, "-ERR Background save already in progress");
    assert!(client.command(&["SAVE"]).starts_with("-ERR Background save already in progress"));
    let_go(&marker);
    wait_bgsave(&engine);
    wait_until("the counter", || engine.stats()["dirty"] == 4);
    assert!(engine.stats()["unsaved_since_unix_ms"].is_number());
}

#[test]
fn a_cut_leaves_dump_and_lastsave_alone_and_a_save_waits_for_it() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("k", 10, "v");
    let marker = hold(&dir, "snapshot.child_started");
    let job = engine.handle.cut(dir.file("a.rdb"), "hourly".to_owned());
    wait_held(&marker);
    assert!(client.command(&["BGSAVE"]).starts_with('-'), "another child runs");
    assert_eq!(client.command(&["BGSAVE", "SCHEDULE"]), "+Background saving scheduled");
    let waiting = engine.handle.cut(dir.file("b.rdb"), "daily".to_owned());
    let_go(&marker);
    let cut = engine.end_of(job).unwrap();
    assert_eq!(cut["keys"], 10);
    assert_eq!(cut["rdb_version"], 10);
    assert_eq!(cut["size_bytes"], std::fs::metadata(dir.file("a.rdb")).unwrap().len());
    engine.end_of(waiting).unwrap();
    wait_until("the scheduled save", || has_dump(&dir));
    wait_bgsave(&engine);
    assert_eq!(engine.code_of(engine.handle.cut(dir.file("a.rdb"), String::new())), "FILE_EXISTS");
    assert_eq!(
        engine.code_of(engine.handle.cut(dir.file("no/a.rdb"), String::new())),
        "FILE_MISSING"
    );
    let verified = engine.end_of(engine.handle.verify(dir.file("a.rdb"))).unwrap();
    assert_eq!(verified["databases"]["0"]["types"]["string"], 10);
}

#[test]
fn a_child_killed_by_a_signal_is_told_with_the_signal() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let marker = hold(&dir, "snapshot.child_started");
    let job = engine.handle.cut(dir.file("a.rdb"), String::new());
    wait_held(&marker);
    let pid = engine.handle.shared().state.lock().save.child_pid.unwrap();
    #[allow(unsafe_code)] // a signal to the child that this test made
    // SAFETY: plain integers.
    unsafe {
        libc::kill(pid, libc::SIGKILL)
    };
    let error = engine.end_of(job).unwrap_err();
    assert_eq!(error["code"], "SNAPSHOT_CHILD_FAILED");
    assert_eq!(error["context"]["signal"], "9");
    let_go(&marker);
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn a_cancelled_cut_leaves_nothing() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let marker = hold(&dir, "snapshot.child_started");
    let job = engine.handle.cut(dir.file("a.rdb"), String::new());
    wait_held(&marker);
    engine.handle.cancel(job);
    assert_eq!(engine.code_of(job), "CANCELLED");
    let_go(&marker);
    assert_eq!(dir.names(), Vec::<String>::new());
    engine.end_of(engine.handle.cut(dir.file("a.rdb"), String::new())).unwrap();
}

#[test]
fn a_shutdown_saves_ends_the_child_and_asks_for_the_exit() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("k", 10, "v");
    let marker = hold(&dir, "snapshot.child_fsynced");
    assert_eq!(client.command(&["BGSAVE"]), "+Background saving started");
    wait_held(&marker);
    client.fill("later", 5, "v");
    client.send(&["SHUTDOWN", "SAVE"]);
    assert_eq!(engine.wait_event(|event| event["event"] == "exit_requested")["save"], true);
    let_go(&marker);
    engine.stop();
    engine.wait_event(|event| event["state"] == "stopped");
    assert_eq!(engine.code_of(engine.handle.config_get("*".to_owned())), "ENGINE_NOT_READY");
    assert_eq!(dir.names(), ["dump.rdb"]);
    assert_eq!(start(&dir).client().command(&["DBSIZE"]), ":15", "not the child's older cut");
}

#[test]
fn a_shutdown_whose_save_fails_stops_nothing() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("k", 10, "v");
    failpoint::arm("durable.written=error:ENOSPC").unwrap();
    assert_eq!(engine.code_of(engine.handle.stop(Some(true))), "DISK_FULL");
    assert!(client.command(&["SHUTDOWN", "SAVE"]).starts_with("-ERR"));
    failpoint::arm("").unwrap();
    assert_eq!(client.command(&["SET", "a", "b"]), "+OK");
    engine.end_of(engine.handle.stop(Some(true))).unwrap();
    assert_eq!(start(&dir).client().command(&["DBSIZE"]), ":11");
}

#[test]
fn a_damaged_dump_fails_the_start_and_stays_as_it_is() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    engine.client().fill("k", 1000, "some-value");
    assert_eq!(engine.client().command(&["SAVE"]), "+OK");
    engine.stop();
    let mut bytes = std::fs::read(dir.file("dump.rdb")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(dir.file("dump.rdb"), &bytes).unwrap();
    let again = launch(&options(&dir.0), Clock::system());
    let told = again.wait_event(|event| event["state"] == "failed");
    assert!(told["error"]["code"].as_str().unwrap().starts_with("RDB_"), "{told}");
    assert!(again.client().command(&["GET", "k:1"]).starts_with("-LOADING"));
    again.end_of(again.handle.stop(Some(true))).unwrap();
    assert_eq!(std::fs::read(dir.file("dump.rdb")).unwrap(), bytes, "nothing replaced it");
}

#[test]
fn debug_reload_keeps_the_data_and_its_digest() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("k", 500, "12345");
    let digest = client.command(&["DEBUG", "DIGEST"]);
    assert_eq!(client.command(&["DEBUG", "RELOAD"]), "+OK");
    assert_eq!(client.command(&["DEBUG", "DIGEST"]), digest);
    assert_eq!(client.command(&["DBSIZE"]), ":500");
}

#[test]
fn flushall_ends_a_background_save_and_saves_the_empty_data_set() {
    let _turn = turn();
    let dir = Dir::new();
    let mut wanted = options(&dir.0);
    wanted["redis_args"] = json!(["--save", "3600", "1000"]);
    let engine = start_with(&wanted, Clock::driven(START_MS));
    let mut client = engine.client();
    client.fill("k", 10, "v");
    let marker = hold(&dir, "snapshot.child_fsynced");
    assert_eq!(client.command(&["BGSAVE"]), "+Background saving started");
    wait_held(&marker);
    engine.handle.shared().clock.drive_to(START_MS + 9_000);
    assert_eq!(client.command(&["FLUSHALL"]), "+OK");
    assert_eq!(client.command(&["LASTSAVE"]), format!(":{}", START_MS / 1000 + 9));
    client.fill("later", 3, "v");
    let_go(&marker);
    wait_bgsave(&engine);
    wait_until("the counter", || engine.stats()["dirty"] == 3);
    assert_eq!(engine.stats()["last_bgsave_status"], "ok", "ended, not failed");
    engine.stop();
    assert_eq!(dir.names(), ["dump.rdb"]);
    assert_eq!(start(&dir).client().command(&["DBSIZE"]), ":0", "not the child's older cut");
}

#[test]
fn flushall_leaves_a_cut_alone_and_saves_nothing_without_save_points() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("k", 10, "v");
    assert_eq!(client.command(&["SAVE"]), "+OK");
    let marker = hold(&dir, "snapshot.child_started");
    let job = engine.handle.cut(dir.file("a.rdb"), "hourly".to_owned());
    wait_held(&marker);
    assert_eq!(client.command(&["FLUSHALL"]), "+OK");
    let_go(&marker);
    assert_eq!(engine.end_of(job).unwrap()["keys"], 10, "what was there before the flush");
    engine.stop();
    assert_eq!(start(&dir).client().command(&["DBSIZE"]), ":10");
}

#[test]
fn a_flush_that_cannot_be_saved_stays_counted() {
    let _turn = turn();
    let dir = Dir::new();
    let mut wanted = options(&dir.0);
    wanted["redis_args"] = json!(["--save", "3600", "1000"]);
    let engine = start_with(&wanted, Clock::driven(START_MS));
    let mut client = engine.client();
    client.fill("k", 10, "v");
    failpoint::arm("durable.written=error:ENOSPC").unwrap();
    assert_eq!(client.command(&["FLUSHALL"]), "+OK");
    failpoint::arm("").unwrap();
    assert_eq!(engine.wait_event(|it| it["name"] == "save_failed")["fields"]["code"], "DISK_FULL");
    wait_until("the counter", || engine.stats()["dirty"] == 20);
}

#[test]
fn a_stop_without_a_word_saves_if_save_points_are_configured() {
    let _turn = turn();
    for (points, is_saved) in [("3600 1000", true), ("", false)] {
        let dir = Dir::new();
        let mut wanted = options(&dir.0);
        wanted["redis_args"] = json!(["--save", points]);
        let engine = start_with(&wanted, Clock::system());
        engine.client().fill("k", 1, "v");
        engine.end_of(engine.handle.stop(None)).unwrap();
        assert_eq!(has_dump(&dir), is_saved, "{points:?}");
    }
}

#[test]
fn two_stops_do_not_wait_for_one_another() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let marker = hold(&dir, "snapshot.child_started");
    let cut = engine.handle.cut(dir.file("a.rdb"), String::new());
    wait_held(&marker);
    let stops = [engine.handle.stop(Some(false)), engine.handle.stop(Some(false))];
    stops.iter().for_each(|stop| drop(engine.end_of(*stop).unwrap()));
    assert!(engine.end_of(cut).is_err());
    let_go(&marker);
    assert!(!engine.has_event(|event| event["name"] == "stop_left_jobs"));
}

#[test]
fn loaded_keys_begin_to_be_idle_when_they_are_loaded() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_with(&options(&dir.0), Clock::driven(START_MS));
    let mut client = engine.client();
    client.fill("k", 1, "v");
    assert_eq!(client.command(&["DEBUG", "RELOAD"]), "+OK");
    engine.handle.shared().clock.drive_to(START_MS + 5_000);
    assert_eq!(client.command(&["OBJECT", "IDLETIME", "k:0"]), ":5");
}
