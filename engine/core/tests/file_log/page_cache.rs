//! What of the log's file the kernel keeps in memory, asked of the kernel itself.

#![allow(unsafe_code)] // mmap and mincore: how many pages of a file are in memory

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use perdure_engine::aof::FsyncPolicy;

use crate::setting::Logged;
use crate::support::wait_until;

const MIB: usize = 1 << 20;
const PAGE_BYTES: usize = 4096;

/// How much of a file is in memory, in bytes.
fn resident_bytes(path: &Path) -> usize {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    let mut pages = vec![0_u8; length.div_ceil(PAGE_BYTES)];
    // SAFETY: a new mapping of a file that only grows, which nobody reads through it, and as many bytes
    // for the answer as it has pages.
    unsafe {
        let (access, kind) = (libc::PROT_READ, libc::MAP_SHARED);
        let at = libc::mmap(std::ptr::null_mut(), length, access, kind, file.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        assert_eq!(libc::mincore(at, length, pages.as_mut_ptr()), 0);
        libc::munmap(at, length);
    }
    pages.iter().filter(|page| **page & 1 == 1).count() * PAGE_BYTES
}

/// Whether files there are memory and nothing else.
fn is_in_memory(directory: &Path) -> bool {
    let kind = std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(directory).output();
    kind.unwrap().stdout.starts_with(b"tmpfs")
}

#[test]
fn a_log_on_the_disk_leaves_memory_but_for_its_end() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    if is_in_memory(&logged.directory) {
        println!("skipped: {} is in memory on this machine", logged.directory.display());
        return;
    }
    let mut client = logged.server.connect();
    let value = vec![b'x'; MIB];
    let write = |client: &mut crate::support::Client, count| {
        for _ in 0..count {
            client.send_command(&[b"SET", b"k", &value]);
            client.expect(b"+OK\r\n");
        }
    };
    let file = logged.directory.join("log.1.incr.aof");
    write(&mut client, 6);
    wait_until("all of a short log is in memory", || resident_bytes(&file) >= 6 * MIB);
    write(&mut client, 60);
    wait_until("its end is fsynced, and the begin has left", || resident_bytes(&file) < 12 * MIB);
    assert!(resident_bytes(&file) >= 6 * MIB, "the end stays");
    assert!(logged.bytes("1").len() > 66 * MIB, "and all of it is in the file");
}
