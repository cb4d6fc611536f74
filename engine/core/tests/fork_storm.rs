//! 300 forks while RESP clients are busy and other threads allocate: no hang, no lost reply, no
//! failed child. The test's allocator ends any process but this one that allocates, so that a child
//! which breaks I1 is seen at once and not only when it happens to hang.

#![allow(clippy::unwrap_used)] // what fails in a test ends it

mod running;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread::JoinHandle;

use running::{Client, Dir, start};

const FORKS: usize = 300;
const KEYS: usize = 20_000;

/// The process that may allocate; 0 while everybody may.
static OWNER: AtomicI32 = AtomicI32::new(0);

struct OwnersOnly;

#[allow(unsafe_code)] // an allocator is unsafe by nature; it only adds a check to the system's
// SAFETY: everything is handed to `System` as it came.
unsafe impl GlobalAlloc for OwnersOnly {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let owner = OWNER.load(Ordering::Relaxed);
        // SAFETY: plain integers; the layout is the caller's.
        unsafe {
            if owner != 0 && libc::getpid() != owner {
                libc::_exit(99);
            }
            System.alloc(layout)
        }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: OwnersOnly = OwnersOnly;

/// Threads that allocate and free without a pause, so that a fork often finds the allocator's locks
/// taken.
fn allocate(is_over: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let is_over = Arc::clone(is_over);
    std::thread::spawn(move || {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        let mut rounds = 0u64;
        while !is_over.load(Ordering::Relaxed) {
            rounds += 1;
            let size = 1usize << (rounds % 21);
            kept.push(vec![1; size]);
            if kept.len() > 64 {
                kept.swap_remove((rounds % 64) as usize);
            }
        }
        rounds
    })
}

/// A client that pipelines and checks every reply.
fn talk(
    port: u16,
    name: usize,
    is_over: &Arc<AtomicBool>,
    replies: &Arc<AtomicU64>,
) -> JoinHandle<()> {
    let (is_over, replies) = (Arc::clone(is_over), Arc::clone(replies));
    std::thread::spawn(move || {
        let mut client = Client::connect(port);
        let mut count = 0u64;
        while !is_over.load(Ordering::Relaxed) {
            let mut batch = String::new();
            for number in 0..16 {
                batch.push_str(&format!("INCR n:{name}\r\nSET k:{number} v{name}\r\nGET miss\r\n"));
            }
            client.send_raw(batch.as_bytes());
            for _ in 0..16 {
                count += 1;
                assert_eq!(client.receive(), format!(":{count}"), "no reply lost or doubled");
                assert_eq!(client.receive(), "+OK");
                assert_eq!(client.receive(), "(nil)");
            }
            replies.fetch_add(48, Ordering::Relaxed);
        }
    })
}

#[test]
fn three_hundred_forks_under_load_lose_nothing() {
    OWNER.store(std::process::id() as i32, Ordering::Relaxed);
    let dir = Dir::new();
    let engine = start(&dir);
    engine.client().fill("k", KEYS, "some-value-of-a-usual-length");
    let is_over = Arc::new(AtomicBool::new(false));
    let replies = Arc::new(AtomicU64::new(0));
    let allocators: Vec<_> = (0..3).map(|_| allocate(&is_over)).collect();
    let port = engine.handle.ports().0;
    let clients: Vec<_> = (0..4).map(|name| talk(port, name, &is_over, &replies)).collect();
    let mut forks = Vec::new();
    for number in 0..FORKS {
        let path = dir.file(&format!("{number}.rdb"));
        let cut = engine.end_of(engine.handle.cut(path.clone(), "storm".to_owned())).unwrap();
        assert!(cut["keys"].as_u64().unwrap() >= KEYS as u64);
        forks.push(cut["fork_seconds"].as_f64().unwrap());
        if number % 50 == 0 {
            engine.end_of(engine.handle.verify(path.clone())).unwrap();
        }
        std::fs::remove_file(path).unwrap();
    }
    let stats = engine.stats();
    is_over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(allocators.into_iter().all(|thread| thread.join().unwrap() > 0));
    assert!(replies.load(Ordering::Relaxed) > 0);
    assert_eq!(stats["fork_histogram"]["cut"]["count"], FORKS);
    assert_eq!(dir.names(), Vec::<String>::new());
    forks.sort_by(f64::total_cmp);
    println!(
        "forks: median {:.6} s, worst {:.6} s; replies {}",
        forks[FORKS / 2],
        forks[FORKS - 1],
        replies.load(Ordering::Relaxed)
    );
}
