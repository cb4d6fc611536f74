//! An engine without sockets for tests of commands: clients whose calls go straight through
//! `command::execute`, a clock that is driven or the system's, a log in memory. Uses only the
//! crate's public seams.
#![allow(dead_code)] // each test binary uses a part of it

use std::sync::Arc;

use perdure_engine::aof::held::HeldLog;
use perdure_engine::clock::Clock;
use perdure_engine::command::{self, Outcome};
use perdure_engine::config::Config;
use perdure_engine::keyspace::digest_text;
use perdure_engine::resp::{Args, Reply};
use perdure_engine::session::{ClientInfo, NO_COMMAND, Protocol, Session};
use perdure_engine::state::Shared;

/// The state and the log behind it.
pub struct Engine {
    pub shared: Arc<Shared>,
    pub log: Arc<HeldLog>,
}

impl Engine {
    pub fn new(config: Config, clock: Clock) -> Self {
        let shared = Arc::new(Shared::new(config, clock, "0".repeat(40)));
        let log = HeldLog::new(Arc::clone(&shared.gate));
        shared.state.lock().effects.attach(Some(log.clone()));
        Self { shared, log }
    }

    /// An engine whose clock stands still at 1,000,000 s until driven.
    pub fn driven() -> Self {
        let mut config = Config::redis_defaults();
        config.save = Vec::new();
        Self::new(config, Clock::driven(NOW_MS))
    }

    /// Connect a client with this number.
    pub fn client(&self, id: u64) -> Client {
        let info = Arc::new(ClientInfo {
            id,
            address: format!("127.0.0.1:{}", 10_000 + id),
            local_address: "127.0.0.1:6379".to_owned(),
            fd: 8,
            loop_index: 0,
            connected_at_ms: self.shared.clock.unix_ms(),
            active_at_ms: Default::default(),
            db: Default::default(),
            name: Default::default(),
            last_command: NO_COMMAND.into(),
            multi_queued: (-1).into(),
            is_resp3: Default::default(),
            query_bytes: Default::default(),
            output_bytes: Default::default(),
            is_killed: Default::default(),
        });
        self.shared.state.lock().clients.insert(id, info.clone());
        Client {
            shared: self.shared.clone(),
            session: Session::new(info),
            reply: Reply::new(Protocol::Resp2),
        }
    }

    /// The commands logged so far, one a line, words separated by blanks.
    pub fn logged(&self) -> Vec<String> {
        commands_of(&self.log.bytes()).iter().map(|words| shown(words)).collect()
    }

    /// Fail if an invariant of a database is broken.
    pub fn check(&self) {
        let state = self.shared.state.lock();
        for db in 0..state.keyspace.databases() {
            state.keyspace.db(db).check_invariants().unwrap();
        }
    }

    /// Changes since the last save.
    pub fn dirty(&self) -> u64 {
        self.shared.state.lock().effects.dirty
    }

    /// DEBUG DIGEST of the data, after [`Engine::check`].
    pub fn digest(&self) -> String {
        self.check();
        digest_text(&self.shared.state.lock().keyspace.digest())
    }

    pub fn drive(&self, milliseconds: i64) {
        self.shared.clock.drive_to(self.shared.clock.unix_ms() + milliseconds);
    }
}

/// A driven engine with one client.
pub fn set_up() -> (Engine, Client) {
    let engine = Engine::driven();
    let client = engine.client(1);
    (engine, client)
}

/// Run `first`, then each line, and compare its reply.
pub fn assert_replies(first: &str, cases: &[(&str, &str)]) {
    let (engine, mut client) = set_up();
    client.run(first);
    for (line, reply) in cases {
        assert_eq!(client.run(line), *reply, "{line}");
    }
    engine.check();
}

/// The bulk strings of a reply that [`Client::run`] gave.
pub fn strings(reply: &str) -> Vec<String> {
    let words: Vec<&str> = reply.split(' ').collect();
    let pairs = words.windows(2).filter(|pair| pair[0].starts_with('$'));
    pairs.map(|pair| pair[1].to_owned()).collect()
}

/// Run each line and compare how many changes it counts as.
pub fn assert_changes(cases: &[(&str, u64)]) {
    let (engine, mut client) = set_up();
    for (line, changes) in cases {
        let before = engine.dirty();
        client.run(line);
        assert_eq!(engine.dirty() - before, *changes, "{line}");
    }
}

/// Where driven clocks begin.
pub const NOW_MS: i64 = 1_000_000_000;

/// Bytes as text, for messages.
pub fn shown(words: &[Vec<u8>]) -> String {
    words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

/// One connection.
pub struct Client {
    pub shared: Arc<Shared>,
    pub session: Session,
    pub reply: Reply,
}

impl Client {
    /// Call with bytes; gives the outcome and the reply's bytes.
    pub fn call(&mut self, args: &[Vec<u8>]) -> (Outcome, Vec<u8>) {
        let buffer = args.concat();
        let mut start = 0u32;
        let ranges: Vec<(u32, u32)> = args
            .iter()
            .map(|arg| {
                let range = (start, arg.len() as u32);
                start += range.1;
                range
            })
            .collect();
        let mut state = self.shared.state.lock();
        let args = Args::new(&buffer, &ranges);
        let outcome =
            command::execute(&mut state, &self.shared, &mut self.session, &mut self.reply, args);
        (outcome, self.reply.take())
    }

    /// Call with words separated by blanks (`''` is an empty word); gives the reply as text, line
    /// ends as blanks.
    pub fn run(&mut self, line: &str) -> String {
        let words: Vec<Vec<u8>> = line
            .split(' ')
            .map(|word| if word == "''" { Vec::new() } else { word.as_bytes().to_vec() })
            .collect();
        let reply = String::from_utf8_lossy(&self.call(&words).1).into_owned();
        reply.replace("\r\n", " ").trim_end().to_owned()
    }
}

/// Cut RESP arrays of bulk strings (a log) into commands.
pub fn commands_of(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    fn line<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let line = &bytes[..end];
        *bytes = &bytes[end + 2..];
        line
    }
    fn number(line: &[u8]) -> usize {
        std::str::from_utf8(&line[1..]).unwrap().parse().unwrap()
    }
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let head = line(&mut bytes);
        if head.starts_with(b"#") {
            continue;
        }
        let words = (0..number(head)).map(|_| {
            let length = number(line(&mut bytes));
            let word = bytes[..length].to_vec();
            bytes = &bytes[length + 2..];
            word
        });
        commands.push(words.collect());
    }
    commands
}

/// Random numbers (splitmix64) from a seed that is printed and can be given: `PERDURE_TEST_SEED`.
pub struct Random(u64);

impl Random {
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }
    pub fn from_environment(test: &str) -> Self {
        let seed = std::env::var("PERDURE_TEST_SEED").ok().and_then(|text| text.parse().ok());
        // Two servers with clocks of their own are compared: the same calls at each run unless a
        // seed is given, so that a red run is about a change and not about the draw.
        let seed = seed.unwrap_or(20_261_122);
        eprintln!("{test}: PERDURE_TEST_SEED={seed}");
        Self(seed)
    }
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }
    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}
