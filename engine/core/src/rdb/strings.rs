//! Lengths and strings in their encodings, both ways, side by side (drawings: `format`). The saving
//! half runs in the fork child: no allocation, no panic (I1). The loading half believes no length
//! (I7): what a file cannot hold is not allocated.

#![allow(unsafe_code)] // mmap, munmap: memory for one huge string in the fork child

use super::format::*;
use super::lzf;
use super::reader::Reader;
use super::writer::Writer;
use crate::error::Result;
use crate::limits::BULK_BYTES_MAX;
use crate::value::integer::IntText;
use crate::value::listpack::Element;

/// Strings up to this length are packed into memory made before the fork; longer ones get a mapping
/// of their own.
const PACKED_BYTES: usize = 256 * 1024;

/// What packing a string needs, made before the fork.
pub(super) struct Packer {
    table: lzf::Table,
    packed: Box<[u8]>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { table: lzf::Table::new(), packed: vec![0; PACKED_BYTES].into_boxed_slice() }
    }
}

// ----------------------------------------------------------------------------------------- lengths

/// Write a length in its shortest form.
#[inline]
pub(super) fn save_length(out: &mut Writer<'_>, length: u64) -> std::result::Result<(), i32> {
    if length < 1 << 6 {
        out.put(&[length as u8])
    } else if length < 1 << 14 {
        out.put(&[LEN_14 | (length >> 8) as u8, length as u8])
    } else if let Ok(length) = u32::try_from(length) {
        let [a, b, c, d] = length.to_be_bytes();
        out.put(&[LEN_32, a, b, c, d])
    } else {
        out.put(&[LEN_64])?;
        out.put(&length.to_be_bytes())
    }
}

/// A length, or the encoding of a string that stands in its place.
pub(super) enum Length {
    Plain(u64),
    Encoded(u8),
}

/// Read a length or an encoding.
#[inline]
pub(super) fn load_length_or_encoding(from: &mut Reader<'_>) -> Result<Length> {
    let first = from.byte()?;
    Ok(match first & LEN_FORM {
        0 => Length::Plain(u64::from(first)),
        LEN_14 => Length::Plain(u64::from(first & !LEN_FORM) << 8 | u64::from(from.byte()?)),
        LEN_ENCODED => Length::Encoded(first & !LEN_FORM),
        _ if first == LEN_32 => Length::Plain(u64::from(u32::from_be_bytes(from.array()?))),
        _ if first == LEN_64 => Length::Plain(u64::from_be_bytes(from.array()?)),
        _ => return Err(from.corrupt(&format!("unknown form of a length (byte {first:#04x})"))),
    })
}

/// Read a length where no encoding may stand.
pub(super) fn load_length(from: &mut Reader<'_>) -> Result<u64> {
    match load_length_or_encoding(from)? {
        Length::Plain(length) => Ok(length),
        Length::Encoded(_) => Err(from.corrupt("an encoded string where a length must stand")),
    }
}

// ----------------------------------------------------------------------------------------- strings

/// Write bytes as a string: as an integer if they are the canonical text of one, packed if that
/// pays, else as they are.
#[inline]
pub(super) fn save_string(
    out: &mut Writer<'_>,
    packer: Option<&mut Packer>,
    bytes: &[u8],
) -> std::result::Result<(), i32> {
    if bytes.len() <= INT_TEXT_BYTES_MAX {
        if let Some(value) = canonical_i32(bytes) {
            return save_int_encoded(out, value);
        }
    } else if bytes.len() >= LZF_BYTES_MIN
        && let Some(packer) = packer
        && save_packed(out, packer, bytes)?
    {
        return Ok(());
    }
    save_length(out, bytes.len() as u64)?;
    out.put(bytes)
}

/// Write an integer as a string: in 1, 2 or 4 bytes, else its decimal text.
pub(super) fn save_int(out: &mut Writer<'_>, value: i64) -> std::result::Result<(), i32> {
    if let Ok(small) = i32::try_from(value) {
        return save_int_encoded(out, small);
    }
    let digits = IntText::new(value);
    save_length(out, digits.len() as u64)?;
    out.put(&digits)
}

fn save_int_encoded(out: &mut Writer<'_>, value: i32) -> std::result::Result<(), i32> {
    let [a, b, c, d] = value.to_le_bytes();
    if i8::try_from(value).is_ok() {
        out.put(&[LEN_ENCODED | ENC_INT8, a])
    } else if i16::try_from(value).is_ok() {
        out.put(&[LEN_ENCODED | ENC_INT16, a, b])
    } else {
        out.put(&[LEN_ENCODED | ENC_INT32, a, b, c, d])
    }
}

/// Write the packed form; gives whether it was worth it (nothing is written when not).
fn save_packed(
    out: &mut Writer<'_>,
    packer: &mut Packer,
    bytes: &[u8],
) -> std::result::Result<bool, i32> {
    // Unpacking costs on each load: a sixteenth must be won, and never less than the second length
    // costs.
    let room = bytes.len() - (bytes.len() / 16).max(4);
    let Packer { table, packed } = packer;
    if let Some(place) = packed.get_mut(..room) {
        return save_packed_in(out, table, bytes, place);
    }
    let Some(mut mapping) = Mapping::new(room) else { return Ok(false) };
    save_packed_in(out, table, bytes, mapping.as_mut())
}

