//! A real server on a free port and plain sockets that speak RESP, for the tests of this directory.
//! Nothing here sleeps to prove that something did NOT happen: [`Server::pass_a_turn`] waits until
//! the loop has finished the turn under way, after which whatever was to be sent has been sent.
#![allow(dead_code)] // each test binary uses a part of it

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use perdure_engine::aof::held::HeldLog;
use perdure_engine::clock::Clock;
use perdure_engine::config::Config;
use perdure_engine::server::{self, RespDoor};
use perdure_engine::state::Shared;

/// Patience of every poll: only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running RESP door over an empty keyspace.
pub struct Server {
    pub shared: Arc<Shared>,
    pub address: SocketAddr,
    door: Option<RespDoor>,
}

/// Wait until `holds` does, or fail saying `what`.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(1, Clock::system(), |_| {})
    }

    pub fn start_with(io_threads: usize, clock: Clock, configure: impl Fn(&mut Config)) -> Self {
        let mut config = Config::redis_defaults();
        configure(&mut config);
        let shared = Arc::new(Shared::new(config, clock, "0".repeat(40)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let door = server::serve(&shared, vec![listener], io_threads).unwrap();
        Self { shared, address, door: Some(door) }
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Attach a log that the test holds, releases and fails.
    pub fn attach_log(&self) -> Arc<HeldLog> {
        let log = HeldLog::new(Arc::clone(&self.shared.gate));
        self.shared.state.lock().effects.attach(Some(Arc::clone(&log) as _));
        log
    }

    pub fn clients(&self) -> u64 {
        self.shared.stats.counters.clients.load(SeqCst)
    }

    /// Wait until the (only) loop has ended the turn in which it stands, flush included: a
    /// connection made now is accepted in a later turn, and its closing is seen in one later
    /// still.
    pub fn pass_a_turn(&self) {
        let before = self.clients();
        let probe = TcpStream::connect(self.address).unwrap();
        wait_until("a connection is accepted", || self.clients() > before);
        drop(probe);
        wait_until("it is seen to close", || self.clients() <= before);
    }

    pub fn stop(mut self) {
        self.door.take().unwrap().stop();
    }
}

/// A client on a plain socket.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Send one command as a multibulk request.
    pub fn send_command(&mut self, args: &[&[u8]]) {
        self.send(&encode(args));
    }

    /// Read exactly what is expected.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        let result = self.reader.read_exact(&mut got);
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(result.is_ok(), "{result:?} instead of {:?}", shown(expected));
        assert!(got == expected, "{:?} instead of {:?}", shown(&got), shown(expected));
    }

    /// Read one line, and check how it begins.
    #[track_caller]
    pub fn expect_line(&mut self, start: &str) -> String {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut self.reader, &mut line).unwrap();
        assert!(line.starts_with(start), "{line:?} instead of {start:?}");
        line
    }

    /// Send a command in one line and check its reply.
    #[track_caller]
    pub fn ask(&mut self, line: &str, expected: &str) {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send_command(&args);
        self.expect(expected.as_bytes());
    }

    /// Nothing has arrived. Meaningful after [`Server::pass_a_turn`].
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        assert!(self.reader.buffer().is_empty(), "unread: {:?}", self.reader.buffer());
        self.stream.set_nonblocking(true).unwrap();
        let result = self.reader.read(&mut [0; 64]);
        self.stream.set_nonblocking(false).unwrap();
        let kind = result.as_ref().map_err(std::io::Error::kind);
        assert_eq!(kind, Err(ErrorKind::WouldBlock), "something arrived");
    }

    /// The server closes the connection, having sent nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        match self.reader.read(&mut [0; 64]) {
            Ok(count) => assert_eq!(count, 0, "bytes before the end"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

/// One command as a multibulk request.
pub fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    perdure_engine::effects::encode_command(&mut out, args);
    out
}
