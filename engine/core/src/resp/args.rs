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
    /// Where the arguments stand.
    pub fn ranges(&self) -> &'a [Range] {
        self.ranges
    }
    /// Others of the same bytes, such as some of these.
    pub fn at<'b>(&self, ranges: &'b [Range]) -> Args<'b>
    where
        'a: 'b,
    {
        Args { buffer: self.buffer, ranges }
    }
    /// All arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let whole = *self;
        (0..whole.len()).map(move |index| whole.get(index))
    }
    /// The bytes of the request, if it is a multibulk one in the form that encoding these arguments
    /// gives: so they can be copied instead. (The parser takes other forms too.)
    pub fn request(&self) -> Option<&'a [u8]> {
        // A header has at least as many digits as its number needs, so when every argument stands
        // where it would stand, every header is the one that would be written.
        let mut at = header_bytes(self.ranges.len());
        let has_end = |at: usize| self.buffer.get(at..at + 2) == Some(b"\r\n".as_slice());
        if self.buffer.first() != Some(&b'*') || !has_end(at - 2) {
            return None;
        }
        for &(start, length) in self.ranges {
            at += header_bytes(length as usize);
            if start as usize != at || !has_end(at - 2) || !has_end(at + length as usize) {
                return None;
            }
            at += length as usize + 2;
        }
        (at == self.buffer.len()).then_some(self.buffer)
    }
    /// The arguments as owned vectors (MULTI queues them).
    pub fn to_vecs(&self) -> Vec<Vec<u8>> {
        self.iter().map(<[u8]>::to_vec).collect()
    }
}

/// Bytes of `*<count>\r\n`.
fn header_bytes(count: usize) -> usize {
    let digits = match count {
        0..=9 => 1,
        10..=99 => 2,
        _ => count.ilog10() as usize + 1,
    };
    digits + 3
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];
    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::Args;
    use crate::resp::{Batch, Parser, parse::Bounds};

    fn request(sent: &[u8]) -> Option<Vec<u8>> {
        let mut batch = Batch::default();
        let bounds = Bounds { commands_max: 1, bulk_bytes_max: 1000 };
        Parser::default().parse(sent, &mut batch, bounds);
        batch.args(0, sent).request().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_request_is_copied_only_in_the_form_that_a_log_has() {
        let long = format!("*2\r\n$4\r\nECHO\r\n$123\r\n{}\r\n", "x".repeat(123));
        for canonical in ["*1\r\n$4\r\nPING\r\n", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", &long] {
            assert_eq!(request(canonical.as_bytes()).as_deref(), Some(canonical.as_bytes()));
        }
        for other in
            ["PING\r\n", "*1\r.$4\r\nPING\r\n", "*1\r\n$4\r.PING\r\n", "*1\r\n$4\r\nPING.."]
        {
            assert_eq!(request(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn arguments_that_no_client_sent_so_have_no_request() {
        let queued = b"*1\r\n$4\r\nPING\r\n";
        assert_eq!(Args::new(queued, &[(0, 14)]).request(), None);
        assert_eq!(Args::new(b"", &[]).request(), None);
        assert_eq!(Args::new(queued, &[(8, 4)]).skip(1).request(), None);
        assert!(Args::new(queued, &[(8, 4)]).request().is_some());
    }
}
