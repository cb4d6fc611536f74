//! What a power cut leaves: of a trace (`disk`) and the files that a SIGKILL left, the names whose
//! directory was fsynced and the bytes whose file was fsynced are sure; the rest is there, gone, or
//! there in part, as the draw says.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::disk::{Event, kind};
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
    /// Serials of copies from before the file was made shorter, as long as that is not sure.
    truncated: Vec<u64>,
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
    /// fsyncs under way: how many changes, and truncations of the file, there were at their begin.
    begun: HashMap<u64, (usize, usize)>,
}

/// Build in `target` what a power cut would have left of `root`.
pub fn cut(root: &Path, trace: &Path, graves: &Path, target: &Path, draw: &mut Random) {
    let mut disk = Disk::default();
    for event in Event::read_all(&std::fs::read(trace).unwrap()) {
        disk.take(&event);
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
    fn take(&mut self, event: &Event) {
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
                file.truncated.push(event.serial);
            }
            kind::SYNC_BEGUN => {
                let truncated = self.files.get(&event.inode).map_or(0, |it| it.truncated.len());
                self.begun.insert(event.serial, (self.changes.len(), truncated));
            }
            kind::SYNC_ENDED => self.end_sync(event),
            other => panic!("event {other}"),
        }
    }

    fn end_sync(&mut self, event: &Event) {
        let Some((changes, truncated)) = self.begun.remove(&event.serial) else { return };
        for change in self.changes.iter_mut().take(changes) {
            change.is_durable |= change.directory == event.inode;
        }
        let file = self.files.entry(event.inode).or_default();
        file.durable = file.durable.max(event.size);
        if file.truncated.drain(..truncated.min(file.truncated.len())).next_back().is_some() {
            file.durable = event.size;
        }
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
        if let Some(serial) = file.truncated.first()
            && draw.one_in(2)
        {
            return std::fs::read(graves.join(format!("{inode}.{serial}"))).unwrap();
        }
        let mut bytes = std::fs::read(graves.join(inode.to_string())).unwrap();
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
