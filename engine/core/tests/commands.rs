//! Commands where a comparison with a real server cannot look: time that is driven, refusals while
//! the engine is loading, failed or paused, what the log gets, transactions and their framing,
//! connections.

#![allow(clippy::unwrap_used)] // a test may fail so

mod harness;

use harness::{Client, Engine, NOW_MS, set_up};
use perdure_engine::clock::Clock;
use perdure_engine::command::{Outcome, disconnect, expire_cycle};
use perdure_engine::config::{Access, Config};
use std::sync::atomic::Ordering::SeqCst;

fn outcome(client: &mut Client, line: &str) -> Outcome {
    let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
    client.call(&words).0
}

#[test]
fn a_key_is_there_until_its_instant_has_passed() {
    let (engine, mut client) = set_up();
    client.run("SET k v PX 1000");
    engine.drive(1000);
    assert_eq!(client.run("GET k"), "$1 v");
    assert_eq!(client.run("PTTL k"), ":0");
    engine.drive(1);
    assert_eq!(client.run("DBSIZE"), ":1");
    assert_eq!(client.run("GET k"), "$-1");
    assert_eq!(client.run("DBSIZE"), ":0");
    assert_eq!(engine.logged().last().unwrap(), "DEL k");
    assert_eq!(engine.shared.stats.counters.expired_keys_total.load(SeqCst), 1);
}

#[test]
fn the_log_holds_instants_and_results() {
    let (engine, mut client) = set_up();
    for line in [
        "SET k v EX 10",
        "SETEX k 10 v",
        "EXPIRE k 20",
        "PEXPIRE k 30000 GT",
        "GETEX k PX 5",
        "GETEX k PERSIST",
        "INCRBYFLOAT f 0.5",
        "GETSET k w",
        "SET k v GET KEEPTTL",
        "GETDEL k",
        "EXPIRE f -1",
        "SET k v XX",
        "GET k",
    ] {
        client.run(line);
    }
    let expected = [
        "SELECT 0",
        &format!("SET k v PXAT {}", NOW_MS + 10_000),
        &format!("SET k v PXAT {}", NOW_MS + 10_000),
        &format!("PEXPIREAT k {}", NOW_MS + 20_000),
        &format!("PEXPIREAT k {} GT", NOW_MS + 30_000),
        &format!("PEXPIREAT k {}", NOW_MS + 5),
        "PERSIST k",
        "SET f 0.5 KEEPTTL",
        "SET k w",
        "SET k v KEEPTTL",
        "DEL k",
        "DEL f",
    ];
    assert_eq!(engine.logged(), expected);
}

#[test]
fn a_unit_of_several_effects_is_framed_and_one_alone_is_not() {
    let (engine, mut client) = set_up();
    for line in
        ["MULTI", "SET a 1", "SELECT 3", "SET b 2", "EXEC", "MULTI", "INCR b", "GET b", "EXEC"]
    {
        client.run(line);
    }
    let framed = ["MULTI", "SELECT 0", "SET a 1", "SELECT 3", "SET b 2", "EXEC", "INCR b"];
    assert_eq!(engine.logged(), framed);
    client.run("PEXPIRE b 5");
    engine.drive(6);
    client.run("APPEND b x");
    assert_eq!(engine.logged()[8..], ["MULTI", "DEL b", "APPEND b x", "EXEC"]);
}

#[test]
fn exec_is_aborted_by_a_refused_command_and_not_by_a_failed_one() {
    let (_engine, mut client) = set_up();
    client.run("MULTI");
    assert!(client.run("NOSUCH x").starts_with("-ERR unknown command 'NOSUCH', with args"));
    assert_eq!(client.run("SET k v"), "+QUEUED");
    assert!(client.run("EXEC").starts_with("-EXECABORT Transaction discarded because of previous"));
    client.run("MULTI");
    client.run("SET k text");
    client.run("INCR k");
    client.run("SET k 2");
    assert_eq!(client.run("EXEC"), "*3 +OK -ERR value is not an integer or out of range +OK");
    assert_eq!(client.run("SAVE x"), "-ERR wrong number of arguments for 'save' command");
    client.run("MULTI");
    assert_eq!(client.run("SAVE"), "-ERR Command not allowed inside a transaction");
    assert!(client.run("EXEC").starts_with("-EXECABORT"));
}

