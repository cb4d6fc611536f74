//! A real redis-server with an append-only file, on a unix socket in a directory of its own, and
//! connections to it that give replies as the bytes that came.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CHECKER: &str = "/usr/bin/redis-check-rdb";

/// A running redis-server 7.0; killed by its process id when dropped.
pub struct Peer {
    child: Child,
    directory: PathBuf,
}

impl Peer {
    pub fn start() -> Self {
        assert!(
            Path::new(CHECKER).exists(),
            "{CHECKER} is missing: install the Debian package redis-tools (redis-server is in it)"
        );
        let name = format!("perdure-compat-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let program = directory.join("redis-server");
        if !program.exists() {
            std::os::unix::fs::symlink(CHECKER, &program).unwrap();
        }
        let child = Command::new(&program)
            .args(["--port", "0", "--save", "", "--enable-debug-command", "yes"])
            .args(["--appendonly", "yes", "--appendfsync", "no", "--hz", "10"])
            .args(["--unixsocket".as_ref(), directory.join("s").as_os_str()])
            .args(["--dir".as_ref(), directory.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    pub fn connect(&self) -> Connection {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match UnixStream::connect(self.directory.join("s")) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    return Connection { stream: BufReader::new(stream) };
                }
                Err(error) => assert!(Instant::now() < deadline, "redis-server: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What its append-only file holds after the base.
    pub fn log(&self) -> Vec<u8> {
        std::fs::read(self.directory.join("appendonlydir/appendonly.aof.1.incr.aof")).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One client of the real server.
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Call and give the reply as it came.
    pub fn call(&mut self, args: &[Vec<u8>]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).unwrap();
        let mut reply = Vec::new();
        self.read_reply(&mut reply);
        reply
    }

    fn read_reply(&mut self, reply: &mut Vec<u8>) {
        let from = reply.len();
        self.stream.read_until(b'\n', reply).unwrap();
        let line = String::from_utf8_lossy(&reply[from..]).trim_end().to_owned();
        let count = || line[1..].parse::<i64>().unwrap_or(-1);
        match line.as_bytes()[0] {
            b'$' | b'=' if count() >= 0 => {
                let mut body = vec![0; count() as usize + 2];
                self.stream.read_exact(&mut body).unwrap();
                reply.extend_from_slice(&body);
            }
            b'*' | b'~' | b'>' => (0..count()).for_each(|_| self.read_reply(reply)),
            b'%' => (0..count() * 2).for_each(|_| self.read_reply(reply)),
            _ => {}
        }
    }
}
