//! What fails leaves a log that is whole: rewrites at each step, and an fsync of the log itself,
//! after which a new base in a new epoch takes its place.

use perdure_engine::failpoint;

use crate::load::Load;
use crate::running::{Client, wait_until};
use crate::{event, listed, log_files, replayed, rewrite, turn, with_log};

#[test]
fn a_rewrite_that_fails_leaves_a_whole_log_that_goes_on() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    let steps = [
        "aof.incr_created",
        "aof.before_manifest",
        "aof.after_manifest",
        "snapshot.fork",
        "snapshot.forked",
        "snapshot.child_started",
        "snapshot.child_written",
        "snapshot.child_fsynced",
        "snapshot.before_rename",
        "snapshot.after_rename",
        "aof.base_named",
    ];
    let mut failures = 0;
    for step in steps {
        client.fill(step, 50, "value");
        failpoint::arm(&format!("{step}=error:EIO")).unwrap();
        let load = Load::start(engine.handle.ports().0, 2);
        let asked = client.command(&["BGREWRITEAOF"]);
        assert!(asked.starts_with("+Background append only file rewriting"), "{step}: {asked}");
        // BGREWRITEAOF that was only scheduled waits for nobody's failures.
        wait_until("it has failed", || {
            let failed = client.info("aof_last_bgrewrite_status") == "err";
            failed && client.info("aof_rewrite_in_progress") == "0"
        });
        load.end();
        failpoint::arm("").unwrap();
        failures += 1;
        assert_eq!(
            client.info("aof_rewrites_consecutive_failures"),
            failures.to_string(),
            "{step}"
        );
        assert_eq!(client.info("aof_last_write_status"), "ok", "{step}");
        assert_eq!(replayed(&dir), client.digest(), "{step}");
    }
    engine.wait_event(event("aof_rewrite_failed"));
    assert!(client.command(&["BGREWRITEAOF"]).starts_with("+Background"));
    wait_until("it is well", || client.info("aof_last_bgrewrite_status") == "ok");
    assert_eq!(client.info("aof_rewrites_consecutive_failures"), "0");
    assert_eq!(replayed(&dir), client.digest());
    wait_until("the history is gone", || listed(&dir).len() == 2);
    // What nobody lists was deleted when it failed, but where the test made that fail, too.
    assert!(log_files(&dir).len() < 3 + steps.len(), "{:?}", log_files(&dir));
}

#[test]
fn a_history_that_cannot_be_deleted_is_deleted_by_the_next_rewrite() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    failpoint::arm("aof.history_deleted=error:EIO").unwrap();
    rewrite(&engine, &mut client);
    engine.wait_event(event("aof_history_kept"));
    assert!(listed(&dir).iter().any(|line| line.ends_with("type h")), "{:?}", listed(&dir));
    assert_eq!(replayed(&dir), client.digest());
    failpoint::arm("").unwrap();
    rewrite(&engine, &mut client);
    wait_until("the history is gone", || listed(&dir).len() == 2);
}

fn write_until(client: &mut Client, wanted: &str) {
    wait_until("writes are answered so", || {
        client.command(&["SET", "probe", "1"]).starts_with(wanted)
    });
}

#[test]
fn after_a_failed_fsync_a_new_base_takes_the_log_s_place_by_itself() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    client.fill("before", 200, "value");
    let first = listed(&dir);
    failpoint::arm("aof.fsync=error:EIO").unwrap();
    write_until(&mut client, "-MISCONF");
    assert_eq!(client.command(&["GET", "before:7"]), "value", "reads go on");
    failpoint::arm("").unwrap();
    write_until(&mut client, "+OK");
    client.fill("after", 200, "value");
    assert_eq!(replayed(&dir), client.digest());
    let files = listed(&dir);
    assert!(files.len() == 2 && files[0] != first[0] && files[1] != first[1], "{files:?}");
    engine.wait_event(event("aof_rewrite_done"));
    // And so again, a rewrite being under way.
    let held = dir.file("held");
    failpoint::arm(&format!("aof.fsync=error:EIO;snapshot.child_started=pause:{held}")).unwrap();
    client.command(&["BGREWRITEAOF"]);
    write_until(&mut client, "-MISCONF");
    failpoint::arm("").unwrap();
    let _ = std::fs::remove_file(&held);
    write_until(&mut client, "+OK");
    client.fill("again", 200, "value");
    assert_eq!(replayed(&dir), client.digest());
}

#[test]
fn a_background_save_waits_for_the_log_s_fsync() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    client.command(&["CONFIG", "SET", "appendfsync", "no"]);
    client.fill("key", 100, "value");
    failpoint::arm("aof.fsync=error:EIO").unwrap();
    assert!(client.command(&["BGSAVE"]).starts_with("+Background saving started"));
    engine.wait_event(event("bgsave_failed"));
    assert!(!dir.0.join("dump.rdb").exists(), "it would show more than the log holds");
    failpoint::arm("").unwrap();
    write_until(&mut client, "+OK");
    wait_until("no child runs", || client.info("aof_rewrite_in_progress") == "0");
    assert_eq!(client.command(&["SAVE"]), "+OK");
    assert_eq!(replayed(&dir), client.digest());
}

#[test]
fn the_old_files_go_when_the_new_one_has_said_where_the_log_goes_on() {
    let _turn = turn();
    let (dir, _engine, mut client) = with_log();
    client.command(&["CONFIG", "SET", "aof-use-rdb-preamble", "no"]);
    client.fill("key", 100, "value");
    failpoint::arm("aof.switch=error:EIO").unwrap();
    assert!(client.command(&["BGREWRITEAOF"]).starts_with("+Background"));
    wait_until("it has failed", || client.info("aof_last_bgrewrite_status") == "err");
    assert_eq!(listed(&dir).len(), 3, "the base of before, and both incrementals");
    crate::assert_starts(&dir, 100, &client.digest(), "the new file is empty");
    failpoint::arm("").unwrap();
    write_until(&mut client, "+OK");
    // A base that says it itself need not wait for a log that cannot be written: it makes room.
    client.command(&["CONFIG", "SET", "aof-use-rdb-preamble", "yes"]);
    failpoint::arm("aof.switch=error:ENOSPC").unwrap();
    assert!(client.command(&["BGREWRITEAOF"]).starts_with("+Background"));
    wait_until("it is done", || client.info("aof_last_bgrewrite_status") == "ok");
    crate::assert_starts(&dir, 101, &client.digest(), "the new file is empty");
    failpoint::arm("").unwrap();
    write_until(&mut client, "+OK");
    client.fill("later", 100, "value");
    assert_eq!(replayed(&dir), client.digest());
}