#[test]
fn watch_notices_every_kind_of_change() {
    for change in
        ["SET k w", "DEL k", "EXPIRE k 100", "FLUSHALL", "SWAPDB 0 1", "RENAME k x", "APPEND k x"]
    {
        let (engine, mut client) = set_up();
        let mut other = engine.client(2);
        client.run("SET k v");
        client.run("WATCH k");
        other.run(change);
        client.run("MULTI");
        client.run("SET done 1");
        assert_eq!(client.run("EXEC"), "*-1", "{change}");
    }
    let (engine, mut client) = set_up();
    let mut other = engine.client(2);
    client.run("SET k v");
    for (watching, between) in
        [("WATCH k", "SET other 1"), ("WATCH k", "GET k"), ("UNWATCH", "SET k w")]
    {
        client.run(watching);
        other.run(between);
        client.run("MULTI");
        client.run("PING");
        assert_eq!(client.run("EXEC"), "*1 +PONG", "{between}");
    }
}

#[test]
fn watch_notices_a_key_that_ends_but_not_one_that_had_ended() {
    let (engine, mut client) = set_up();
    client.run("SET k v PX 10");
    client.run("WATCH k");
    client.run("MULTI");
    client.run("PING");
    engine.drive(11);
    assert_eq!(client.run("EXEC"), "*-1");
    client.run("SET k v PX 10");
    engine.drive(11);
    client.run("WATCH k");
    let mut other = engine.client(2);
    assert_eq!(other.run("GET k"), "$-1");
    client.run("MULTI");
    client.run("PING");
    assert_eq!(client.run("EXEC"), "*1 +PONG");
}

#[test]
fn a_disconnected_client_leaves_nothing_behind() {
    let (engine, mut client) = set_up();
    client.run("WATCH k");
    disconnect(&mut engine.shared.state.lock(), &mut client.session);
    assert!(engine.shared.state.lock().clients.is_empty());
    assert!(client.session.watched.is_empty());
}

#[test]
fn the_cycle_deletes_what_is_due_and_logs_it() {
    let (engine, mut client) = set_up();
    for number in 0..50 {
        client.run(&format!("SET k{number} v PX 10"));
    }
    client.run("SET stays v");
    engine.drive(11);
    let now_ms = engine.shared.clock.unix_ms();
    let cycle =
        |max: usize| expire_cycle(&mut engine.shared.state.lock(), &engine.shared, now_ms, max);
    assert_eq!(cycle(20), 20);
    assert_eq!(cycle(100), 30);
    assert_eq!(cycle(100), 0);
    assert_eq!(client.run("DBSIZE"), ":1");
    assert_eq!(engine.logged().iter().filter(|line| line.starts_with("DEL k")).count(), 50);
}

#[test]
fn while_writes_are_paused_reads_go_on_and_expired_keys_stay() {
    let (engine, mut client) = set_up();
    client.run("SET k v PX 10");
    client.run("MULTI");
    client.run("SET k w");
    engine.drive(11);
    engine.shared.state.lock().are_writes_paused = true;
    assert_eq!(outcome(&mut client, "EXEC"), Outcome::WritesPaused);
    let mut other = engine.client(2);
    assert_eq!(outcome(&mut other, "SET k x"), Outcome::WritesPaused);
    assert_eq!(other.run("GET k"), "$-1");
    assert_eq!(other.run("DBSIZE"), ":1");
    let now_ms = engine.shared.clock.unix_ms();
    assert_eq!(expire_cycle(&mut engine.shared.state.lock(), &engine.shared, now_ms, 10), 0);
    engine.shared.state.lock().are_writes_paused = false;
    assert_eq!(client.run("EXEC"), "*1 +OK");
    assert_eq!(other.run("GET k"), "$1 w");
}

