//! Two servers side by side: the real one, and ours (or, with `PERDURE_COMPAT_PEER`, a second real
//! one, which must show no difference: that tries the test itself). Runs of calls go to both at
//! once; every reply, effect and figure is compared, and what differs is kept with its history.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use perdure_engine::aof::{Gate, Log};
use perdure_engine::clock::Clock;
use perdure_engine::config::{Access, Config};

use crate::effects::{Effect, Reader, first_difference};
use crate::generator::Call;
use crate::harness::{Client, Engine, shown};
use crate::peer::{Connection, Directory, Peer};
use crate::replies::Reply;
use crate::same::is_same;

/// Calls remembered, and of these how many are shown with a difference.
const HISTORY: usize = 4000;
const SHOWN_CALLS: usize = 14;
const SHOWN_BYTES: usize = 1500;
/// Differences of one kind that are shown, and of all kinds before the run ends.
const OF_A_KIND_MAX: usize = 2;
const DIFFERENCES_MAX: usize = 24;
/// Figures of INFO that must be the same.
const FIGURES: [&str; 4] =
    ["rdb_changes_since_last_save", "keyspace_hits", "keyspace_misses", "expired_keys"];

/// Keeps what our engine would log until it is taken.
struct Tap {
    gate: Arc<Gate>,
    bytes: Mutex<Vec<u8>>,
}

impl Log for Tap {
    fn append(&self, effects: &[u8]) -> u64 {
        self.bytes.lock().extend_from_slice(effects);
        self.gate.appended()
    }
    fn ask_fsync(&self, _: u64) {}
    fn gate(&self) -> &Gate {
        &self.gate
    }
}

enum Server {
    Real(Peer),
    Ours(Engine, Arc<Tap>, #[allow(dead_code)] Directory), // (removed with it),
}

impl Server {
    fn real() -> Self {
        Self::Real(Peer::start())
    }

    fn ours() -> Self {
        let mut config = Config::redis_defaults();
        let directory = Directory::new();
        config.dir.clone_from(&directory.0);
        config.save = Vec::new();
        config.enable_debug_command = Access::Yes;
        let engine = Engine::new(config, Clock::system());
        let tap = Arc::new(Tap { gate: Arc::clone(&engine.shared.gate), bytes: Mutex::default() });
        engine.shared.state.lock().effects.attach(Some(tap.clone()));
        Self::Ours(engine, tap, directory)
    }

    /// Connect; `id` is what the real server called its client.
    fn connect(&self, id: u64) -> Side {
        match self {
            Self::Real(peer) => Side::Real(peer.connect()),
            Self::Ours(engine, ..) => Side::Ours(Box::new(engine.client(id)), VecDeque::new()),
        }
    }

    fn take_log(&mut self) -> Vec<u8> {
        match self {
            Self::Real(peer) => peer.take_log(),
            Self::Ours(_, tap, _) => std::mem::take(&mut *tap.bytes.lock()),
        }
    }
}

/// A client of one of the servers.
pub enum Side {
    Real(Connection),
    Ours(Box<Client>, VecDeque<Vec<u8>>),
}

impl Side {
    fn send(&mut self, calls: &[Call]) {
        match self {
            Self::Real(connection) => connection.send(calls.iter().map(Vec::as_slice)),
            Self::Ours(client, replies) => {
                replies.extend(calls.iter().map(|call| client.call(call).1));
            }
        }
    }

    fn receive(&mut self) -> Vec<u8> {
        match self {
            Self::Real(connection) => connection.receive(),
            Self::Ours(_, replies) => replies.pop_front().unwrap(),
        }
    }

