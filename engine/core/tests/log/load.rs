//! Clients that write at random while something else goes on: every type, transactions, several
//! databases, and commands whose effect is not what was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::running::Client;

/// Running clients.
pub struct Load {
    must_end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Load {
    /// Start them.
    pub fn start(port: u16, clients: u64) -> Self {
        let must_end = Arc::new(AtomicBool::new(false));
        let threads = (0..clients).map(|number| {
            let must_end = Arc::clone(&must_end);
            std::thread::spawn(move || run(port, number, &must_end))
        });
        Self { threads: threads.collect(), must_end }
    }

    /// End them; gives how many commands they made.
    pub fn end(self) -> u64 {
        self.must_end.store(true, Ordering::Release);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

fn run(port: u16, number: u64, must_end: &AtomicBool) -> u64 {
    let mut client = Client::connect(port);
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut made = 0;
    while !must_end.load(Ordering::Acquire) {
        // A pipeline, as one write.
        let mut lines = String::new();
        for _ in 0..16 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            lines.push_str(&line(random));
        }
        client.send_raw(lines.as_bytes());
        for _ in lines.lines() {
            let reply = client.receive();
            assert!(!reply.starts_with("-MISCONF"), "{reply}");
            if let Some(count) = reply.strip_prefix('*') {
                (0..count.parse::<i64>().unwrap()).for_each(|_| drop(client.receive()));
            }
            made += 1;
        }
    }
    made
}

fn line(random: u64) -> String {
    let key = (random >> 8) % 400;
    let value = random >> 20;
    let db = (random >> 4) % 3;
    match random % 16 {
        0 => format!("SELECT {db}\n"),
        1 => format!("INCRBYFLOAT float:{key} 0.{value}\n"),
        2 => format!("RPUSH list:{key} {value} b {key}\n"),
        3 => format!("SADD set:{key} {value} {key} x\n"),
        4 => format!("SPOP set:{key}\n"),
        5 => format!("HSET hash:{key} f{} {value}\n", value % 200),
        6 => format!("ZADD zset:{key} {} m{}\n", value % 1000, value % 100),
        7 => format!("DEL list:{key} set:{}\n", key + 1),
        8 => format!("MULTI\nINCR count:{key}\nLPUSH list:{key} in-multi\nEXEC\n"),
        9 => format!("SET string:{key} {value} PX 100000000\n"),
        10 => format!("RENAME string:{key} string:{}\n", key + 1),
        11 => format!("GETEX string:{key} PERSIST\n"),
        12 => format!("COPY hash:{key} hash:{} REPLACE\n", key / 2),
        13 => format!("APPEND string:{key} {value}\n"),
        _ => format!("SET string:{key} value-{value}-{}\n", "x".repeat((value % 200) as usize)),
    }
}
