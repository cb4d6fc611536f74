//! What stands in a file of the log: effects in order, framed and with SELECT as Redis has them;
//! annotations whose offsets and checksums are exact.

use perdure_engine::aof::FsyncPolicy;
use perdure_engine::clock::Clock;
use perdure_engine::cron;

use crate::setting::{EPOCH, Logged, NOW_MS};

#[test]
fn effects_stand_in_order_with_select_and_transactions_whole() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let mut client = logged.server.connect();
    client.ask("set a 1", "+OK\r\n"); // a name is logged as it was sent
    client.send(b"SET b 2\r\n"); // an inline request is logged as a multibulk one
    client.expect(b"+OK\r\n");
    client.ask("GET a", "$1\r\n1\r\n");
    client.ask("SELECT 3", "+OK\r\n");
    client.ask("MULTI", "+OK\r\n");
    client.ask("SET c 3", "+QUEUED\r\n");
    client.ask("INCR c", "+QUEUED\r\n");
    client.ask("EXEC", "*2\r\n+OK\r\n:4\r\n");
    client.ask("DEL c", ":1\r\n");
    client.ask("DEL c", ":0\r\n");
    let expected = [
        "SELECT 0", "set a 1", "SET b 2", "MULTI", "SELECT 3", "SET c 3", "INCR c", "EXEC", "DEL c",
    ];
    assert_eq!(logged.read("1").commands, expected);
}

#[test]
fn a_command_is_logged_in_the_canonical_form_however_it_was_sent() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let mut client = logged.server.connect();
    client.send(b"*3\r.$3\r\nSET..$1\r.a\r\n$1\r\nb..");
    client.expect(b"+OK\r\n");
    let bytes = logged.bytes("1");
    assert!(bytes.ends_with(b"\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"));
}

#[test]
fn a_file_begins_with_its_position_and_has_one_a_second_while_something_is_appended() {
    let logged = Logged::unbound(FsyncPolicy::Everysec, Clock::driven(NOW_MS));
    let shared = logged.server.shared.clone();
    let mut client = logged.server.connect();
    let turn_at = |after_ms: i64| {
        shared.clock.drive_to(NOW_MS + after_ms);
        cron::turn(&shared);
    };
    turn_at(5000); // nothing was appended
    client.ask("SET a 1", "+OK\r\n");
    turn_at(5100);
    turn_at(5200); // less than a second since
    client.ask("SET a 2", "+OK\r\n");
    turn_at(6099);
    turn_at(6100);
    turn_at(9000); // nothing since
    let file = logged.read("1");
    let times: Vec<i64> = file.annotations.iter().map(|(_, it)| it.unix_ms - NOW_MS).collect();
    assert_eq!(times, [0, 5100, 6100]);
    for (at, annotation) in &file.annotations {
        assert_eq!((annotation.epoch, annotation.offset), (EPOCH, *at as u64));
        assert!(annotation.fsynced <= annotation.offset);
    }
    assert_eq!(file.annotations[0].0, 0);
    let end = logged.log.position();
    assert_eq!((end.epoch, end.offset), (EPOCH, logged.bytes("1").len() as u64));
    assert_eq!(shared.gate.log_position(shared.gate.appended()), Some(end));
    assert_eq!(logged.log.size_bytes(), end.offset);
}

#[test]
fn annotations_say_how_far_the_log_was_fsynced() {
    let logged = Logged::unbound(FsyncPolicy::Always, Clock::driven(NOW_MS));
    let shared = logged.server.shared.clone();
    logged.server.connect().ask("SET a 1", "+OK\r\n");
    let end = logged.log.position().offset;
    logged.log.wait_fsynced(shared.gate.appended(), crate::support::PATIENCE).unwrap();
    shared.clock.drive_to(NOW_MS + 1000);
    cron::turn(&shared);
    logged.log.wait_fsynced(shared.gate.appended(), crate::support::PATIENCE).unwrap();
    assert_eq!(logged.read("1").annotations[1].1.fsynced, end);
}

#[test]
fn seconds_are_named_before_the_first_command_in_them_if_asked_for() {
    let logged = Logged::unbound(FsyncPolicy::Everysec, Clock::driven(NOW_MS));
    let shared = logged.server.shared.clone();
    let mut settings = logged.log.settings();
    settings.is_timestamped = true;
    logged.log.set(settings);
    let mut client = logged.server.connect();
    for (after_ms, command) in [(0, "SET a 1"), (1000, "SET a 2"), (1999, "SET a 3"), (9000, "")] {
        shared.clock.drive_to(NOW_MS + after_ms);
        cron::turn(&shared);
        if !command.is_empty() {
            client.ask(command, "+OK\r\n");
        }
    }
    shared.log.push();
    let second = NOW_MS / 1000;
    assert_eq!(logged.read("1").times, [(0, second), (2, second + 1)]);
}

#[test]
fn a_stopped_log_ends_with_its_position_on_the_disk() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let shared = logged.server.shared.clone();
    logged.server.connect().ask("SET a 1", "+OK\r\n");
    logged.log.stop().unwrap();
    logged.log.stop().unwrap(); // a second time is no error, and adds nothing
    let (at, last) = *logged.read("1").annotations.last().unwrap();
    assert_eq!(last.offset, at as u64);
    assert_eq!(last.fsynced, last.offset, "all before it was on the disk");
    assert!(
        logged.bytes("1").ends_with(b"\r\n") && shared.gate.fsynced() == shared.gate.appended()
    );
    assert_eq!(logged.log.position().offset, logged.bytes("1").len() as u64);
    assert!(logged.bytes("1")[at..].starts_with(b"#PD:"));
}