    /// Call and wait for the reply.
    pub fn ask(&mut self, call: &[Vec<u8>]) -> Vec<u8> {
        self.send(&[call.to_vec()]);
        self.receive()
    }
}

/// The same client on both servers.
pub struct Pair {
    pub real: Side,
    pub ours: Side,
    /// What waits for EXEC, while there is a transaction.
    pub queued: Option<Vec<Call>>,
}

impl Pair {
    /// Follow the state of the transaction.
    fn note(&mut self, call: &Call, reply: &[u8]) {
        let name = call[0].to_ascii_uppercase();
        match (name.as_slice(), reply) {
            (b"MULTI", b"+OK\r\n") => self.queued = Some(Vec::new()),
            (_, b"+QUEUED\r\n") => {
                if let Some(queued) = &mut self.queued {
                    queued.push(call.clone());
                }
            }
            // An EXEC or DISCARD with a word too many is no end.
            (b"EXEC" | b"DISCARD" | b"RESET", _) if call.len() == 1 => self.queued = None,
            _ => {}
        }
    }
}

/// One call that was made.
struct Past {
    number: usize,
    who: usize,
    call: Call,
    reply: Vec<u8>,
}

/// Both servers, their clients, and what was seen.
pub struct Arena {
    servers: [Server; 2],
    readers: [Reader; 2],
    pub pairs: Vec<Pair>,
    /// Asks for figures and digests; takes no part in the calls.
    judge: Pair,
    figures_before: [Vec<i64>; 2],
    /// Hits that one side's walks through a collection cost more than the other's.
    pub extra_hits: [i64; 2],
    history: VecDeque<Past>,
    /// Calls made, and how many of them when figures and logs were last found equal.
    pub calls: usize,
    checked_calls: usize,
    differences: Vec<String>,
    kinds: HashMap<String, usize>,
}

pub fn words(line: &str) -> Call {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

impl Arena {
    pub fn new() -> Self {
        let is_peer = std::env::var_os("PERDURE_COMPAT_PEER").is_some();
        let servers = [Server::real(), if is_peer { Server::real() } else { Server::ours() }];
        let connect = || {
            let mut real = servers[0].connect(0);
            let id = String::from_utf8(real.ask(&words("CLIENT ID"))).unwrap();
            let ours = servers[1].connect(id[1..].trim_end().parse().unwrap());
            Pair { real, ours, queued: None }
        };
        let (judge, pairs) = (connect(), vec![connect(), connect()]);
        let mut arena = Self {
            servers,
            readers: Default::default(),
            pairs,
            judge,
            figures_before: Default::default(),
            extra_hits: [0; 2],
            history: VecDeque::new(),
            calls: 0,
            checked_calls: 0,
            differences: Vec::new(),
            kinds: HashMap::new(),
        };
        arena.ask_both(&words("DEBUG SET-ACTIVE-EXPIRE 0"));
        arena.begin();
        arena
    }

    /// Ask both servers the same, as the judge.
    fn ask_both(&mut self, call: &Call) -> [Vec<u8>; 2] {
        [self.judge.real.ask(call), self.judge.ours.ask(call)]
    }

    /// Whether our server knows a command.
    pub fn is_known(&mut self, name: &str) -> bool {
        let [_, ours] = self.ask_both(&words(&format!("COMMAND INFO {name}")));
        ours.len() > b"*1\r\n*-1\r\n".len()
    }

    /// Begin with both sides empty and alike, whatever happened before.
    fn begin(&mut self) {
        self.after(&words("FLUSHALL"));
    }

    /// Save and load on both sides: what was loaded is kept and encoded as there.
    pub fn reload(&mut self) {
        self.check_digest();
        self.after(&words("DEBUG RELOAD"));
        self.check_digest();
    }

    /// Reset all clients, let the judge make a call, and count from there.
    fn after(&mut self, call: &Call) {
        for pair in &mut self.pairs {
            pair.queued = None;
            for side in [&mut pair.real, &mut pair.ours] {
                assert_eq!(side.ask(&words("RESET")), b"+RESET\r\n");
            }
        }
        self.pairs[1].real.ask(&words("HELLO 3"));
        self.pairs[1].ours.ask(&words("HELLO 3"));
        let [real, ours] = self.ask_both(call).map(|reply| reply.escape_ascii().to_string());
        assert_eq!([real.as_str(), &ours], ["+OK\\r\\n"; 2], "{}", shown(call));
        for (server, reader) in self.servers.iter_mut().zip(&mut self.readers) {
            reader.effects(&server.take_log());
        }
        self.figures_before = self.figures();
        self.extra_hits = [0; 2];
        self.checked_calls = self.calls;
    }

    /// Make calls in a row and compare the replies. Gives them when all were equal.
    pub fn run(&mut self, who: usize, calls: &[Call]) {
        let pair = &mut self.pairs[who];
        pair.real.send(calls);
        pair.ours.send(calls);
        let replies: Vec<_> =
            calls.iter().map(|_| (pair.real.receive(), pair.ours.receive())).collect();
        for (call, (real, ours)) in calls.iter().zip(replies) {
            let queued = self.pairs[who].queued.take();
            let is_same = is_same(call, queued.as_deref().unwrap_or_default(), &real, &ours);
            let touched: Vec<Call> =
                queued.iter().flatten().cloned().chain([call.clone()]).collect();
            self.pairs[who].queued = queued;
            self.pairs[who].note(call, &real);
            self.remember(who, call, &real);
            if !is_same {
                self.differ(who, &touched, [&real, &ours], "the replies differ");
                return; // what follows may follow from it
            }
        }
    }

    fn remember(&mut self, who: usize, call: &Call, real: &[u8]) {
        self.calls += 1;
        let reply = real[..real.len().min(SHOWN_BYTES)].to_vec();
        self.history.push_back(Past { number: self.calls, who, call: call.clone(), reply });
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// Both replies to one call, not compared: the caller knows what they may be.
    pub fn ask(&mut self, who: usize, call: &Call) -> [Vec<u8>; 2] {
        let pair = &mut self.pairs[who];
        let replies = [pair.real.ask(call), pair.ours.ask(call)];
        pair.note(call, &replies[0]);
        self.remember(who, call, &replies[0]);
        replies
    }

    /// Keep a difference in replies, make both sides equal again and go on.
    pub fn differ(&mut self, who: usize, touched: &[Call], replies: [&[u8]; 2], why: &str) {
        let [real, ours] = replies;
        let call = touched.last().unwrap();
        let text = format!(
            "call {} by client {who}: {}: {why}\n  real: {}\n  ours: {}\nlast calls on its keys:\n{}",
            self.calls,
            cut(&shown(call)),
            cut(&real.escape_ascii().to_string()),
            cut(&ours.escape_ascii().to_string()),
            self.calls_on(touched),
        );
        let name = call[0].to_ascii_uppercase().escape_ascii().to_string();
        self.keep(&format!("{name}: {why}"), text);
    }

    fn keep(&mut self, kind: &str, text: String) {
        let seen = self.kinds.entry(kind.to_owned()).or_default();
        *seen += 1;
        if *seen <= OF_A_KIND_MAX {
            self.differences.push(text);
        }
        self.begin();
    }

    /// The last calls that share a word (a key, mostly) with the call that differs.
    fn calls_on(&self, touched: &[Call]) -> String {
        let keys: Vec<&Vec<u8>> = touched.iter().flat_map(|call| call.iter().skip(1)).collect();
        let is_near = |past: &&Past| {
            let is_flush = past.call[0].to_ascii_uppercase().starts_with(b"FLUSH");
            is_flush || past.call.iter().skip(1).any(|word| word.len() > 1 && keys.contains(&word))
        };
        let mut lines: Vec<String> =
            self.history.iter().rev().filter(is_near).take(SHOWN_CALLS).map(Past::line).collect();
        lines.reverse();
        lines.join("\n")
    }

    fn figures(&mut self) -> [Vec<i64>; 2] {
        let figures = |text: Vec<u8>| -> Vec<i64> {
            let text = String::from_utf8(text).unwrap();
            let field = |name: &&str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap().parse().unwrap()
            };
            FIGURES.iter().map(field).collect()
        };
        self.ask_both(&words("INFO everything")).map(figures)
    }

    /// Compare what both sides counted and logged since the last time.
    pub fn check(&mut self) {
        let now = self.figures();
        let before = self.figures_before.clone();
        let mut since: [Vec<i64>; 2] = std::array::from_fn(|side| {
            now[side].iter().zip(&before[side]).map(|(now, before)| now - before).collect()
        });
        since[0][1] -= self.extra_hits[0];
        since[1][1] -= self.extra_hits[1];
        let effects: [Vec<Effect>; 2] =
            std::array::from_fn(|side| self.readers[side].effects(&self.servers[side].take_log()));
        if let Some(at) = (0..FIGURES.len()).find(|at| since[0][*at] != since[1][*at]) {
            let (real, ours) = (since[0][at], since[1][at]);
            self.keep_window(FIGURES[at], &format!("real counts {real} more, ours {ours}"));
        } else if let Some(found) = first_difference(&effects[0], &effects[1]) {
            self.keep_window("the logs differ", &found);
        } else {
            self.figures_before = now;
            self.extra_hits = [0; 2];
            self.checked_calls = self.calls;
        }
    }

    fn keep_window(&mut self, kind: &str, what: &str) {
        let from = self.checked_calls;
        let window: Vec<String> =
            self.history.iter().filter(|past| past.number > from).map(Past::line).collect();
        let text = format!("after call {}: {kind}: {what}\n{}", self.calls, window.join("\n"));
        self.keep(kind, text);
    }

    /// Compare the data. Where it differs, find the keys.
    pub fn check_digest(&mut self) {
        let [real, ours] = self.ask_both(&words("DEBUG DIGEST"));
        if real == ours {
            return;
        }
        let keys = self.differing_keys();
        let calls = self.calls_on(&[keys.iter().map(|(key, _)| key.clone()).collect()]);
        let last = self.history.iter().rev().take(2).map(Past::line).collect::<Vec<_>>().join("\n");
        let keys: Vec<String> = keys.into_iter().map(|(_, shown)| shown).collect();
        let text = format!(
            "after call {}: DEBUG DIGEST\n  real: {}\n  ours: {}\n{}\nlast calls:\n{calls}\n{last}",
            self.calls,
            real.escape_ascii(),
            ours.escape_ascii(),
            keys.join("\n"),
        );
        self.keep("DEBUG DIGEST", text);
    }

    /// The keys whose values, types or expiries differ, and what each side holds.
    fn differing_keys(&mut self) -> Vec<(Vec<u8>, String)> {
        let mut found = vec![(Vec::new(), String::new())]; // stands for the command's name
        for db in 0..16 {
            self.ask_both(&words(&format!("SELECT {db}")));
            let lists = self.ask_both(&words("KEYS *"));
            let keys: BTreeSet<Vec<u8>> =
                lists.iter().flat_map(|list| Reply::parse(list).words()).collect();
            for key in keys {
                let seen = self.contents(&key);
                let is_same = seen.iter().all(|(call, [a, b])| is_same(call, &[], a, b));
                if !is_same {
                    let shown = seen.iter().filter(|(_, [a, _])| !a.starts_with(b"-")).map(
                        |(call, [a, b])| {
                            let (a, b) =
                                (a.escape_ascii().to_string(), b.escape_ascii().to_string());
                            format!(
                                "  db {db} {}\n    real: {}\n    ours: {}",
                                shown(call),
                                cut(&a),
                                cut(&b)
                            )
                        },
                    );
                    let shown = shown.collect::<Vec<_>>().join("\n");
                    found.push((key, shown));
                }
            }
        }
        self.ask_both(&words("SELECT 0"));
        found
    }

    /// What shows a key, by whatever type it has, on both sides.
    fn contents(&mut self, key: &[u8]) -> Vec<(Call, [Vec<u8>; 2])> {
        const LINES: [&str; 8] = [
            "TYPE",
            "OBJECT ENCODING",
            "PEXPIRETIME",
            "GET",
            "LRANGE 0 -1",
            "HGETALL",
            "SMEMBERS",
            "ZRANGE 0 -1 WITHSCORES",
        ];
        let calls = LINES.map(|line| {
            let mut call = words(line);
            let at = if line == "OBJECT ENCODING" { 2 } else { 1 };
            call.insert(at, key.to_vec());
            call
        });
        calls.into_iter().map(|call| (call.clone(), self.ask_both(&call))).collect()
    }

    /// Whether enough was seen.
    pub fn is_over(&self) -> bool {
        self.differences.len() >= DIFFERENCES_MAX
    }

    /// What differed.
    pub fn verdict(&self) -> Result<(), String> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let mut kinds: Vec<String> =
            self.kinds.iter().map(|(kind, seen)| format!("{seen:6} x {kind}")).collect();
        kinds.sort();
        Err(format!("{}\n\nin sum:\n{}", self.differences.join("\n\n"), kinds.join("\n")))
    }
}

impl Past {
    fn line(&self) -> String {
        let reply = self.reply[..self.reply.len().min(200)].escape_ascii();
        format!("{} client {}: {} -> {reply}", self.number, self.who, cut(&shown(&self.call)))
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_BYTES) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
