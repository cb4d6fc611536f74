//! The arguments of one command, borrowed: ranges of the bytes that the client sent.
//! How the ranges are found is `parse`'s business; what the arguments mean is `command`'s.

/// Where an argument stands: start and length, relative to the command's bytes.
pub type Range = (u32, u32);

/// The arguments of one command, name first. `args[0]` is the name as it was sent.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    ranges: &'a [Range],
}

impl<'a> Args<'a> {
    /// View `ranges` (start, length) of `buffer` as arguments; the ranges must lie inside the
    /// buffer.
    pub fn new(buffer: &'a [u8], ranges: &'a [Range]) -> Self {
        Self { buffer, ranges }
    }
    /// Number of arguments, the name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }
    /// Whether there is none (never so for a command).
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
    /// Argument `index`, or empty bytes past the end (arity is checked before).
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.ranges.get(index).map_or(&[], |&(start, length)| {
            &self.buffer[start as usize..start as usize + length as usize]
        })
    }
    /// The arguments from `count` on (a command inside a command).
    pub fn skip(&self, count: usize) -> Self {
        Self { buffer: self.buffer, ranges: self.ranges.get(count..).unwrap_or_default() }
    }
    /// The first `count` arguments.
    pub fn first(&self, count: usize) -> Self {
        Self { buffer: self.buffer, ranges: self.ranges.get(..count).unwrap_or(self.ranges) }
    }
    /// All arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let whole = *self;
        (0..whole.len()).map(move |index| whole.get(index))
    }
    /// The arguments as owned vectors (MULTI queues them).
    pub fn to_vecs(&self) -> Vec<Vec<u8>> {
        self.iter().map(<[u8]>::to_vec).collect()
    }
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];
    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
    }
}
