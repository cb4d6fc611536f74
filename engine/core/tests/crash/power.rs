//! What a power cut leaves: of a trace (`disk`) and the files that a SIGKILL left, the names whose
//! directory was fsynced and the bytes whose file was fsynced are sure; the rest is there, gone, or
//! there in part, as the draw says. What was overwritten since an fsync that succeeded began is, in
//! each sector, as it was at any time from then on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::disk::{Event, OVERWRITTEN_COPY, SECTOR_BYTES, kind};
use crate::harness::Random;

/// A change of a directory's names.
struct Change {
    directory: u64,
    adds: Option<(String, u64)>,
    removes: Option<(String, u64)>,
    is_durable: bool,
}

/// Bytes of a file that are sure.
#[derive(Default)]
struct Bytes {
    durable: u64,
    /// Copies from before the file was made shorter, as long as that is not sure: which event of the
    /// trace it was, and the serial.
    truncated: Vec<(usize, u64)>,
    overwritten: Vec<Overwrite>,
}

/// A piece that was overwritten, as long as that is not sure.
struct Overwrite {
    /// Which event of the trace it was.
    number: usize,
    serial: u64,
    offset: usize,
    size: usize,
    /// Where the old bytes stand in their copy.
    kept_at: usize,
    /// The call came back: an fsync from now on holds it.
    has_ended: bool,
}

/// What an fsync under way holds, if it succeeds: so many of the changes, and of the file's
/// truncations, and these overwrites.
struct Begun {
    changes: usize,
    truncated: usize,
    overwritten: Vec<u64>,
}

/// What stands in each directory.
type Names = HashMap<u64, BTreeMap<String, u64>>;

#[derive(Default)]
struct Disk {
    /// Names at the trace's begin.
    names: Names,
    directories: Vec<u64>,
    changes: Vec<Change>,
    files: HashMap<u64, Bytes>,
    /// fsyncs under way.
    begun: HashMap<u64, Begun>,
}

/// Build in `target` what a power cut would have left of `root`.
pub fn cut(root: &Path, trace: &Path, graves: &Path, target: &Path, draw: &mut Random) {
    let mut disk = Disk::default();
    for (number, event) in Event::read_all(&std::fs::read(trace).unwrap()).iter().enumerate() {
        disk.take(number, event);
    }
    let chosen = disk.choose(draw);
    let mut names = std::mem::take(&mut disk.names);
    for (change, _) in disk.changes.iter().zip(chosen).filter(|(_, is_chosen)| *is_chosen) {
        let held = names.entry(change.directory).or_default();
        if let Some((name, inode)) = &change.removes
            && held.get(name) == Some(inode)
        {
            held.remove(name);
        }
        if let Some((name, inode)) = &change.adds {
            held.insert(name.clone(), *inode);
        }
    }
    let top = std::fs::metadata(root).unwrap().ino();
    disk.build((&names, top), graves, target, draw);
}

impl Disk {
    fn take(&mut self, number: usize, event: &Event) {
        let change =
            |directory, adds, removes| Change { directory, adds, removes, is_durable: false };
        let name = || (event.name(), event.inode);
        match event.kind {
            kind::FOUND => {
                self.names.entry(event.directory).or_default().insert(event.name(), event.inode);
                match event.is_directory {
                    0 => self.files.entry(event.inode).or_default().durable = event.size,
                    _ => self.directories.push(event.inode),
                }
            }
            kind::CREATED | kind::LINKED => {
                self.changes.push(change(event.directory, Some(name()), None));
                if event.is_directory != 0 {
                    self.directories.push(event.inode);
                }
            }
            kind::UNLINKED => self.changes.push(change(event.directory, None, Some(name()))),
            kind::RENAMED => {
                let added = Some((event.other_name(), event.inode));
                if event.directory == event.other_directory {
                    self.changes.push(change(event.directory, added, Some(name())));
                } else {
                    self.changes.push(change(event.other_directory, added, None));
                    self.changes.push(change(event.directory, None, Some(name())));
                }
            }
            kind::TRUNCATED => {
                let file = self.files.entry(event.inode).or_default();
                file.truncated.push((number, event.serial));
            }
            kind::OVERWRITING => {
                let file = self.files.entry(event.inode).or_default();
                file.overwritten.push(Overwrite::of(number, event));
            }
            kind::OVERWRITTEN => {
                let file = self.files.entry(event.inode).or_default();
                let pieces = file.overwritten.iter_mut();
                pieces.filter(|it| it.serial == event.serial).for_each(|it| it.has_ended = true);
            }
            kind::SYNC_BEGUN => self.begin_sync(event),
            kind::SYNC_ENDED => self.end_sync(event),
            other => panic!("event {other}"),
        }
    }

