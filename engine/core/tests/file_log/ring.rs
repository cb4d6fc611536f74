//! `always` through the commit ring: what was answered stands in it or is fsynced in the file, the file
//! follows, and a ring that fails costs nothing but speed.

use perdure_engine::aof::FsyncPolicy;
use perdure_engine::aof::ring::{RING_BYTES, records};
use perdure_engine::clock::Clock;

use crate::setting::{EPOCH, Logged};
use crate::support::{PATIENCE, wait_until};

/// Write until a group went into the ring.
fn reach_ring(logged: &Logged) {
    let mut client = logged.server.connect();
    wait_until("a group goes into the ring", || {
        client.ask("SET first 1", "+OK\r\n");
        logged.ring_fsyncs() > 0
    });
}

/// Wait until the file alone holds all.
fn wait_for_file(logged: &Logged) {
    let (fsyncs, of_ring) = (logged.fsyncs(), logged.ring_fsyncs());
    wait_until("the file is fsynced", || logged.fsyncs() > fsyncs);
    assert_eq!(logged.ring_fsyncs(), of_ring, "nobody wrote meanwhile");
}

#[test]
fn what_was_answered_stands_in_the_ring_as_in_the_file() {
    let logged = Logged::start(FsyncPolicy::Always);
    reach_ring(&logged);
    wait_for_file(&logged);
    let (before, file_before) = (logged.ring_fsyncs(), logged.bytes("1").len());
    let mut client = logged.server.connect();
    for number in 0..20 {
        client.ask(&format!("SET k{number} v"), "+OK\r\n");
    }
    assert!(logged.ring_fsyncs() >= before + 15, "one for each but those of annotations");
    let (file, ring) = (logged.bytes("1"), logged.ring());
    assert_eq!(ring.len(), RING_BYTES);
    let mut held = vec![0_u8; file.len()];
    for record in records(&ring) {
        assert_eq!((record.epoch, record.seq), (EPOCH, 1));
        let at = usize::try_from(record.offset).unwrap();
        held[at..at + record.payload.len()].copy_from_slice(record.payload);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let from = file_before + 200; // the first of them may have had the file fsynced
    assert_eq!(text(&held[from..]), text(&file[from..]));
}

#[test]
fn the_ring_goes_round_and_the_file_follows() {
    let logged = Logged::start(FsyncPolicy::Always);
    reach_ring(&logged);
    let mut client = logged.server.connect();
    let value = vec![b'x'; 40_000];
    let before = logged.fsyncs();
    for _ in 0..60 {
        client.send_command(&[b"SET", b"k", &value]);
        client.expect(b"+OK\r\n");
    }
    let of_file = logged.fsyncs() - logged.ring_fsyncs();
    assert!(logged.fsyncs() - before >= 60 && of_file >= 3, "{of_file} of the file");
    assert!(logged.ring_fsyncs() >= 50);
}

#[test]
fn a_group_larger_than_the_ring_is_fsynced_in_the_file() {
    let logged = Logged::start(FsyncPolicy::Always);
    reach_ring(&logged);
    let mut client = logged.server.connect();
    let value = vec![b'x'; 2 * RING_BYTES];
    let of_ring = logged.ring_fsyncs();
    client.send_command(&[b"SET", b"large", &value]);
    client.expect(b"+OK\r\n");
    assert!(logged.ring_fsyncs() <= of_ring + 1, "an annotation at most");
    client.ask("SET small 1", "+OK\r\n");
    wait_until("small groups go into the ring again", || {
        client.ask("SET small 1", "+OK\r\n");
        logged.ring_fsyncs() > of_ring + 1
    });
}

#[test]
fn the_next_file_has_records_of_its_own() {
    let logged = Logged::start(FsyncPolicy::Always);
    reach_ring(&logged);
    logged.switch_to("2", EPOCH + 1);
    let mut client = logged.server.connect();
    wait_until("a group of the second file", || {
        client.ask("SET second 2", "+OK\r\n");
        let ring = logged.ring();
        records(&ring).iter().any(|record| (record.epoch, record.seq) == (EPOCH + 1, 2))
    });
    let (ring, file) = (logged.ring(), logged.bytes("2"));
    for record in records(&ring).iter().filter(|record| record.seq == 2) {
        let at = usize::try_from(record.offset).unwrap();
        assert_eq!(record.payload, &file[at..at + record.payload.len()]);
    }
}

/// A stop fsyncs the file as well: whoever copies the directory then has all of it.
#[test]
fn at_the_end_the_file_is_fsynced() {
    let logged = Logged::start(FsyncPolicy::Always);
    reach_ring(&logged);
    let of_file = logged.fsyncs() - logged.ring_fsyncs();
    logged.log.stop().unwrap();
    assert!(logged.fsyncs() - logged.ring_fsyncs() > of_file);
}

#[test]
fn under_other_policies_there_is_no_ring() {
    for policy in [FsyncPolicy::Everysec, FsyncPolicy::No] {
        let logged = Logged::start(policy);
        let mut client = logged.server.connect();
        client.ask("SET a 1", "+OK\r\n");
        logged.log.wait_fsynced(logged.server.shared.gate.appended(), PATIENCE).unwrap();
        assert_eq!((logged.ring_fsyncs(), logged.ring().len()), (0, 0), "{policy:?}");
    }
}

#[test]
fn a_ring_that_fails_costs_nothing_but_speed() {
    for point in ["aof.ring_write", "aof.ring_written", "aof.ring_fsynced"] {
        let logged = Logged::start(FsyncPolicy::Always);
        reach_ring(&logged);
        logged.arm(&format!("{point}=error:EIO"));
        let of_ring = logged.ring_fsyncs();
        let mut client = logged.server.connect();
        for number in 0..10 {
            client.ask(&format!("SET k{number} v"), "+OK\r\n");
        }
        logged.wait_for_event("aof_ring_failed");
        assert_eq!(logged.ring_fsyncs(), of_ring, "{point}: the file instead");
        assert!(!logged.log.has_failed() && !logged.log.needs_base(), "{point}");
        logged.disarm();
        client.ask("SET again 1", "+OK\r\n");
        assert_eq!(logged.ring_fsyncs(), of_ring, "{point}: not before the next file");
        logged.switch_to("2", EPOCH);
        wait_until("the next file has a ring", || {
            client.ask("SET again 2", "+OK\r\n");
            logged.ring_fsyncs() > of_ring
        });
    }
}

#[test]
fn without_a_place_for_the_ring_the_file_is_fsynced() {
    let logged = Logged::unbound(FsyncPolicy::Always, Clock::system());
    std::fs::create_dir(logged.directory.join("log.ring")).unwrap();
    logged.log.bind(PATIENCE).unwrap();
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    client.ask("SET a 2", "+OK\r\n");
    logged.wait_for_event("aof_ring_failed");
    assert_eq!(logged.ring_fsyncs(), 0);
    assert!(!logged.log.has_failed());
    std::fs::remove_dir(logged.directory.join("log.ring")).unwrap();
}

/// The policy is eased while the ring is ahead: the file follows all the same.
#[test]
fn the_file_follows_when_the_policy_changes() {
    let logged = Logged::start(FsyncPolicy::Always);
    reach_ring(&logged);
    let of_file = logged.fsyncs() - logged.ring_fsyncs();
    logged.log.set(crate::setting::settings(FsyncPolicy::No));
    wait_until("the file is fsynced", || logged.fsyncs() - logged.ring_fsyncs() > of_file);
}

/// Then the ring still counts: nobody may say that the log was ended in order.
#[test]
fn an_end_whose_fsync_of_the_file_fails_is_no_orderly_one() {
    let logged = Logged::start(FsyncPolicy::Always);
    reach_ring(&logged);
    logged.arm("aof.fsync=error:EIO");
    assert_eq!(logged.log.stop().unwrap_err().code, "LOG_FAILED");
}
