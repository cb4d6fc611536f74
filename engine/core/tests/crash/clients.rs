//! Clients beside each other until the server dies: writers that keep what they sent and what they
//! were told, and readers that keep what they saw of the writers' counters.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::disk::now_ns;
use crate::harness::Random;
use crate::model::{Unit, count_key, database_of, draw_unit};
use crate::wire::{Reply, Wire, encode};

pub const WRITERS: usize = 4;
const READERS: usize = 2;
const BURST_MAX: usize = 12;
/// A life without a kill ends somewhere.
const UNITS_MAX: usize = 20_000;

/// A unit that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub at_ns: u64,
    /// What the counter stood at, if the unit counts.
    pub count: Option<i64>,
}

/// What a writer sent, and the answers, which are for the first of them.
#[derive(Debug, Default)]
pub struct Sent {
    pub units: Vec<Unit>,
    pub told: Vec<Told>,
}

/// What readers saw of a writer's counter.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub last: i64,
    /// It went back: a restore.
    pub is_restored: bool,
}

pub struct Load {
    told: Vec<Arc<AtomicUsize>>,
    writers: Vec<JoinHandle<Sent>>,
    readers: Vec<JoinHandle<Vec<Seen>>>,
    must_end: Arc<AtomicBool>,
}

impl Load {
    pub fn start(port: u16, seed: u64) -> Self {
        let told: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let must_end = Arc::new(AtomicBool::new(false));
        let writers = told.iter().enumerate().map(|(client, told)| {
            let (told, must_end) = (Arc::clone(told), Arc::clone(&must_end));
            let draw = Random::from_seed(seed.wrapping_mul(31).wrapping_add(client as u64));
            std::thread::spawn(move || {
                let mut sent = Sent::default();
                let _ = write((port, client), draw, &mut sent, &told, &must_end); // it was killed
                sent
            })
        });
        let writers = writers.collect();
        let readers = (0..READERS).map(|_| {
            let must_end = Arc::clone(&must_end);
            std::thread::spawn(move || {
                let mut seen = vec![Seen::default(); WRITERS];
                let _ = read(port, &mut seen, &must_end); // it was killed
                seen
            })
        });
        let readers = readers.collect();
        Self { told, writers, readers, must_end }
    }

    /// How much each writer was told so far.
    pub fn told(&self) -> Vec<usize> {
        self.told.iter().map(|told| told.load(Ordering::Acquire)).collect()
    }

    /// The server is dead, or nobody goes on.
    pub fn end(self) -> (Vec<Sent>, Vec<Seen>) {
        self.must_end.store(true, Ordering::Release);
        let sent = self.writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        let mut seen = vec![Seen::default(); WRITERS];
        for reader in self.readers {
            for (all, one) in seen.iter_mut().zip(reader.join().unwrap()) {
                *all = match (all.is_restored, one.is_restored) {
                    (false, true) => one,
                    (true, false) => *all,
                    _ if one.last > all.last => one,
                    _ => *all,
                };
            }
        }
        (sent, seen)
    }
}

fn write(
    (port, client): (u16, usize),
    mut draw: Random,
    sent: &mut Sent,
    told: &AtomicUsize,
    must_end: &AtomicBool,
) -> io::Result<()> {
    let mut wire = Wire::connect(port)?;
    wire.call(&["SELECT", &database_of(client).to_string()])?;
    while !must_end.load(Ordering::Acquire) && sent.units.len() < UNITS_MAX {
        let burst = if draw.one_in(2) { 1 } else { 1 + draw.below(BURST_MAX) };
        let units: Vec<Unit> = (0..burst).map(|_| draw_unit(client, &mut draw)).collect();
        let mut bytes = Vec::new();
        for unit in &units {
            encode_unit(&mut bytes, unit);
        }
        sent.units.extend(units.iter().cloned());
        wire.send(&bytes)?;
        for unit in &units {
            let count = receive_unit(&mut wire, unit)?;
            sent.told.push(Told { at_ns: now_ns(), count });
            told.store(sent.told.len(), Ordering::Release);
        }
        std::thread::sleep(Duration::from_micros(draw.below(500) as u64));
    }
    Ok(())
}

fn encode_unit(bytes: &mut Vec<u8>, unit: &Unit) {
    if unit.is_transaction {
        encode(bytes, &["MULTI"]);
    }
    for command in &unit.commands {
        encode(bytes, command);
    }
    if unit.is_transaction {
        encode(bytes, &["EXEC"]);
    }
}

/// The counter, if the unit counts.
fn receive_unit(wire: &mut Wire, unit: &Unit) -> io::Result<Option<i64>> {
    if unit.is_transaction {
        assert_eq!(wire.receive()?, Reply::Line("OK".to_owned()));
        for _ in &unit.commands {
            assert_eq!(wire.receive()?, Reply::Line("QUEUED".to_owned()));
        }
    }
    let reply = wire.receive()?;
    let first = match &reply {
        Reply::Array(items) if unit.is_transaction => {
            assert_eq!(items.len(), unit.commands.len(), "{unit:?}");
            assert!(!items.iter().any(|item| matches!(item, Reply::Error(_))), "{items:?}");
            &items[0]
        }
        Reply::Error(text) => panic!("{unit:?}: {text}"),
        reply => reply,
    };
    Ok(unit.is_counting.then(|| first.number()))
}

fn read(port: u16, seen: &mut [Seen], must_end: &AtomicBool) -> io::Result<()> {
    let mut wire = Wire::connect(port)?;
    while !must_end.load(Ordering::Acquire) {
        for (client, seen) in seen.iter_mut().enumerate() {
            wire.call(&["SELECT", &database_of(client).to_string()])?;
            let value = match wire.call(&["GET", &count_key(client)])? {
                Reply::Nil => 0,
                other => other.text().parse().unwrap(),
            };
            seen.is_restored |= value < seen.last;
            seen.last = value;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok(())
}
