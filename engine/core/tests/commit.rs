//! The switch of a restore: what serves, what is on disk and who may write, on success and on a
//! failure at each step. Failpoints are armed for the whole process, so the tests of this file take
//! turns.

#![allow(clippy::unwrap_used)] // what fails in a test ends it

mod running;

use std::time::Duration;

use perdure_engine::aof::held::HeldLog;
use perdure_engine::failpoint;
use running::{Client, Dir, Engine, start, turn, wait_until};

/// An engine whose live data (`live:*`, 300 keys) differs from the staged one (`kept:*`, 200 keys).
struct Scene {
    dir: Dir,
    engine: Engine,
    client: Client,
    stage: u64,
}

fn scene() -> Scene {
    let dir = Dir::new();
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("kept", 200, "old-value");
    let path = dir.file("cut.rdb");
    let cut = engine.end_of(engine.handle.cut(path.clone(), "manual".to_owned())).unwrap();
    assert_eq!(cut["keys"], 200);
    assert_eq!(client.command(&["SAVE"]), "+OK");
    client.command(&["FLUSHALL"]);
    client.fill("live", 300, "new-value");
    let staged = engine.end_of(engine.handle.load_beside(path)).unwrap();
    assert_eq!(staged["keys"], 200);
    let stage = staged["stage"].as_u64().unwrap();
    Scene { dir, engine, client, stage }
}

impl Scene {
    fn commit(&self, safety: &str) -> u64 {
        self.engine.handle.commit(self.stage, self.dir.file(safety))
    }

    fn assert_old_data_serves(&mut self) {
        assert_eq!(self.client.command(&["DBSIZE"]), ":300");
        assert_eq!(self.client.command(&["GET", "live:7"]), "new-value");
        assert_eq!(self.client.command(&["SET", "live:7", "new-value"]), "+OK", "writes resumed");
        assert_eq!(self.engine.stats()["writes_paused"], false);
        let leftovers: Vec<String> =
            self.dir.names().into_iter().filter(|name| name.contains(".tmp-")).collect();
        assert!(leftovers.is_empty(), "{leftovers:?}");
    }
}

#[test]
fn a_commit_switches_memory_and_disk_and_keeps_the_previous_data() {
    let _turn = turn();
    let mut scene = scene();
    let mut watcher = scene.engine.client();
    watcher.command(&["WATCH", "kept:1"]);
    watcher.command(&["MULTI"]);
    watcher.command(&["SET", "mine", "1"]);

    let result = scene.engine.end_of(scene.commit("safety.rdb")).unwrap();
    assert_eq!((&result["keys"], &result["previous_keys"]), (&200.into(), &300.into()));
    assert_eq!(result["safety"]["verified"]["keys"], 300);
    assert_eq!(scene.client.command(&["DBSIZE"]), ":200");
    assert_eq!(scene.client.command(&["GET", "kept:7"]), "old-value");
    assert_eq!(watcher.command(&["EXEC"]), "*-1", "watched keys are dirtied");
    assert_eq!(scene.engine.stats()["dirty"], 0);

    // The next boot has the restored data; the safety file has what was there before.
    scene.engine.stop();
    let again = start(&scene.dir);
    assert_eq!(again.client().command(&["DBSIZE"]), ":200");
    let safety = again.handle.load_beside(scene.dir.file("safety.rdb"));
    assert_eq!(again.end_of(safety).unwrap()["keys"], 300);
}

#[test]
fn a_failure_before_the_rename_leaves_the_old_data_and_the_stage() {
    let _turn = turn();
    let mut scene = scene();
    let before = std::fs::read(scene.dir.file("dump.rdb")).unwrap();
    let steps = [
        ("durable.written", "IO_ERROR"),
        ("commit.base_written", "IO_ERROR"),
        ("commit.writes_paused", "IO_ERROR"),
        ("snapshot.forked", "IO_ERROR"),
        ("snapshot.child_started", "IO_ERROR"),
        ("snapshot.child_written", "IO_ERROR"),
        ("snapshot.child_fsynced", "IO_ERROR"),
        ("snapshot.before_rename", "IO_ERROR"),
        ("snapshot.after_rename", "IO_ERROR"),
        ("commit.safety_cut", "IO_ERROR"),
        ("commit.before_rename", "IO_ERROR"),
    ];
    for (number, (name, code)) in steps.iter().enumerate() {
        failpoint::arm(&format!("{name}=error:EIO")).unwrap();
        let job = scene.commit(&format!("safety-{number}.rdb"));
        assert_eq!(scene.engine.code_of(job), *code, "{name}");
        failpoint::arm("").unwrap();
        scene.assert_old_data_serves();
        assert_eq!(std::fs::read(scene.dir.file("dump.rdb")).unwrap(), before, "{name}");
    }
    failpoint::arm("snapshot.child_written=error:ENOSPC").unwrap();
    assert_eq!(scene.engine.code_of(scene.commit("safety-full.rdb")), "DISK_FULL");
    failpoint::arm("").unwrap();
    // The stage survived them all.
    assert_eq!(scene.engine.end_of(scene.commit("safety.rdb")).unwrap()["keys"], 200);
    assert_eq!(scene.engine.code_of(scene.commit("again.rdb")), "STAGE_NOT_FOUND");
}

