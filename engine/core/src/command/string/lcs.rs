//! LCS: the longest common subsequence of two strings, by the classic table. The table is bounded,
//! since a hostile client could ask for the product of two big values (Redis asks the allocator and
//! fails there).

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::Type;
use crate::value::integer::parse_i64;

/// Cells of the table: 4 bytes each.
const CELLS_MAX: usize = 1 << 28;

#[derive(Default)]
struct Options {
    is_length: bool,
    is_index: bool,
    has_match_lengths: bool,
    match_length_min: usize,
}

impl Options {
    fn read(args: Args<'_>) -> Result<Self, &'static str> {
        let mut options = Self::default();
        let mut at = 3;
        while at < args.len() {
            match args.get(at).to_ascii_lowercase().as_slice() {
                b"idx" => options.is_index = true,
                b"len" => options.is_length = true,
                b"withmatchlen" => options.has_match_lengths = true,
                b"minmatchlen" if at + 1 < args.len() => {
                    let length = parse_i64(args.get(at + 1)).ok_or(texts::NOT_INTEGER)?;
                    options.match_length_min = usize::try_from(length).unwrap_or(0);
                    at += 1;
                }
                _ => return Err(texts::SYNTAX),
            }
            at += 1;
        }
        if options.is_index && options.is_length {
            return Err("ERR If you want both the length and indexes, please just use IDX.");
        }
        Ok(options)
    }
}

/// A run of equal bytes: where it begins in each string, and its length.
struct Run {
    a: usize,
    b: usize,
    length: usize,
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN].
pub fn lcs(cx: &mut Cx<'_>, args: Args<'_>) {
    // Both are looked up, and count as hit or missed, before either is refused.
    let texts = [args.get(1), args.get(2)].map(|key| match cx.read_any(key).0 {
        Some(value) if value.type_of() != Type::String => None,
        Some(value) => Some(value.text().to_vec()),
        None => Some(Vec::new()),
    });
    let [Some(a), Some(b)] = texts else {
        return cx.reply.error("ERR The specified keys must contain string values");
    };
    let options = match Options::read(args) {
        Ok(options) => options,
        Err(text) => return cx.reply.error(text),
    };
    if (a.len() + 1).saturating_mul(b.len() + 1) > CELLS_MAX {
        return cx
            .reply
            .error("ERR Insufficient memory, transient memory for LCS exceeds the limit");
    }
    let table = Table::new(&a, &b);
    if options.is_length {
        return cx.reply.int(i64::from(table.at(a.len(), b.len())));
    }
    let runs = table.runs(&a, &b);
    if options.is_index {
        return reply_runs(cx, &options, &runs, table.at(a.len(), b.len()));
    }
    let common: Vec<u8> =
        runs.iter().rev().flat_map(|run| a[run.a..run.a + run.length].iter().copied()).collect();
    cx.reply.bulk(&common);
}

fn reply_runs(cx: &mut Cx<'_>, options: &Options, runs: &[Run], length: u32) {
    let shown: Vec<&Run> =
        runs.iter().filter(|run| run.length >= options.match_length_min).collect();
    cx.reply.map(2);
    cx.reply.bulk(b"matches");
    cx.reply.array(shown.len());
    for run in shown {
        cx.reply.array(2 + usize::from(options.has_match_lengths));
        for from in [run.a, run.b] {
            cx.reply.array(2);
            cx.reply.int(from as i64);
            cx.reply.int((from + run.length - 1) as i64);
        }
        if options.has_match_lengths {
            cx.reply.int(run.length as i64);
        }
    }
    cx.reply.bulk(b"len");
    cx.reply.int(i64::from(length));
}

/// Lengths of the longest common subsequences of all pairs of prefixes.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let width = b.len() + 1;
        let mut cells = vec![0u32; (a.len() + 1) * width];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                let here = (i + 1) * width + j + 1;
                cells[here] = if x == y {
                    cells[here - width - 1] + 1
                } else {
                    cells[here - width].max(cells[here - 1])
                };
            }
        }
        Self { cells, width }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }

    /// Walk back from the end; the last run comes first, as Redis answers them.
    fn runs(&self, a: &[u8], b: &[u8]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                match runs.last_mut() {
                    Some(run) if run.a == i + 1 && run.b == j + 1 => {
                        (run.a, run.b, run.length) = (i, j, run.length + 1);
                    }
                    _ => runs.push(Run { a: i, b: j, length: 1 }),
                }
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }
}
