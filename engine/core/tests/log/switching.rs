//! Switching the log on and off while clients write: who is told OK has a log that is whole.

use perdure_engine::failpoint;

use crate::load::Load;
use crate::running::{Client, start_with, wait_until};
use crate::{copy_of, listed, log_files, replayed, turn, with_log, without_log};

fn set(client: &mut Client, value: &str) -> String {
    client.command(&["CONFIG", "SET", "appendonly", value])
}

#[test]
fn switched_on_under_load_the_log_holds_everything_at_the_ok() {
    let _turn = turn();
    let (dir, engine, mut client) = without_log();
    client.fill("before", 300, "value");
    let load = Load::start(engine.handle.ports().0, 3);
    assert_eq!(set(&mut client, "yes"), "+OK");
    let at_the_ok = copy_of(&dir);
    load.end();
    assert_eq!(replayed(&dir), client.digest());
    assert_eq!(listed(&dir).len(), 2);
    let redis = crate::redis_on(&at_the_ok.0);
    assert_eq!(redis.run("GET before:299\n").trim(), "value", "the first base is there at the OK");
    assert_eq!(client.info("aof_enabled"), "1");
    assert_eq!(client.command(&["CONFIG", "GET", "appendonly"]), "*2");
    assert_eq!((client.receive(), client.receive()), ("appendonly".to_owned(), "yes".to_owned()));
}

#[test]
fn off_and_on_again_under_load_keeps_the_log_true() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    let load = Load::start(engine.handle.ports().0, 3);
    for _ in 0..4 {
        assert_eq!(set(&mut client, "no"), "+OK");
        assert_eq!(set(&mut client, "no"), "+OK", "said twice");
        assert_eq!(client.info("aof_enabled"), "0");
        assert_eq!(set(&mut client, "yes"), "+OK");
        assert_eq!(set(&mut client, "yes"), "+OK", "said twice");
    }
    load.end();
    assert_eq!(replayed(&dir), client.digest());
    assert_eq!(log_files(&dir).len(), 3, "{:?}", log_files(&dir));
    assert_eq!(set(&mut client, "no"), "+OK");
    let digest = client.digest();
    assert_eq!(replayed(&dir), digest, "what was acknowledged before the OK is in the files");
    client.command(&["SET", "unlogged", "1"]);
    assert_eq!(replayed(&dir), digest, "and nothing after it");
}

#[test]
fn only_who_asked_waits() {
    let _turn = turn();
    let (dir, engine, mut client) = without_log();
    client.fill("key", 100, "value");
    let held = dir.file("held");
    failpoint::arm(&format!("snapshot.child_started=pause:{held}")).unwrap();
    client.send(&["CONFIG", "SET", "appendonly", "yes", "appendfsync", "always"]);
    client.send(&["GET", "key:1"]);
    wait_until("the child is held", || std::path::Path::new(&held).exists());
    let mut other = engine.client();
    assert_eq!(other.command(&["SET", "meanwhile", "1"]), "+OK");
    assert_eq!(other.info("aof_enabled"), "0", "not yet");
    assert_eq!(other.info("blocked_clients"), "1");
    let refused = other.command(&["CONFIG", "SET", "dir", "/tmp"]);
    assert!(refused.starts_with("-ERR CONFIG SET failed (possibly related to argument 'dir')"));
    let rewriting = other.command(&["BGREWRITEAOF"]);
    assert_eq!(rewriting, "-ERR Background append only file rewriting already in progress");
    assert!(!client.has_reply_within(std::time::Duration::from_millis(20)));
    failpoint::arm("").unwrap();
    std::fs::remove_file(&held).unwrap();
    assert_eq!((client.receive(), client.receive()), ("+OK".to_owned(), "value".to_owned()));
    other.command(&["CONFIG", "GET", "appendfsync"]);
    assert_eq!((other.receive(), other.receive()).1, "always", "set with the switch");
    assert_eq!(replayed(&dir), client.digest());
}

