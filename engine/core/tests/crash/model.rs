//! What a client's keys must hold: commands drawn at random, a few dozen lines that know what each
//! of them does, and the same keys read from a server. Every client has keys of its own, so that its
//! state is that of a prefix of what it sent, and of one only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::harness::Random;
use crate::wire::{Reply, Wire};

/// No key of these ends during a test (2100-01-01).
const FAR_MS: i64 = 4_102_444_800_000;
/// Keys that end at once live at most so long.
pub const BRIEF_MS: usize = 15;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    List(VecDeque<String>),
    Set(BTreeSet<String>),
    Hash(BTreeMap<String, String>),
    Sorted(BTreeMap<String, i64>),
}

/// Keys of one client: value, and when it ends (-1: never).
pub type State = BTreeMap<String, (Value, i64)>;

pub type Command = Vec<String>;

/// What counts whole or not at all.
#[derive(Clone, Debug)]
pub struct Unit {
    pub commands: Vec<Command>,
    pub is_transaction: bool,
    /// It begins with `INCR <client>:count`.
    pub is_counting: bool,
}

fn words(parts: &[&str]) -> Command {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// The key that only grows.
pub fn count_key(client: usize) -> String {
    format!("c{client}:count")
}

/// Draw a unit of this client.
pub fn draw_unit(client: usize, draw: &mut Random) -> Unit {
    let count = words(&["INCR", &count_key(client)]);
    match draw.below(10) {
        0 | 1 => Unit { commands: vec![count], is_transaction: false, is_counting: true },
        2 | 3 => {
            let mut commands = vec![count];
            (0..draw.below(5)).for_each(|_| commands.push(draw_command(client, draw)));
            Unit { commands, is_transaction: true, is_counting: true }
        }
        _ => {
            let commands = vec![draw_command(client, draw)];
            Unit { commands, is_transaction: false, is_counting: false }
        }
    }
}

fn draw_command(client: usize, draw: &mut Random) -> Command {
    let number = draw.below(100_000).to_string();
    let member = format!("m{}", draw.below(12));
    let length = *draw.pick(&[0, 3, 30, 30, 200, 200, 1500, 9000]);
    // Zeros, too: after a power cut they look like a page that was lost.
    let long = format!("{number}:{}", draw.pick(&["x", "x", "x", "\0"]).repeat(length));
    let key = |kind: &str, which: usize| format!("c{client}:{kind}:{which}");
    let which = draw.below(4);
    let (text, other) = (key("text", which), key("text", (which + 1 + draw.below(3)) % 4));
    let (brief, float) = (key("brief", which), key("float", which));
    let (list, set, hash, sorted) =
        (key("list", which), key("set", which), key("hash", which), key("sorted", which));
    let at = (FAR_MS + draw.below(1000) as i64).to_string();
    let brief_ms = (1 + draw.below(BRIEF_MS)).to_string();
    let any = draw.pick(&[&text, &list, &set, &hash, &sorted, &float]).as_str();
    match draw.below(26) {
        0..=3 => words(&["SET", &text, &long]),
        4 => words(&["SET", &text, &number, "PXAT", &at]),
        5 => words(&["APPEND", &text, &number]),
        6 => words(&["INCRBYFLOAT", &float, "0.5"]),
        7 => words(&["DEL", any, &brief]),
        8 => words(&["PERSIST", any]),
        9 => words(&["PEXPIREAT", any, &at]),
        10 => words(&["COPY", &text, &other, "REPLACE"]),
        11 | 12 => words(&["SET", &brief, &number, "PX", &brief_ms]),
        13 => words(&["SET", &brief, &number]),
        14 => words(&["RPUSH", &list, &number, &member]),
        15 => words(&["LPUSH", &list, &long]),
        16 => words(&[*draw.pick(&["LPOP", "RPOP"]), &list]),
        17 => words(&["LTRIM", &list, "0", "9"]),
        18 => words(&["SADD", &set, &member, &number]),
        19 => words(&["SREM", &set, &member]),
        20 => words(&["SPOP", &set, "1000"]),
        21 => words(&["HSET", &hash, &member, &number]),
        22 => words(&["HINCRBY", &hash, "n", "7"]),
        23 => words(&["HDEL", &hash, &member]),
        24 => words(&["ZINCRBY", &sorted, "3", &member]),
        _ => words(&[*draw.pick(&["ZADD", "ZREM"]), &sorted, &number, &member]),
    }
}

impl Unit {
    pub fn apply(&self, state: &mut State) {
        for command in &self.commands {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            apply(state, &words);
            let is_empty = |value: &Value| match value {
                Value::Text(_) => false,
                Value::List(list) => list.is_empty(),
                Value::Set(set) => set.is_empty(),
                Value::Hash(hash) => hash.is_empty(),
                Value::Sorted(sorted) => sorted.is_empty(),
            };
            if state.get(words[1]).is_some_and(|(value, _)| is_empty(value)) {
                state.remove(words[1]);
            }
        }
    }
}

fn apply(state: &mut State, words: &[&str]) {
    let key = words[1].to_owned();
    match words {
        ["SET", _, value] => drop(state.insert(key, (Value::Text((*value).into()), -1))),
        ["SET", _, _, "PX", _] => drop(state.remove(&key)), // over before anybody looks
        ["SET", _, value, "PXAT", at] => {
            state.insert(key, (Value::Text((*value).into()), at.parse().unwrap()));
        }
        ["DEL", keys @ ..] => keys.iter().for_each(|key| drop(state.remove(*key))),
        ["PERSIST", _] => state.get_mut(&key).into_iter().for_each(|kept| kept.1 = -1),
        ["PEXPIREAT", _, at] => {
            state.get_mut(&key).into_iter().for_each(|kept| kept.1 = at.parse().unwrap());
        }
        ["COPY", from, to, _] => {
            if let Some(kept) = state.get(*from).cloned() {
                state.insert((*to).to_owned(), kept);
            }
        }
        _ => apply_to_value(state, key, words),
    }
}

fn apply_to_value(state: &mut State, key: String, words: &[&str]) {
    let empty = match words[0] {
        "RPUSH" | "LPUSH" | "LPOP" | "RPOP" | "LTRIM" => Value::List(VecDeque::new()),
        "SADD" | "SREM" | "SPOP" => Value::Set(BTreeSet::new()),
        "HSET" | "HDEL" | "HINCRBY" => Value::Hash(BTreeMap::new()),
        "ZADD" | "ZREM" | "ZINCRBY" => Value::Sorted(BTreeMap::new()),
        "INCR" | "INCRBYFLOAT" => Value::Text("0".to_owned()),
        _ => Value::Text(String::new()),
    };
    match &mut state.entry(key).or_insert((empty, -1)).0 {
        Value::Text(text) => match words {
            ["INCR", _] => *text = (text.parse::<i64>().unwrap() + 1).to_string(),
            ["INCRBYFLOAT", ..] => *text = (text.parse::<f64>().unwrap() + 0.5).to_string(),
            ["APPEND", _, more] => text.push_str(more),
            other => panic!("{other:?}"),
        },
        Value::List(list) => match words {
            ["RPUSH", _, items @ ..] => items.iter().for_each(|it| list.push_back((*it).into())),
            ["LPUSH", _, items @ ..] => items.iter().for_each(|it| list.push_front((*it).into())),
            ["LPOP", _] => drop(list.pop_front()),
            ["RPOP", _] => drop(list.pop_back()),
            ["LTRIM", ..] => list.truncate(10),
            other => panic!("{other:?}"),
        },
        Value::Set(set) => match words {
            ["SADD", _, items @ ..] => set.extend(items.iter().map(|item| (*item).to_owned())),
            ["SREM", _, item] => drop(set.remove(*item)),
            ["SPOP", ..] => set.clear(),
            other => panic!("{other:?}"),
        },
        Value::Hash(hash) => match words {
            ["HSET", _, field, value] => drop(hash.insert((*field).into(), (*value).into())),
            ["HDEL", _, field] => drop(hash.remove(*field)),
            ["HINCRBY", _, field, by] => {
                let value = hash.entry((*field).into()).or_insert("0".to_owned());
                *value = (value.parse::<i64>().unwrap() + by.parse::<i64>().unwrap()).to_string();
            }
            other => panic!("{other:?}"),
        },
        Value::Sorted(sorted) => match words {
            ["ZADD", _, score, item] => {
                sorted.insert((*item).into(), score.parse().unwrap());
            }
            ["ZINCRBY", _, by, item] => {
                *sorted.entry((*item).into()).or_default() += by.parse::<i64>().unwrap();
            }
            ["ZREM", _, items @ ..] => sorted.retain(|item, _| !items.contains(&item.as_str())),
            other => panic!("{other:?}"),
        },
    }
}

/// How far the client's counter stands.
pub fn count_of(state: &State, client: usize) -> i64 {
    match state.get(&count_key(client)) {
        Some((Value::Text(text), _)) => text.parse().unwrap(),
        _ => 0,
    }
}

/// The client's keys as the server has them.
pub fn read_state(wire: &mut Wire, client: usize) -> State {
    wire.call(&["SELECT", &database_of(client).to_string()]).unwrap();
    let keys = wire.call(&["KEYS", &format!("c{client}:*")]).unwrap().texts();
    let mut state = State::new();
    for key in keys {
        let ends = wire.call(&["PEXPIRETIME", &key]).unwrap().number();
        let kind = wire.call(&["TYPE", &key]).unwrap().text();
        let mut ask = |words: &[&str]| wire.call(words).unwrap();
        let pairs = |reply: Reply| {
            let texts = reply.texts();
            texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>()
        };
        let value = match kind.as_str() {
            "string" => Value::Text(ask(&["GET", &key]).text()),
            "list" => Value::List(ask(&["LRANGE", &key, "0", "-1"]).texts().into()),
            "set" => Value::Set(ask(&["SMEMBERS", &key]).texts().into_iter().collect()),
            "hash" => Value::Hash(pairs(ask(&["HGETALL", &key])).into_iter().collect()),
            "zset" => {
                let found = pairs(ask(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]));
                let number = |(item, score): (String, String)| (item, score.parse().unwrap());
                Value::Sorted(found.into_iter().map(number).collect())
            }
            other => panic!("{key} is a {other}"),
        };
        state.insert(key, (value, ends));
    }
    state
}

/// Clients work in several databases.
pub fn database_of(client: usize) -> usize {
    client % 3
}
