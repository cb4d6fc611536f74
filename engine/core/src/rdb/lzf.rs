//! LZF, the packing of long strings in RDB files: both ways, into the caller's buffer, without
//! allocation or panic (I1). A hostile input costs at most the output that was asked for (I7).
//! Which strings are packed is `strings`' decision.
//!
//! ```text
//! 000nnnnn <n+1 bytes>                 n+1 literal bytes, 1-32
//! lllooooo oooooooo                    l in 1-6: copy l+2 bytes (3-8) from o+1 (1-8192) back
//! 111ooooo <1 byte m> oooooooo         copy m+9 bytes, 9-264
//! ```
//!
//! So 3 bytes make at most 264: no input grows more than [`GROWTH_MAX`] times.

/// Unpacked bytes for one packed byte, at most: 264 for 3.
pub(super) const GROWTH_MAX: u64 = 88;

const LITERALS_MAX: usize = 32;
const OFFSET_MAX: usize = 1 << 13;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
/// Slots for long inputs: the offsets reach back 8192 bytes, so more slots would not find more. 32
/// KiB of memory.
const BITS_LONG: u32 = 13;
/// Slots for short inputs: one page, which stays in the cache beside the data that is written.
const BITS_SHORT: u32 = 10;
const SHORT_BYTES_MAX: usize = 512;

/// Where three bytes were seen last. Slots hold `base + position`, and `base` grows with each
/// input: older slots are below it, so that the table is not cleared for each string.
pub(super) struct Table {
    slots: Box<[u32]>,
    base: u32,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { slots: vec![0; 1 << BITS_LONG].into_boxed_slice(), base: 1 }
    }

    /// The base for an input of `size` bytes; `None` when it is too long to number.
    fn advance(&mut self, size: usize) -> Option<u32> {
        let size = u32::try_from(size).ok().filter(|size| *size < 1 << 30)?;
        if self.base > u32::MAX - 2 * (1 << 30) {
            self.slots.fill(0);
            self.base = 1;
        }
        let base = self.base;
        self.base += size;
        Some(base)
    }
}

/// The output as far as it is filled. Running over its end is `None`: the input is not worth
/// packing.
struct Out<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl Out<'_> {
    fn put(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.used)? = byte;
        self.used += 1;
        Some(())
    }

    fn put_literals(&mut self, literals: &[u8]) -> Option<()> {
        for run in literals.chunks(LITERALS_MAX) {
            self.put((run.len() - 1) as u8)?;
            let end = self.used + run.len();
            self.bytes.get_mut(self.used..end)?.copy_from_slice(run);
            self.used = end;
        }
        Some(())
    }

    fn put_match(&mut self, size: usize, offset: usize) -> Option<()> {
        let (count, back) = (size - 2, offset - 1);
        if count < 7 {
            self.put((count << 5) as u8 | (back >> 8) as u8)?;
        } else {
            self.put(7 << 5 | (back >> 8) as u8)?;
            self.put((count - 7) as u8)?;
        }
        self.put(back as u8)
    }
}

/// Pack `input` into `output`; gives the bytes used, or `None` when it does not fit there (make
/// `output` as short as packing must be to pay).
pub(super) fn compress(table: &mut Table, input: &[u8], output: &mut [u8]) -> Option<usize> {
    let base = table.advance(input.len())?;
    let bits = if input.len() <= SHORT_BYTES_MAX { BITS_SHORT } else { BITS_LONG };
    let mut out = Out { bytes: output, used: 0 };
    let (mut at, mut literals_from) = (0, 0);
    while let Some(word) = word_at(input, at) {
        let here = base + at as u32;
        let slot = table.slots.get_mut(slot_of(word, bits))?;
        let seen = std::mem::replace(slot, here);
        let start = seen.wrapping_sub(base) as usize;
        let is_match = seen >= base
            && at - start <= OFFSET_MAX
            && word_at(input, start).is_some_and(|old| old << 8 == word << 8);
        if !is_match {
            // The longer nothing repeats, the longer the steps: what cannot be packed is passed
            // quickly.
            at += 1 + ((at - literals_from) >> 7);
            continue;
        }
        let size = match_size(input, start, at);
        out.put_literals(input.get(literals_from..at)?)?;
        out.put_match(size, at - start)?;
        at += size;
        literals_from = at;
        // Remember the match's last places too, so that repetitions of repetitions are found.
        for place in [at - 2, at - 1] {
            if let Some(word) = word_at(input, place) {
                *table.slots.get_mut(slot_of(word, bits))? = base + place as u32;
            }
        }
    }
    out.put_literals(input.get(literals_from..)?)?;
    Some(out.used)
}