    fn begin_sync(&mut self, event: &Event) {
        let changes = self.changes.len();
        let (mut truncated, mut overwritten) = (0, Vec::new());
        if let Some(file) = self.files.get(&event.inode) {
            truncated = file.truncated.len();
            let ended = file.overwritten.iter().filter(|it| it.has_ended);
            overwritten.extend(ended.map(|it| it.serial));
        }
        self.begun.insert(event.serial, Begun { changes, truncated, overwritten });
    }

    fn end_sync(&mut self, event: &Event) {
        let Some(begun) = self.begun.remove(&event.serial) else { return };
        for change in self.changes.iter_mut().take(begun.changes) {
            change.is_durable |= change.directory == event.inode;
        }
        let file = self.files.entry(event.inode).or_default();
        file.durable = file.durable.max(event.size);
        let truncated = begun.truncated.min(file.truncated.len());
        if file.truncated.drain(..truncated).next_back().is_some() {
            file.durable = event.size;
        }
        file.overwritten.retain(|it| !begun.overwritten.contains(&it.serial));
    }

    /// Which changes reached the disk: those that are durable, and others.
    fn choose(&self, draw: &mut Random) -> Vec<bool> {
        let pending = self.changes.iter().filter(|change| !change.is_durable).count();
        let how = draw.below(5);
        let first = draw.below(pending + 1);
        let mut number = 0;
        let mut choose = |change: &Change| {
            let is_chosen = match how {
                0 => false,
                1 => true,
                2 | 3 => number < first, // as a journal does it
                _ => draw.one_in(2),
            };
            number += usize::from(!change.is_durable);
            change.is_durable || is_chosen
        };
        self.changes.iter().map(&mut choose).collect()
    }

    fn build(
        &self,
        (names, directory): (&Names, u64),
        graves: &Path,
        target: &Path,
        draw: &mut Random,
    ) {
        std::fs::create_dir_all(target).unwrap();
        for (name, inode) in names.get(&directory).into_iter().flatten() {
            let place = target.join(name);
            if self.directories.contains(inode) {
                self.build((names, *inode), graves, &place, draw);
            } else {
                std::fs::write(place, self.content(*inode, graves, draw)).unwrap();
            }
        }
    }

    fn content(&self, inode: u64, graves: &Path, draw: &mut Random) -> Vec<u8> {
        let nothing = Bytes::default();
        let file = self.files.get(&inode).unwrap_or(&nothing);
        let copy = |serial: u64| std::fs::read(graves.join(format!("{inode}.{serial}"))).unwrap();
        let old = || copy(OVERWRITTEN_COPY);
        if let Some((number, serial)) = file.truncated.first()
            && draw.one_in(2)
        {
            let mut bytes = copy(*serial);
            let before = file.overwritten.partition_point(|it| it.number < *number);
            take_back(&mut bytes, &file.overwritten[..before], old, draw);
            return bytes;
        }
        let mut bytes = std::fs::read(graves.join(inode.to_string())).unwrap();
        take_back(&mut bytes, &file.overwritten, old, draw);
        let durable = usize::try_from(file.durable).unwrap().min(bytes.len());
        let unsure = bytes.len() - durable;
        match draw.below(4) {
            0 => bytes.truncate(durable),
            1 => bytes.truncate(durable + draw.below(unsure + 1)),
            2 => forget_pages(&mut bytes, durable, draw),
            _ => {
                bytes.truncate(durable + draw.below(unsure + 1));
                forget_pages(&mut bytes, durable, draw);
            }
        }
        bytes
    }
}