#[test]
fn directives_of_a_log_that_is_on_are_set_or_refused_and_kept() {
    let _turn = turn();
    let dir = crate::Dir::new();
    let conf = dir.file("redis.conf");
    std::fs::write(&conf, "# mine\n").unwrap();
    let mut options = crate::running::options(&dir.0);
    options["redis_conf"] = conf.clone().into();
    let engine = start_with(&options, perdure_engine::clock::Clock::system());
    let mut client = engine.client();
    assert!(client.command(&["DEBUG", "LOADAOF"]).starts_with("-ERR there is no append-only file"));
    assert_eq!(set(&mut client, "yes"), "+OK");
    let live = [
        ("appendfsync", "always"),
        ("aof-use-rdb-preamble", "no"),
        ("aof-timestamp-enabled", "yes"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("auto-aof-rewrite-percentage", "77"),
        ("aof-load-truncated", "no"),
        ("aof-rewrite-incremental-fsync", "no"),
    ];
    for (name, value) in live {
        assert_eq!(client.command(&["CONFIG", "SET", name, value]), "+OK", "{name}");
        client.fill(name, 10, "value");
    }
    for name in ["dir", "appendfilename", "appenddirname"] {
        let refused = client.command(&["CONFIG", "SET", name, "elsewhere"]);
        let text = format!("-ERR CONFIG SET failed (possibly related to argument '{name}')");
        assert!(refused.starts_with(&text), "{refused}");
    }
    assert_eq!(client.command(&["CONFIG", "REWRITE"]), "+OK");
    let text = std::fs::read_to_string(&conf).unwrap();
    for (name, value) in [("appendonly", "yes")].iter().chain(&live) {
        assert!(text.lines().any(|line| line == format!("{name} {value}")), "{name}: {text}");
    }
    assert_eq!(replayed(&dir), client.digest());
}

#[test]
fn while_a_child_runs_nothing_is_fsynced_if_so_asked() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    let always = ["CONFIG", "SET", "appendfsync", "always", "no-appendfsync-on-rewrite", "yes"];
    assert_eq!(client.command(&always), "+OK");
    client.fill("before", 10, "value");
    let held = dir.file("held");
    failpoint::arm(&format!("snapshot.child_started=pause:{held}")).unwrap();
    assert!(client.command(&["BGSAVE"]).starts_with("+Background"));
    wait_until("the child is held", || std::path::Path::new(&held).exists());
    failpoint::arm("aof.fsync=error:EIO").unwrap(); // would be heard of
    client.fill("meanwhile", 100, "value");
    assert_eq!(client.info("aof_last_write_status"), "ok");
    failpoint::arm("").unwrap();
    std::fs::remove_file(&held).unwrap();
    wait_until("it has ended", || client.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
    failpoint::arm("aof.fsync=error:EIO").unwrap();
    let mut other = engine.client();
    client.send(&["SET", "after", "1"]);
    wait_until("an fsync is made again", || other.info("aof_last_write_status") == "err");
    failpoint::arm("").unwrap();
    assert_eq!(client.receive(), "+OK", "by the new base");
    assert_eq!(replayed(&dir), client.digest());
}

#[test]
fn the_control_plane_switches_it_too() {
    let _turn = turn();
    let (dir, engine, mut client) = without_log();
    client.fill("key", 100, "value");
    let pairs = |value: &str| vec![("appendonly".to_owned(), value.to_owned())];
    engine.end_of(engine.handle.config_set(pairs("yes"))).unwrap();
    assert_eq!(replayed(&dir), client.digest());
    engine.end_of(engine.handle.config_set(pairs("no"))).unwrap();
    assert_eq!(client.info("aof_enabled"), "0");
}

#[test]
fn a_failure_at_each_step_leaves_it_off_and_a_second_try_succeeds() {
    let _turn = turn();
    let steps = [
        "aof.directory_created",
        "aof.before_state",
        "aof.incr_created",
        "snapshot.fork",
        "snapshot.forked",
        "snapshot.child_started",
        "snapshot.child_written",
        "snapshot.before_rename",
        "snapshot.after_rename",
        "aof.fsync",
        "aof.bound",
        "aof.base_named",
        "aof.before_manifest",
        "aof.after_manifest",
    ];
    for step in steps {
        let (dir, _engine, mut client) = without_log();
        client.fill("key", 100, "value");
        failpoint::arm(&format!("{step}=error:EIO")).unwrap();
        let load = Load::start(_engine.handle.ports().0, 2);
        let refused = set(&mut client, "yes");
        assert!(
            refused
                .starts_with("-ERR CONFIG SET failed (possibly related to argument 'appendonly')"),
            "{step}: {refused}"
        );
        load.end(); // and nobody was told MISCONF
        failpoint::arm("").unwrap();
        assert_eq!(client.info("aof_enabled"), "0", "{step}");
        assert_eq!(client.info("aof_last_write_status"), "ok", "{step}");
        assert_eq!(client.command(&["SAVE"]), "+OK", "{step}");
        assert_eq!(set(&mut client, "yes"), "+OK", "{step}");
        client.fill("later", 100, "value");
        assert_eq!(replayed(&dir), client.digest(), "{step}");
    }
}

#[test]
fn the_tutorial_s_server_keeps_the_log_in_another_place() {
    let _turn = turn();
    let dir = crate::Dir::new();
    let mut options = crate::running::options(&dir.0);
    let args = options["redis_args"].as_array_mut().unwrap();
    args.extend(["--appendfilename", "my log", "--appenddirname", "logs"].map(Into::into));
    let engine = start_with(&options, perdure_engine::clock::Clock::system());
    let mut client = engine.client();
    client.fill("key", 10, "value");
    assert_eq!(set(&mut client, "yes"), "+OK");
    let copy = copy_of(&dir);
    assert!(copy.0.join("logs/my log.manifest").exists());
    let names = ["--appendonly", "yes", "--appendfilename", "my log", "--appenddirname", "logs"];
    assert_eq!(crate::peer::Peer::start_with(&copy.0, &names).digest(), client.digest());
}
