//! Replies of BGREWRITEAOF, BGSAVE and SAVE against a running child, beside a real redis-server.

use perdure_engine::failpoint;

use crate::peer::Peer;
use crate::running::{Client, Dir, wait_until};
use crate::{event, turn, with_log};

/// Calls while a rewrite runs, and while a background save runs.
const CALLS: [&[&str]; 5] = [
    &["BGREWRITEAOF"],
    &["BGSAVE"],
    &["BGSAVE", "SCHEDULE"],
    &["BGSAVE", "NOW"],
    &["BGREWRITEAOF", "NOW"],
];

/// What a real server answers to `CALLS` while the child of `begun` runs: its children write slowly.
fn of_redis(begun: &str) -> Vec<String> {
    let dir = Dir::new();
    let slow = ["--appendonly", "yes", "--rdb-key-save-delay", "10000000"];
    let peer = Peer::start_with(&dir.0, &slow);
    peer.run("SET a 1\n");
    let calls: String = CALLS.iter().map(|call| call.join(" ") + "\n").collect();
    let said = peer.run(&format!("{begun}\n{calls}"));
    let said = said.lines().filter(|line| !line.is_empty()).skip(1);
    said.map(str::to_owned).collect()
}

fn of_ours(client: &mut Client, begun: &str) -> Vec<String> {
    assert!(client.command(&[begun]).starts_with("+Background "));
    wait_until("the child runs", || {
        let fields = ["rdb_bgsave_in_progress", "aof_rewrite_in_progress"];
        fields.iter().any(|name| client.info(name) == "1")
    });
    CALLS.iter().map(|call| client.command(call)[1..].to_owned()).collect()
}

#[test]
fn calls_against_a_running_child_answer_as_redis_does() {
    let _turn = turn();
    let (dir, engine, mut client) = with_log();
    let held = dir.file("held");
    for begun in ["BGREWRITEAOF", "BGSAVE"] {
        failpoint::arm(&format!("snapshot.child_started=pause:{held}")).unwrap();
        let ours = of_ours(&mut client, begun);
        assert_eq!(ours, of_redis(begun), "while {begun} runs");
        if begun == "BGREWRITEAOF" {
            assert_eq!(client.command(&["SAVE"]), "+OK", "in the foreground, as in Redis");
        } else {
            assert_eq!(client.command(&["SAVE"]), "-ERR Background save already in progress");
        }
        failpoint::arm("").unwrap();
        let done = |client: &mut Client| {
            let fields =
                ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"];
            fields.iter().all(|name| client.info(name) == "0")
        };
        wait_until("all has ended", || {
            let _ = std::fs::remove_file(&held);
            done(&mut client)
        });
        if begun == "BGREWRITEAOF" {
            engine.wait_event(event("bgsave_done")); // was scheduled, which INFO does not tell
        }
        assert_eq!(client.info("aof_last_bgrewrite_status"), "ok");
        assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
    }
    // What was scheduled has run.
    engine.wait_event(event("aof_rewrite_done"));
}

/// Names of the fields of INFO's persistence, and the values of those that tell of the log.
fn persistence(text: &str) -> (Vec<String>, Vec<String>) {
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(':')).collect();
    let name = |line: &&str| line.split(':').next().unwrap_or("").to_owned();
    // Bytes of files, and how long a child took, are each server's own.
    let is_same = |line: &&str| {
        line.starts_with("aof_") && !["_size:", "_sec:"].iter().any(|it| line.contains(it))
    };
    let told = lines.iter().copied().filter(is_same).map(|line| line.trim_end().to_owned());
    // What a running child has copied so far is not known here.
    let names = lines.iter().map(name).filter(|name| !name.starts_with("current_cow_"));
    (names.collect(), told.collect())
}

#[test]
fn info_tells_of_the_log_as_redis_does() {
    let _turn = turn();
    let dir = Dir::new();
    let peer = Peer::start_with(&dir.0, &["--save", ""]);
    let (logged, engine, mut client) = with_log();
    let info = |peer: &Peer| peer.run("INFO persistence\n");
    peer.run("CONFIG SET appendonly yes\n");
    wait_until("it is on there", || info(&peer).contains("aof_rewrite_in_progress:0"));
    peer.run("SET a 1\nBGREWRITEAOF\n");
    client.command(&["SET", "a", "1"]);
    client.command(&["BGREWRITEAOF"]);
    engine.wait_event(event("aof_rewrite_done"));
    wait_until("all is quiet", || {
        let ours = persistence(&client.command(&["INFO", "persistence"]));
        let redis = persistence(&info(&peer));
        assert_eq!(ours.0, redis.0);
        ours.1 == redis.1
    });
    assert_eq!(client.info("mem_aof_buffer"), "0", "nothing waits");
    let size: u64 = client.info("aof_current_size").parse().unwrap();
    let files = ["base.rdb", "incr.aof"].map(|end| {
        let names = crate::log_files(&logged);
        let name = names.into_iter().find(|name| name.ends_with(end)).unwrap();
        std::fs::metadata(logged.0.join("appendonlydir").join(name)).unwrap().len()
    });
    assert_eq!(size, files.iter().sum::<u64>());
    assert_eq!(client.command(&["CONFIG", "SET", "appendonly", "no"]), "+OK");
    peer.run("CONFIG SET appendonly no\n");
    let ours = persistence(&client.command(&["INFO", "persistence"]));
    assert_eq!(ours.0, persistence(&info(&peer)).0, "without a log");
}

#[test]
fn inside_a_transaction_a_rewrite_waits_for_its_end() {
    let _turn = turn();
    let (_dir, engine, mut client) = with_log();
    client.command(&["MULTI"]);
    client.command(&["BGREWRITEAOF"]);
    client.command(&["CONFIG", "SET", "appendonly", "no"]);
    assert_eq!(client.command(&["EXEC"]), "*2");
    assert_eq!(client.receive(), "+Background append only file rewriting scheduled");
    let refused = client.receive();
    assert!(
        refused.starts_with("-ERR CONFIG SET failed (possibly related to argument 'appendonly')")
    );
    engine.wait_event(event("aof_rewrite_done"));
}