#[test]
fn while_loading_only_what_needs_no_data_runs() {
    let (engine, mut client) = set_up();
    client.run("MULTI");
    client.run("GET k");
    engine.shared.stats.is_loading.store(true, SeqCst);
    let mut other = engine.client(2);
    let loading = "LOADING Redis is loading the dataset in memory";
    for line in ["GET k", "SET k v", "PING", "DBSIZE"] {
        assert_eq!(other.run(line), format!("-{loading}"), "{line}");
    }
    assert!(other.run("INFO persistence").contains("loading:1"));
    assert_eq!(other.run("SELECT 1"), "+OK");
    assert_eq!(
        client.run("EXEC"),
        format!("-EXECABORT Transaction discarded because of: {loading}")
    );
}

#[test]
fn writes_are_refused_after_a_failed_save_or_log() {
    let (engine, mut client) = set_up();
    engine.shared.state.lock().save.is_last_bgsave_failed = true;
    assert_eq!(client.run("SET k v"), "+OK"); // no save points: nobody counts on a save
    engine.shared.state.lock().config.save = vec![(60, 1)];
    for line in ["SET k v", "PING", "DEL k"] {
        assert!(client.run(line).starts_with("-MISCONF Redis is configured to save RDB"), "{line}");
    }
    assert_eq!(client.run("GET k"), "$1 v");
    client.run("CONFIG SET stop-writes-on-bgsave-error no");
    assert_eq!(client.run("SET k w"), "+OK");
    engine.log.fail();
    assert!(
        client
            .run("SET k x")
            .starts_with("-MISCONF Errors writing to the AOF file: Input/output error")
    );
    assert_eq!(client.run("GET k"), "$1 w");
    assert!(client.run("PING").starts_with("-MISCONF Errors"));
    engine.log.recover();
    assert_eq!(client.run("SET k x"), "+OK");
}

#[test]
fn client_reply_silences_what_it_says() {
    let (_engine, mut client) = set_up();
    assert_eq!(client.run("CLIENT REPLY SKIP"), "");
    assert_eq!(client.run("PING"), "");
    assert_eq!(client.run("PING"), "+PONG");
    assert_eq!(client.run("CLIENT REPLY OFF"), "");
    assert_eq!(client.run("SET k v"), "");
    assert_eq!(client.run("NOSUCH"), "");
    assert_eq!(client.run("CLIENT REPLY ON"), "+OK");
    assert_eq!(client.run("GET k"), "$1 v");
}

#[test]
fn client_kill_marks_whom_it_means() {
    let (engine, mut client) = set_up();
    let (second, third) = (engine.client(2), engine.client(3));
    assert_eq!(client.run("CLIENT KILL ID 2"), ":1");
    assert!(
        second.session.info.is_killed.load(SeqCst) && !third.session.info.is_killed.load(SeqCst)
    );
    assert_eq!(client.run("CLIENT KILL 127.0.0.1:10003"), "+OK");
    assert!(third.session.info.is_killed.load(SeqCst));
    assert_eq!(client.run("CLIENT KILL TYPE normal ID 1"), ":0");
    assert!(!client.session.is_closing);
    assert_eq!(client.run("CLIENT KILL ID 1 SKIPME no"), ":1");
    assert!(client.session.is_closing);
}

#[test]
fn client_list_has_a_line_a_client() {
    let (engine, mut client) = set_up();
    let _other = engine.client(2);
    client.run("CLIENT SETNAME tom");
    let list = client.run("CLIENT LIST");
    assert!(list.contains("id=1 addr=127.0.0.1:10001") && list.contains("name=tom"), "{list}");
    assert!(list.contains("id=2 ") && list.contains("cmd=client|list"), "{list}");
    assert!(client.run("CLIENT LIST ID 2").contains("cmd=NULL"));
}