impl Overwrite {
    fn of(number: usize, event: &Event) -> Self {
        let [offset, size, kept_at] =
            [event.offset, event.size, event.kept_at].map(|it| usize::try_from(it).unwrap());
        Self { number, serial: event.serial, offset, size, kept_at, has_ended: false }
    }

    fn sectors(&self) -> std::ops::Range<usize> {
        self.offset / SECTOR_BYTES..(self.offset + self.size).div_ceil(SECTOR_BYTES)
    }

    /// What was overwritten in a sector stands there again.
    fn take_back(&self, sector: usize, bytes: &mut [u8], old: &[u8]) {
        let from = self.offset.max(sector * SECTOR_BYTES);
        let to = (self.offset + self.size).min((sector + 1) * SECTOR_BYTES).min(bytes.len());
        if from < to {
            let kept = self.kept_at + from - self.offset;
            bytes[from..to].copy_from_slice(&old[kept..kept + to - from]);
        }
    }
}

/// Overwrites that never reached the disk, in each sector all from some one on: none of them, all,
/// those since one moment, or for each sector as it comes.
fn take_back(
    bytes: &mut [u8],
    overwritten: &[Overwrite],
    old: impl FnOnce() -> Vec<u8>,
    draw: &mut Random,
) {
    if overwritten.is_empty() {
        return;
    }
    let old = old();
    let how = draw.below(4);
    let moment = draw.below(overwritten.len() + 1);
    let sectors: BTreeSet<usize> = overwritten.iter().flat_map(Overwrite::sectors).collect();
    for sector in sectors {
        let here = |it: &&Overwrite| it.sectors().contains(&sector);
        let there = match how {
            0 => overwritten.len(),
            1 => 0,
            2 => moment,
            _ => draw.below(overwritten.len() + 1),
        };
        overwritten[there..]
            .iter()
            .rev()
            .filter(here)
            .for_each(|it| it.take_back(sector, bytes, &old));
    }
}

/// Pages from `durable` on that never reached the disk, some or all.
fn forget_pages(bytes: &mut [u8], durable: usize, draw: &mut Random) {
    const PAGE: usize = 4096;
    let kept_in = draw.below(4);
    for page in durable / PAGE..bytes.len().div_ceil(PAGE) {
        if kept_in == 0 || draw.one_in(kept_in + 1) {
            let from = (page * PAGE).max(durable);
            let to = ((page + 1) * PAGE).min(bytes.len());
            bytes[from..to].fill(0);
        }
    }
}

/// The canary of this room: if the calls were not seen any more, nothing would ever be missing.
#[test]
fn only_what_was_fsynced_is_there_after_every_cut() {
    use std::io::Write as _;
    let home = crate::running::Dir::new();
    let [root, events, graves, boot] =
        ["root", "events", "graves", "boot"].map(|name| home.0.join(name));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("found"), "found").unwrap();
    crate::disk::trace(&root, &events, &graves, &boot);
    let write = |name: &str, bytes: &[u8]| {
        let mut file = std::fs::File::create(root.join(name)).unwrap();
        file.write_all(bytes).unwrap();
        file
    };
    let mut sure = write("sure", &[b's'; 5000]);
    sure.sync_data().unwrap();
    std::fs::File::open(&root).unwrap().sync_all().unwrap();
    sure.write_all(&[b'u'; 5000]).unwrap();
    write("named later", b"1").sync_all().unwrap();
    std::fs::rename(root.join("named later"), root.join("found")).unwrap();
    let mut draw = Random::from_environment("power_cut");
    let mut outcomes = std::collections::BTreeSet::new();
    for number in 0..200 {
        let after = home.0.join(format!("after-{number}"));
        cut(&root, &events, &graves, &after, &mut draw);
        let bytes = std::fs::read(after.join("sure")).unwrap();
        assert!(bytes[..5000].iter().all(|byte| *byte == b's'), "these were fsynced");
        let found = std::fs::read_to_string(after.join("found")).unwrap();
        assert!(found == "found" || found == "1", "a rename is whole");
        let is_whole = bytes.len() == 10_000 && !bytes.contains(&0);
        outcomes.extend([format!("found {found}"), format!("whole {is_whole}")]);
        outcomes.insert(format!("zeros {}", bytes.contains(&0)));
    }
    assert_eq!(outcomes.len(), 6, "{outcomes:?}");
}