#[test]
fn a_failure_after_the_rename_serves_the_new_data_and_says_so() {
    let _turn = turn();
    for name in ["commit.after_rename", "commit.before_fsync_directory"] {
        let mut scene = scene();
        failpoint::arm(&format!("{name}=error:EIO")).unwrap();
        assert_eq!(scene.engine.code_of(scene.commit("safety.rdb")), "COMMIT_NOT_DURABLE");
        failpoint::arm("").unwrap();
        assert_eq!(scene.client.command(&["DBSIZE"]), ":200");
        assert_eq!(scene.client.command(&["SET", "a", "b"]), "+OK");
        assert_eq!(scene.client.command(&["SAVE"]), "+OK");
    }
}

#[test]
fn reads_go_on_and_writes_wait_from_the_safety_cut_to_the_switch() {
    let _turn = turn();
    let mut scene = scene();
    let marker = scene.dir.file("held");
    failpoint::arm(&format!("commit.writes_paused=pause:{marker}")).unwrap();
    let job = scene.commit("safety.rdb");
    wait_until("the pause", || std::path::Path::new(&marker).exists());
    let mut writer = scene.engine.client();
    writer.send(&["SET", "written-meanwhile", "1"]);
    assert_eq!(scene.client.command(&["GET", "live:7"]), "new-value", "reads do not wait");
    assert_eq!(scene.client.command(&["DBSIZE"]), ":300");
    assert!(!writer.has_reply_within(Duration::from_millis(100)), "writes wait");
    assert_eq!(scene.engine.stats()["writes_paused"], true);
    assert_eq!(scene.engine.code_of(scene.commit("other.rdb")), "STAGE_BUSY");

    failpoint::arm("").unwrap();
    std::fs::remove_file(&marker).unwrap();
    assert_eq!(scene.engine.end_of(job).unwrap()["keys"], 200);
    assert_eq!(writer.receive(), "+OK");
    assert_eq!(scene.client.command(&["DBSIZE"]), ":201", "the write came after the switch");
}

#[test]
fn no_reply_shows_the_new_data_before_its_name_is_durable() {
    let _turn = turn();
    let mut scene = scene();
    let marker = scene.dir.file("held");
    failpoint::arm(&format!("commit.before_fsync_directory=pause:{marker}")).unwrap();
    let job = scene.commit("safety.rdb");
    wait_until("the pause", || std::path::Path::new(&marker).exists());
    scene.client.send(&["DBSIZE"]);
    assert!(!scene.client.has_reply_within(Duration::from_millis(150)));
    std::fs::remove_file(&marker).unwrap();
    scene.engine.end_of(job).unwrap();
    assert_eq!(scene.client.receive(), ":200");
}

#[test]
fn a_commit_does_not_switch_when_the_place_of_the_file_has_changed() {
    let _turn = turn();
    let mut scene = scene();
    let marker = scene.dir.file("held");
    failpoint::arm(&format!("commit.writes_paused=pause:{marker}")).unwrap();
    let job = scene.commit("safety.rdb");
    wait_until("the pause", || std::path::Path::new(&marker).exists());
    let renamed = vec![("dbfilename".to_owned(), "other.rdb".to_owned())];
    scene.engine.end_of(scene.engine.handle.config_set(renamed)).unwrap();
    failpoint::arm("").unwrap();
    std::fs::remove_file(&marker).unwrap();
    assert_eq!(scene.engine.code_of(job), "COMMIT_TARGET_CHANGED");
    scene.assert_old_data_serves();
    scene.engine.end_of(scene.commit("again.rdb")).unwrap();
    scene.engine.stop();
    assert!(scene.dir.names().contains(&"other.rdb".to_owned()));
}

#[test]
fn a_log_does_not_release_the_replies_that_a_commit_holds_back() {
    let _turn = turn();
    let mut scene = scene();
    let shared = std::sync::Arc::clone(scene.engine.handle.shared());
    let log = HeldLog::new(std::sync::Arc::clone(&shared.gate));
    shared.state.lock().effects.attach(Some(log));
    let marker = scene.dir.file("held");
    failpoint::arm(&format!("commit.before_fsync_directory=pause:{marker}")).unwrap();
    let job = scene.commit("safety.rdb");
    wait_until("the pause", || std::path::Path::new(&marker).exists());
    let mut writer = scene.engine.client();
    writer.send(&["SET", "logged", "and-released-by-the-log-at-once"]);
    scene.client.send(&["DBSIZE"]);
    assert!(!scene.client.has_reply_within(Duration::from_millis(150)));
    assert!(!writer.has_reply_within(Duration::from_millis(50)));
    std::fs::remove_file(&marker).unwrap();
    scene.engine.end_of(job).unwrap();
    assert!(scene.client.receive().starts_with(":20"));
    assert_eq!(writer.receive(), "+OK");
}

#[test]
fn a_commit_can_be_cancelled_until_the_rename() {
    let _turn = turn();
    let mut scene = scene();
    let marker = scene.dir.file("held");
    failpoint::arm(&format!("snapshot.child_written=pause:{marker}")).unwrap();
    let job = scene.commit("safety.rdb");
    wait_until("the child", || std::path::Path::new(&marker).exists());
    scene.engine.handle.cancel(job);
    assert_eq!(scene.engine.code_of(job), "CANCELLED");
    failpoint::arm("").unwrap();
    std::fs::remove_file(&marker).unwrap();
    scene.assert_old_data_serves();
    assert!(!scene.dir.names().contains(&"safety.rdb".to_owned()));
    scene.engine.end_of(scene.engine.handle.discard(scene.stage)).unwrap();
    assert_eq!(scene.engine.code_of(scene.engine.handle.discard(scene.stage)), "STAGE_NOT_FOUND");
}