/// Four bytes from `at`, the first one lowest; the end of an input is always literal.
#[inline]
fn word_at(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

/// The slot of a word's first three bytes.
#[inline]
fn slot_of(word: u32, bits: u32) -> usize {
    ((word << 8).wrapping_mul(0x9E37_79B1) >> (32 - bits)) as usize
}

fn match_size(input: &[u8], start: usize, at: usize) -> usize {
    let old = input.get(start + MATCH_MIN..).unwrap_or(&[]);
    let new = input.get(at + MATCH_MIN..).unwrap_or(&[]);
    let more = old.iter().zip(new).take(MATCH_MAX - MATCH_MIN).take_while(|(a, b)| a == b).count();
    MATCH_MIN + more
}

/// Unpack `input`, which must fill `output` exactly. `None`: it does not (damaged or hostile).
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<()> {
    let (mut from, mut to) = (0, 0);
    while let Some(&control) = input.get(from) {
        from += 1;
        if usize::from(control) < LITERALS_MAX {
            let size = usize::from(control) + 1;
            output.get_mut(to..to + size)?.copy_from_slice(input.get(from..from + size)?);
            from += size;
            to += size;
            continue;
        }
        let mut size = usize::from(control >> 5) + 2;
        if size == 9 {
            size += usize::from(*input.get(from)?);
            from += 1;
        }
        let offset = (usize::from(control & 31) << 8 | usize::from(*input.get(from)?)) + 1;
        from += 1;
        let start = to.checked_sub(offset)?;
        let target = output.get_mut(start..to + size)?;
        if offset >= size {
            target.copy_within(..size, offset);
        } else {
            // The copy reads what it writes: a repetition of `offset` bytes.
            (offset..offset + size).for_each(|place| target[place] = target[place - offset]);
        }
        to += size;
    }
    (to == output.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// xorshift64*: enough for test inputs, the same on every machine.
    struct Draw(u64);

    impl Draw {
        /// A seed from the environment or the clock, printed so that a failure can be repeated.
        fn seeded() -> Self {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let seed = match std::env::var("PERDURE_TEST_SEED") {
                Ok(text) => text.parse().expect("a number"),
                Err(_) => now.expect("a clock").as_nanos() as u64 | 1,
            };
            println!("PERDURE_TEST_SEED={seed}");
            Self(seed)
        }

        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
        }

        /// Bytes of an alphabet of `letters`, with copies of earlier parts: from noise to very
        /// repetitive.
        fn text(&mut self, size: usize, letters: usize, copies_percent: usize) -> Vec<u8> {
            let mut text = Vec::with_capacity(size);
            while text.len() < size {
                if !text.is_empty() && self.below(100) < copies_percent {
                    let (from, run) = (self.below(text.len()), 1 + self.below(600));
                    for place in from..from + run {
                        let byte = text[place];
                        text.push(byte);
                    }
                } else {
                    text.push(self.below(letters) as u8);
                }
            }
            text.truncate(size);
            text
        }
    }

    fn check_round_trip(table: &mut Table, input: &[u8]) -> Option<usize> {
        let mut packed = vec![0; input.len() + input.len() / 32 + 1];
        let used = compress(table, input, &mut packed).expect("room for literals only");
        let mut unpacked = vec![0; input.len()];
        decompress(&packed[..used], &mut unpacked).expect("our own output is well formed");
        assert!(unpacked == input, "{} bytes come back changed", input.len());
        assert!(input.len() as u64 <= used as u64 * GROWTH_MAX);
        // One byte of room too few is refused, never overrun.
        (used > 0).then(|| assert_eq!(compress(table, input, &mut packed[..used - 1]), None));
        Some(used)
    }

    #[test]
    fn whatever_is_packed_comes_back() {
        let (mut draw, mut table) = (Draw::seeded(), Table::new());
        for size in 0..700 {
            let (letters, copies) = (1 + draw.below(256), draw.below(100));
            let input = draw.text(size, letters, copies);
            check_round_trip(&mut table, &input);
        }
        for _ in 0..60 {
            let (size, letters) = (draw.below(200_000), 1 + draw.below(256));
            let copies = draw.below(100);
            let input = draw.text(size, letters, copies);
            check_round_trip(&mut table, &input);
        }
    }

    #[test]
    fn repetition_is_packed_close_to_the_bound_and_noise_is_not() {
        let (mut draw, mut table) = (Draw(7), Table::new());
        let zeros = vec![0; 1_000_000];
        let used = check_round_trip(&mut table, &zeros).expect("packed");
        assert!(used < 1_000_000 / 80, "{used} bytes");
        let noise = draw.text(64, 256, 0);
        assert_eq!(compress(&mut table, &noise, &mut [0; 60]), None);
    }

    #[test]
    fn old_slots_are_forgotten_when_their_numbers_run_out() {
        let mut table = Table::new();
        for _ in 0..4 {
            table.base = u32::MAX - 2 * (1 << 30) + 1;
            check_round_trip(&mut table, b"abcabcabcabcabcabcabcabcabc");
            assert!(table.base < 1000);
        }
    }

    #[test]
    fn hostile_input_is_refused_within_the_output() {
        let mut draw = Draw::seeded();
        for _ in 0..200_000 {
            let size = draw.below(24);
            let input = draw.text(size, 256, 20);
            let mut output = vec![0xAA; draw.below(300)];
            // Either exactly filled or refused; the slice's bounds hold in both cases.
            let _ = decompress(&input, &mut output);
        }
        assert_eq!(decompress(&[0x20, 0], &mut [0; 3]), None, "a copy from before the beginning");
        assert_eq!(decompress(&[5, 1, 2], &mut [0; 6]), None, "literals that are not there");
        assert_eq!(decompress(&[0, 1], &mut [0; 2]), None, "an output that is not filled");
        assert_eq!(decompress(&[1, 1, 2], &mut [0; 1]), None, "an output that is too short");
        assert_eq!(decompress(&[0, 1, 0xE0], &mut [0; 10]), None, "a match without its size");
    }
}
