//! A real redis-server as a peer: started in a directory of its own on a free port, spoken to with
//! redis-cli, ended by its process id. Redis 7.0's server, client and checkers are one Debian
//! package: `redis-tools`; the server is the checker's binary under another name.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const CHECKER: &str = "/usr/bin/redis-check-rdb";
const CLIENT: &str = "/usr/bin/redis-cli";

fn require(program: &str) -> &str {
    let hint = "install the Debian package redis-tools (apt-get install redis-tools)";
    assert!(Path::new(program).exists(), "{program} is missing: {hint}");
    program
}

/// redis-check-rdb's verdict on a file.
pub fn check_rdb(path: &Path) -> Output {
    Command::new(require(CHECKER)).arg(path).output().unwrap()
}

/// A running redis-server.
pub struct Peer {
    child: Child,
    socket: PathBuf,
}

impl Peer {
    /// Start on `directory`, where it loads `dump.rdb` if there is one.
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// The same with these directives, too.
    pub fn start_with(directory: &Path, directives: &[&str]) -> Self {
        let program = directory.join("redis-server");
        if !program.exists() {
            std::os::unix::fs::symlink(require(CHECKER), &program).unwrap();
        }
        let socket = directory.join("peer.sock");
        let child = Command::new(&program)
            .args(["--port", "0", "--save", "", "--enable-debug-command", "yes"])
            .args(["--unixsocket".as_ref(), socket.as_os_str()])
            .args(["--dir".as_ref(), directory.as_os_str()])
            .args(directives)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(directory.join("peer.log")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let peer = Self { child, socket };
        let deadline = Instant::now() + Duration::from_secs(60);
        while peer.run("PING\n").trim() != "PONG" {
            let log = || std::fs::read_to_string(directory.join("peer.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "redis-server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        peer
    }

    /// Send redis-cli's input lines; gives its output.
    pub fn run(&self, lines: &str) -> String {
        let mut client = Command::new(require(CLIENT))
            .args(["-s".as_ref(), self.socket.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        // A client that ended already (no server yet) does not read: its output says so.
        let _ = std::io::Write::write_all(&mut input, lines.as_bytes());
        drop(input);
        String::from_utf8_lossy(&client.wait_with_output().unwrap().stdout).into_owned()
    }

    /// DEBUG DIGEST, lower-case hex.
    pub fn digest(&self) -> String {
        self.run("DEBUG DIGEST\n").trim().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