#[test]
fn debug_is_guarded() {
    let (engine, mut client) = set_up();
    assert!(
        client
            .run("DEBUG DIGEST")
            .starts_with("-ERR DEBUG command not allowed. If the enable-debug")
    );
    engine.shared.state.lock().config.enable_debug_command = perdure_engine::config::Access::Local;
    assert_eq!(client.run("DEBUG DIGEST"), format!("+{}", "0".repeat(40)));
    assert_eq!(client.run("DEBUG SET-ACTIVE-EXPIRE 0"), "+OK");
    assert!(!engine.shared.state.lock().is_active_expire_on);
}

#[test]
fn scan_and_randomkey_meet_every_living_key() {
    let (engine, mut client) = set_up();
    for number in 0..500 {
        client.run(&format!("SET k{number} v"));
        client.run(&format!("SET gone{number} v PX 1"));
    }
    engine.drive(2);
    let (mut cursor, mut found) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = client.run(&format!("SCAN {cursor} COUNT 7"));
        let words: Vec<&str> = reply.split(' ').collect();
        cursor = words[2].to_owned();
        found.extend(words[4..].iter().filter(|word| word.starts_with('k')).map(|w| w.to_string()));
        assert!(!reply.contains("gone"));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found.len(), 500);
    assert_eq!(client.run("DBSIZE"), ":500");
    assert!(client.run("RANDOMKEY").contains(" k"));
    client.run("FLUSHALL ASYNC");
    assert_eq!(client.run("RANDOMKEY"), "$-1");
}

#[test]
fn info_takes_several_sections_and_has_what_exporters_read() {
    let (_engine, mut client) = set_up();
    client.run("SET k v EX 10");
    let info = client.run("INFO keyspace CLIENTS nosuch");
    assert!(info.contains("# Clients") && info.contains("connected_clients:1"), "{info}");
    assert!(
        info.contains("db0:keys=1,expires=1,avg_ttl=10000") && !info.contains("# Memory"),
        "{info}"
    );
    let all = client.run("INFO");
    for field in [
        "redis_version:7.0.15",
        "uptime_in_seconds:",
        "used_memory:",
        "rdb_last_save_time:",
        "rdb_changes_since_last_save:1",
        "rdb_last_bgsave_status:ok",
        "total_commands_processed:",
        "latest_fork_usec:",
        "role:master",
        "used_cpu_sys:",
    ] {
        assert!(all.contains(field), "{field}");
    }
    assert!(!all.contains("# Commandstats") && client.run("INFO all").contains("# Commandstats"));
}

#[test]
fn reset_brings_a_connection_back_to_its_first_state() {
    let (_engine, mut client) = set_up();
    for line in ["HELLO 3", "SELECT 2", "CLIENT SETNAME x", "WATCH k", "MULTI"] {
        client.run(line);
    }
    assert_eq!(client.run("RESET"), "+RESET");
    assert_eq!(client.run("CLIENT GETNAME"), "$-1");
    assert_eq!(client.run("EXEC"), "-ERR EXEC without MULTI");
    assert_eq!((client.session.db, client.session.watched.len()), (0, 0));
}

#[test]
fn a_background_save_asked_for_inside_exec_waits_for_its_end() {
    let (engine, mut client) = set_up();
    for line in ["MULTI", "SET a 1", "BGSAVE", "SET b 2"] {
        client.run(line);
    }
    assert_eq!(client.run("EXEC"), "*3 +OK +Background saving scheduled +OK");
    let state = engine.shared.state.lock();
    assert!(state.save.child.is_none(), "a fork here would show half of the transaction");
    assert!(state.save.is_bgsave_scheduled);
}

#[test]
fn a_queue_counts_what_it_takes_and_a_spoilt_one_takes_nothing() {
    let (_engine, mut client) = set_up();
    client.run("MULTI");
    client.call(&[b"MGET".to_vec(), vec![], vec![], vec![]]);
    let queued = client.session.transaction.as_ref().unwrap();
    assert!(queued.bytes >= 4 * 24, "empty arguments are not free: {} bytes", queued.bytes);
    client.run("NOSUCH");
    assert_eq!(client.run("SET k v"), "+QUEUED");
    assert_eq!(client.session.transaction.as_ref().unwrap().commands.len(), 1);
    assert!(client.run("EXEC").starts_with("-EXECABORT"));
}

