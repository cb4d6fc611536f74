//! A real redis-server with an append-only file, on a unix socket in a directory of its own, and
//! connections to it that take calls many at a time and give replies as the bytes that came.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use perdure_engine::effects::encode_command;

const CHECKER: &str = "/usr/bin/redis-check-rdb";
const BUFFER_BYTES: usize = 1 << 18;

/// A directory that is gone when this is dropped.
pub struct Directory(pub PathBuf);

impl Directory {
    /// A new, empty one.
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("perdure-compat-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running redis-server 7.0; killed by its process id when dropped.
pub struct Peer {
    child: Child,
    directory: Directory,
    /// How much of the append-only file was read.
    log_bytes: u64,
}

impl Peer {
    pub fn start() -> Self {
        assert!(
            Path::new(CHECKER).exists(),
            "{CHECKER} is missing: install the Debian package redis-tools (redis-server is in it)"
        );
        let directory = Directory::new();
        let program = directory.0.join("redis-server");
        if !program.exists() {
            std::os::unix::fs::symlink(CHECKER, &program).unwrap();
        }
        let child = Command::new(&program)
            .args(["--port", "0", "--save", "", "--enable-debug-command", "yes"])
            .args(["--appendonly", "yes", "--appendfsync", "no", "--hz", "10"])
            .args(["--auto-aof-rewrite-percentage", "0"])
            .args(["--unixsocket".as_ref(), directory.0.join("s").as_os_str()])
            .args(["--dir".as_ref(), directory.0.as_os_str()])
            .env("LC_ALL", "C") // what SORT ALPHA goes by
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, directory, log_bytes: 0 }
    }

    pub fn connect(&self) -> Connection {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match UnixStream::connect(self.directory.0.join("s")) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    return Connection { stream: BufReader::with_capacity(BUFFER_BYTES, stream) };
                }
                Err(error) => assert!(Instant::now() < deadline, "redis-server: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What was appended to its log since the last time.
    pub fn take_log(&mut self) -> Vec<u8> {
        let path = self.directory.0.join("appendonlydir/appendonly.aof.1.incr.aof");
        let mut file = std::fs::File::open(path).unwrap();
        file.seek(SeekFrom::Start(self.log_bytes)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        self.log_bytes += bytes.len() as u64;
        bytes
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One client of the real server.
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Send calls without waiting. The server reads on while nobody takes its replies.
    pub fn send<'a>(&mut self, calls: impl Iterator<Item = &'a [Vec<u8>]>) {
        let mut request = Vec::new();
        calls.for_each(|call| encode_command(&mut request, call));
        self.stream.get_mut().write_all(&request).unwrap();
    }

    /// The next reply as it comes.
    pub fn receive(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        let mut pieces = 1;
        while pieces > 0 {
            pieces += self.read_piece(&mut reply) - 1;
        }
        reply
    }

    /// Read a line and the text it announces; give how many replies it says are inside it.
    fn read_piece(&mut self, reply: &mut Vec<u8>) -> i64 {
        let from = reply.len();
        self.stream.read_until(b'\n', reply).unwrap();
        let line = reply[from..].trim_ascii_end();
        assert!(!line.is_empty(), "redis-server closed the connection");
        let count = || std::str::from_utf8(&line[1..]).ok().and_then(|text| text.parse().ok());
        match line[0] {
            b'$' | b'=' => {
                if let Some(length) = count().filter(|length| *length >= 0) {
                    let body = reply.len();
                    reply.resize(body + usize::try_from(length).unwrap() + 2, 0);
                    self.stream.read_exact(&mut reply[body..]).unwrap();
                }
                0
            }
            b'*' | b'~' | b'>' => count().unwrap_or(0).max(0),
            b'%' => count().unwrap_or(0) * 2,
            _ => 0,
        }
    }
}