fn save_packed_in(
    out: &mut Writer<'_>,
    table: &mut lzf::Table,
    bytes: &[u8],
    place: &mut [u8],
) -> std::result::Result<bool, i32> {
    let Some(used) = lzf::compress(table, bytes, place) else { return Ok(false) };
    out.put(&[LEN_ENCODED | ENC_LZF])?;
    save_length(out, used as u64)?;
    save_length(out, bytes.len() as u64)?;
    out.put(place.get(..used).ok_or(libc::EOVERFLOW)?)?;
    Ok(true)
}

/// A string's value, or an element's, as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loaded<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl Loaded<'_> {
    /// Bytes of its text.
    pub(super) fn text_bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Int(value) => IntText::new(value).len() as u64,
        }
    }
}

impl<'a> From<Element<'a>> for Loaded<'a> {
    fn from(element: Element<'a>) -> Self {
        match element {
            Element::Int(value) => Self::Int(value),
            Element::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

/// Read a string. Bytes are borrowed from the reader or, unpacked, from `unpacked`.
#[inline]
pub(super) fn load_string<'a>(
    from: &'a mut Reader<'_>,
    unpacked: &'a mut Vec<u8>,
) -> Result<Loaded<'a>> {
    let encoding = match load_length_or_encoding(from)? {
        Length::Plain(length) => return Ok(Loaded::Bytes(from.take(checked(from, length)?)?)),
        Length::Encoded(encoding) => encoding,
    };
    Ok(match encoding {
        ENC_INT8 => Loaded::Int(i64::from(i8::from_le_bytes(from.array()?))),
        ENC_INT16 => Loaded::Int(i64::from(i16::from_le_bytes(from.array()?))),
        ENC_INT32 => Loaded::Int(i64::from(i32::from_le_bytes(from.array()?))),
        ENC_LZF => Loaded::Bytes(load_packed(from, unpacked)?),
        _ => return Err(from.corrupt(&format!("unknown string encoding {encoding}"))),
    })
}

/// Read a string to its bytes, into `into` (cleared first).
pub(super) fn load_bytes(
    from: &mut Reader<'_>,
    unpacked: &mut Vec<u8>,
    into: &mut Vec<u8>,
) -> Result<()> {
    into.clear();
    match load_string(from, unpacked)? {
        Loaded::Bytes(bytes) => into.extend_from_slice(bytes),
        Loaded::Int(value) => into.extend_from_slice(&IntText::new(value)),
    }
    Ok(())
}

fn load_packed<'a>(from: &mut Reader<'_>, unpacked: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let packed_size = load_length(from)?;
    let packed_size = checked(from, packed_size)?;
    let size = load_length(from)?;
    let size = checked(from, size)?;
    if size as u64 > packed_size as u64 * lzf::GROWTH_MAX {
        let text = format!("{packed_size} packed bytes cannot hold the {size} that are claimed");
        return Err(from.corrupt(&text));
    }
    // The packed bytes first: a file that ends here is refused before the memory is made.
    let packed = from.take(packed_size)?;
    unpacked.resize(size, 0);
    match lzf::decompress(packed, unpacked) {
        Some(()) => Ok(unpacked),
        None => Err(from.corrupt("packed string is damaged (LZF)")),
    }
}

fn checked(from: &Reader<'_>, length: u64) -> Result<usize> {
    match usize::try_from(length) {
        Ok(length) if length <= BULK_BYTES_MAX => Ok(length),
        _ => Err(from.corrupt(&format!("a string of {length} bytes (at most {BULK_BYTES_MAX})"))),
    }
}

// ---------------------------------------------------------------------------------------- integers

/// The integer whose only decimal text `bytes` is (no `+`, no leading zero, no `-0`).
fn canonical_i32(bytes: &[u8]) -> Option<i32> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let is_negative = digits.len() != bytes.len();
    let mut value = 0_i64;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value = value * 10 + i64::from(digit);
    }
    match digits {
        [] => return None,
        [b'0', ..] if is_negative || digits.len() > 1 => return None,
        _ => {}
    }
    i32::try_from(if is_negative { -value } else { value }).ok()
}

/// Memory from the kernel, for one string; a plain system call, so the fork child may ask for it.
struct Mapping {
    place: *mut libc::c_void,
    size: usize,
}

impl Mapping {
    fn new(size: usize) -> Option<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping; nothing is replaced.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
        (place != libc::MAP_FAILED).then_some(Self { place, size })
    }

    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `size` bytes, readable and writable, zeroed, and ours alone until
        // the drop.
        unsafe { std::slice::from_raw_parts_mut(self.place.cast(), self.size) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made.
        unsafe { libc::munmap(self.place, self.size) };
    }
}
