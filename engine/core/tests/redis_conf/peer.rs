//! A real redis-server 7.0 on a configuration file: what it makes of the file, what CONFIG answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CHECKER: &str = "/usr/bin/redis-check-rdb";
const PATIENCE: Duration = Duration::from_secs(30);

/// Directives by name.
pub type Values = BTreeMap<String, String>;

/// A directory that is gone when this is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let name = format!("perdure-conf-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Write a file; gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running redis-server; killed by its process id when dropped.
pub struct Peer {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl Peer {
    /// Start on a file, or give the reason why it does not start.
    pub fn start(folder: &Folder, conf: &Path) -> Result<Self, String> {
        assert!(Path::new(CHECKER).exists(), "{CHECKER} is missing: install redis-tools");
        let (program, socket) = (folder.0.join("redis-server"), folder.0.join("s"));
        if !program.exists() {
            std::os::unix::fs::symlink(CHECKER, &program).unwrap();
        }
        let _ = std::fs::remove_file(&socket);
        let log = folder.0.join("log");
        let (out, error) = (std::fs::File::create(&log).unwrap(), log.clone());
        let error = std::fs::File::options().append(true).open(error).unwrap();
        let mut child = Command::new(&program)
            .arg(conf)
            .args(["--port", "0", "--unixsocket"])
            .arg(&socket)
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(error)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(stream) = UnixStream::connect(&socket) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return Ok(Self { child, stream: BufReader::new(stream) });
            }
            if child.try_wait().unwrap().is_some() {
                let said = std::fs::read_to_string(&log).unwrap();
                return Err(said.lines().last().unwrap_or_default().to_owned());
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Call; gives an error or status as it is, and an array's elements.
    pub fn call(&mut self, args: &[&str]) -> Vec<String> {
        let mut request = format!("*{}\r\n", args.len());
        args.iter().for_each(|arg| request += &format!("${}\r\n{arg}\r\n", arg.len()));
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        self.read()
    }

    fn read(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let line = line.trim_end();
        let count = || line[1..].parse::<usize>().unwrap();
        match line.as_bytes()[0] {
            b'$' => {
                let mut body = vec![0; count() + 2];
                self.stream.read_exact(&mut body).unwrap();
                body.truncate(count());
                vec![String::from_utf8(body).unwrap()]
            }
            b'*' => (0..count()).flat_map(|_| self.read()).collect(),
            _ => vec![line.to_owned()],
        }
    }

    /// CONFIG GET *.
    pub fn values(&mut self) -> Values {
        let all = self.call(&["CONFIG", "GET", "*"]);
        all.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
