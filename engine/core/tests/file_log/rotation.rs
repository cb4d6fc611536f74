//! Going on in another file, as a rewrite does: both are whole, offsets go on, and the new file gets
//! nothing before the old one is fsynced, so that no power cut leaves a hole.

use perdure_engine::aof::{FsyncPolicy, LogPosition};

use crate::setting::{EPOCH, Logged};
use crate::support::{PATIENCE, wait_until};

const POLICIES: [FsyncPolicy; 3] = [FsyncPolicy::Always, FsyncPolicy::Everysec, FsyncPolicy::No];

#[test]
fn files_of_an_epoch_follow_each_other_without_a_gap_and_each_is_whole() {
    for policy in POLICIES {
        let logged = Logged::start(policy);
        let mut client = logged.server.connect();
        client.ask("SELECT 5", "+OK\r\n");
        client.ask("SET a 1", "+OK\r\n");
        let position = logged.switch_to("2", EPOCH);
        client.ask("SET b 2", "+OK\r\n");
        client.ask("SET c 3", "+OK\r\n");
        logged.log.stop().unwrap();
        let (old, new) = (logged.read("1"), logged.read("2"));
        assert_eq!(old.commands, ["SELECT 5", "SET a 1"], "{policy:?}");
        assert_eq!(new.commands, ["SELECT 5", "SET b 2", "SET c 3"], "each is replayed by itself");
        let size = logged.bytes("1").len() as u64;
        assert_eq!(position, LogPosition { epoch: EPOCH, offset: size });
        for (file, start) in [(&old, 0), (&new, size)] {
            for (at, annotation) in &file.annotations {
                assert_eq!((annotation.epoch, annotation.offset), (EPOCH, start + *at as u64));
            }
            assert_eq!(file.annotations[0].0, 0);
        }
        let (_, first) = new.annotations[0];
        assert!(first.fsynced <= size, "only what is known when it is appended");
        for name in ["1", "2"] {
            let bytes = logged.bytes(name);
            let (last, _) = *logged.read(name).annotations.last().unwrap();
            assert!(bytes[last..].starts_with(b"#PD:") && bytes[last..].len() < 100, "{name}");
        }
    }
}

#[test]
fn a_new_epoch_counts_from_its_own_beginning() {
    let logged = Logged::start(FsyncPolicy::Always);
    let gate = logged.server.shared.gate.clone();
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    let before = gate.appended();
    let position = logged.switch_to("2", EPOCH + 9);
    assert_eq!(position, LogPosition { epoch: EPOCH + 9, offset: 0 });
    client.ask("SET b 2", "+OK\r\n");
    assert_eq!(gate.log_position(before).unwrap().epoch, EPOCH);
    let end = gate.log_position(gate.appended()).unwrap();
    assert_eq!(end, LogPosition { epoch: EPOCH + 9, offset: logged.bytes("2").len() as u64 });
    let annotation = logged.read("2").annotations[0].1;
    assert_eq!((annotation.epoch, annotation.offset, annotation.fsynced), (EPOCH + 9, 0, 0));
    assert_eq!(logged.read("2").commands, ["SELECT 0", "SET b 2"]);
}

#[test]
fn the_new_file_gets_nothing_before_the_old_one_is_fsynced() {
    for policy in POLICIES {
        let logged = Logged::start(policy);
        let mut client = logged.server.connect();
        client.ask("SET a 1", "+OK\r\n");
        let marker = logged.hold("aof.fsync");
        logged.switch_to("2", EPOCH);
        client.send_command(&[b"SET", b"b", b"2"]);
        logged.wait_for_commands(2);
        wait_until("the old file's fsync is held", || marker.exists());
        logged.server.pass_a_turn();
        client.expect_nothing();
        assert_eq!(logged.bytes("2"), b"", "{policy:?}");
        let old = logged.bytes("1");
        logged.let_go(&marker);
        client.expect(b"+OK\r\n");
        assert_eq!(logged.bytes("1"), old);
        assert_eq!(logged.read("2").commands, ["SELECT 0", "SET b 2"]);
    }
}

#[test]
fn many_switches_under_load_lose_and_repeat_nothing() {
    for policy in POLICIES {
        let logged = Logged::start(policy);
        let mut client = logged.server.connect();
        let (mut sent, mut names) = (0, vec!["1".to_owned()]);
        for round in 0..20 {
            for _ in 0..50 {
                client.send_command(&[b"INCR", b"n"]);
                sent += 1;
            }
            let name = format!("next-{round}");
            logged.switch_to(&name, EPOCH + round / 5);
            names.push(name);
        }
        for number in 1..=sent {
            client.expect(format!(":{number}\r\n").as_bytes());
        }
        let gate = &logged.server.shared.gate;
        logged.log.wait_fsynced(gate.appended(), PATIENCE).unwrap();
        let files = names.iter().map(|name| logged.read(name));
        let logged_increments =
            files.flat_map(|file| file.commands).filter(|it| it == "INCR n").count();
        assert_eq!(logged_increments, sent, "{policy:?}");
    }
}