/// The canary of overwrites. A process has one trace: this one is a process of its own.
#[test]
fn what_was_overwritten_is_old_or_new_until_it_is_fsynced() {
    use std::os::unix::fs::FileExt as _;
    const ALONE: &str = "PERDURE_CRASH_CANARY";
    if std::env::var_os(ALONE).is_none() {
        let name = "power::what_was_overwritten_is_old_or_new_until_it_is_fsynced";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        return assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let home = crate::running::Dir::new();
    let [root, events, graves, boot] =
        ["root", "events", "graves", "boot"].map(|name| home.0.join(name));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("ring"), [b'a'; 20 * 4096]).unwrap();
    crate::disk::trace(&root, &events, &graves, &boot);
    // Who can write it cannot read it here.
    let ring = std::fs::OpenOptions::new().write(true).open(root.join("ring")).unwrap();
    let write = |byte, from: usize, to: usize| {
        ring.write_all_at(&vec![byte; to - from], from as u64).unwrap();
    };
    write(b'b', 0, 4096);
    write(b'c', 3000, 4000);
    ring.sync_data().unwrap();
    write(b'd', 5000, 6000);
    write(b'e', 5500, 20 * 4096 - 1); // more than one piece
    let mut draw = Random::from_environment("overwrites");
    let mut outcomes = BTreeSet::new();
    for number in 0..200 {
        let after = home.0.join(format!("after-{number}"));
        cut(&root, &events, &graves, &after, &mut draw);
        let bytes = std::fs::read(after.join("ring")).unwrap();
        assert_eq!(bytes.len(), 20 * 4096);
        let is_all = |byte, from: usize, to: usize| bytes[from..to].iter().all(|it| *it == byte);
        assert!(is_all(b'b', 0, 3000) && is_all(b'c', 3000, 4000) && is_all(b'b', 4000, 4096));
        assert!(is_all(b'a', 4096, 5000) && bytes.last() == Some(&b'a'), "not touched");
        let sectors = bytes[6144..19 * 4096].chunks(SECTOR_BYTES);
        let found: BTreeSet<u8> = sectors.clone().map(|sector| sector[0]).collect();
        assert!(sectors.into_iter().all(|it| it.iter().all(|byte| *byte == it[0])), "one version");
        outcomes
            .insert(format!("wide {}", String::from_utf8(found.into_iter().collect()).unwrap()));
        // The sector that both touched: from 5120, the later one from 5500.
        outcomes.insert(format!("twice {}{}", bytes[5499] as char, bytes[5500] as char));
        assert!(is_all(bytes[5120], 5120, 5500) && is_all(bytes[5500], 5500, 5632));
    }
    let wanted = ["twice aa", "twice dd", "twice de", "wide a", "wide ae", "wide e"];
    assert_eq!(Vec::from_iter(&outcomes), wanted.iter().collect::<Vec<_>>());
}

#[test]
fn an_fsync_holds_what_was_overwritten_before_it_began_and_only_if_it_succeeds() {
    let mut disk = Disk::default();
    let mut pending = |happens: &[(u64, u64)]| {
        for (kind, serial) in happens {
            let mut event = Event::of(*kind);
            (event.serial, event.inode, event.size) = (*serial, 7, 512);
            disk.take(0, &event);
        }
        disk.files[&7].overwritten.len()
    };
    assert_eq!(pending(&[(kind::OVERWRITING, 1), (kind::OVERWRITING, 1)]), 2, "two pieces");
    assert_eq!(pending(&[(kind::SYNC_BEGUN, 2), (kind::OVERWRITTEN, 1)]), 2);
    assert_eq!(pending(&[(kind::SYNC_ENDED, 2)]), 2, "it began too early");
    assert_eq!(pending(&[(kind::SYNC_BEGUN, 3), (kind::OVERWRITING, 4)]), 3);
    assert_eq!(pending(&[(kind::SYNC_BEGUN, 5), (kind::SYNC_ENDED, 3)]), 1);
    assert_eq!(pending(&[(kind::OVERWRITTEN, 4), (kind::SYNC_BEGUN, 6)]), 1, "none ended");
    assert_eq!(pending(&[(kind::SYNC_ENDED, 6)]), 0);
}