#[test]
fn watched_keys_are_counted_once_and_forgotten_with_their_bytes() {
    let (_engine, mut client) = set_up();
    let mut call = vec![b"WATCH".to_vec()];
    call.extend((0..50_000).map(|number| number.to_string().into_bytes()));
    client.call(&call);
    let bytes = client.session.watched_bytes;
    client.call(&call);
    assert_eq!((client.session.watched.len(), client.session.watched_bytes), (50_000, bytes));
    client.run("UNWATCH");
    assert_eq!((client.session.watched.len(), client.session.watched_bytes), (0, 0));
    client.session.watched_bytes = perdure_engine::limits::QUERY_BUFFER_BYTES_MAX;
    assert_eq!(client.run("WATCH k"), "-ERR too many keys are watched");
}

#[test]
fn a_reply_past_its_bound_is_given_up() {
    let (_engine, mut client) = set_up();
    client.run("SETRANGE k 999 x");
    client.reply.bytes_max = 10_000;
    let mut call = vec![b"MGET".to_vec()];
    call.resize(1_000, b"k".to_vec());
    let (_, bytes) = client.call(&call);
    assert!(client.reply.is_overfull() && bytes.len() <= 10_050, "{} bytes", bytes.len());
}

#[test]
fn debug_sleep_takes_no_number_for_none_and_reload_waits_for_the_load() {
    let (engine, mut client) = set_up();
    engine.shared.state.lock().config.enable_debug_command = Access::Yes;
    assert_eq!(client.run("DEBUG SLEEP nan"), "+OK");
    assert_eq!(client.run("DEBUG SLEEP -1"), "+OK");
    engine.shared.stats.is_loading.store(true, SeqCst);
    let refused = client.run("DEBUG RELOAD");
    assert!(refused.starts_with("-ERR the engine has not loaded"), "{refused}");
}

#[test]
fn a_relative_dir_goes_on_from_the_directory_in_force() {
    let (engine, mut client) = set_up();
    let base = std::env::temp_dir().join(format!("perdure-dir-{}", std::process::id()));
    std::fs::create_dir_all(base.join("inner")).unwrap();
    {
        let mut state = engine.shared.state.lock();
        state.config.enable_protected_configs = Access::Yes;
        state.config.dir = base.clone();
    }
    assert_eq!(client.run("CONFIG SET dir inner"), "+OK");
    assert_eq!(engine.shared.state.lock().config.dir, base.join("inner"));
    assert!(client.run("CONFIG SET dir nowhere").contains("No such file or directory"));
    std::fs::remove_dir_all(&base).unwrap();
}

#[test]
fn more_clients_than_the_system_gives_room_for_are_refused_with_all_else() {
    let (engine, mut client) = set_up();
    let reply = client.run("CONFIG SET hz 77 maxclients 4294967295 timeout 5");
    let refusal = "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating \
        system is not able to handle the specified number of clients, try with ";
    assert!(reply.starts_with(refusal), "{reply}");
    let config = engine.shared.state.lock().config.clone();
    assert_eq!((config.hz, config.timeout, config.maxclients), (10, 0, 10_000));
    assert_eq!(client.run("CONFIG SET hz 77 maxclients 10"), "+OK");
}

#[test]
fn time_is_told_to_the_microsecond() {
    let engine = Engine::new(Config::redis_defaults(), Clock::system());
    let client = &mut engine.client(1);
    // Each call has one chance in a thousand to look like a time in milliseconds.
    let is_finer =
        |_| client.run("TIME").split(' ').next_back().is_some_and(|it| !it.ends_with("000"));
    assert!((0..100).any(is_finer));
    let mut driven = Engine::driven().client(1);
    assert_eq!(driven.run("TIME"), "*2 $7 1000000 $1 0");
}
