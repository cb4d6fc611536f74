//! Which file a call is about, as an absolute path, in a buffer on the stack: that of a descriptor
//! from `/proc`, or a name that a call was given. Bare system calls, no allocation.

#![allow(unsafe_code)] // readlink into our own buffer

use std::ffi::CStr;

const PATH_BYTES_MAX: usize = 4096;

/// An absolute path; empty when it is not known.
pub struct Place {
    bytes: [u8; PATH_BYTES_MAX],
    length: usize,
}

impl Place {
    fn new() -> Self {
        Self { bytes: [0; PATH_BYTES_MAX], length: 0 }
    }

    /// What a descriptor is open on.
    pub fn of_descriptor(fd: libc::c_int) -> Self {
        let mut link = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
        let mut made = Self::new();
        let Ok(mut rest) = u32::try_from(fd) else { return made };
        let mut digits = [0_u8; 10];
        let mut from = digits.len();
        loop {
            from -= 1;
            digits[from] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let number = &digits[from..];
        link[14..14 + number.len()].copy_from_slice(number);
        made.read_link(&link);
        made
    }

    /// A name that a call was given; relative ones stand in the working directory.
    pub fn of_name(name: &CStr) -> Self {
        let mut made = Self::new();
        let name = name.to_bytes();
        if name.first() != Some(&b'/') {
            made.read_link(b"/proc/self/cwd\0");
            made.push(b"/");
        }
        made.push(name);
        made
    }

    /// The path.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether it is `folder` or something in it.
    pub fn is_below(&self, folder: &[u8]) -> bool {
        match self.bytes().strip_prefix(folder) {
            Some(rest) => rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// Whether the file's own name has `text` in it.
    pub fn is_named(&self, text: &[u8]) -> bool {
        let name = self.bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        text.is_empty() || name.windows(text.len()).any(|part| part == text)
    }

    /// `link` ends with a NUL.
    fn read_link(&mut self, link: &[u8]) {
        // SAFETY: a string with its NUL, and a buffer of that length.
        let length = unsafe {
            let (from, to) = (link.as_ptr(), self.bytes.as_mut_ptr());
            libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, from, to, PATH_BYTES_MAX)
        };
        self.length = usize::try_from(length).unwrap_or(0);
    }

    fn push(&mut self, more: &[u8]) {
        let end = self.length + more.len();
        match self.bytes.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(more);
                self.length = end;
            }
            None => self.length = 0, // the kernel refuses such a name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_itself_and_what_is_in_it() {
        let place = Place::of_name(c"/a/bc/d");
        assert!(place.is_below(b"/a/bc") && place.is_below(b"/a/bc/d"));
        assert!(place.is_named(b"d") && place.is_named(b"") && !place.is_named(b"bc"));
        assert!(!place.is_below(b"/a/b") && !place.is_below(b"/a/bc/d/e"));
    }

    #[test]
    fn a_descriptor_and_a_relative_name_have_a_path() {
        let here = std::env::current_dir().unwrap_or_default();
        let place = Place::of_name(c"x");
        assert_eq!(place.bytes(), here.join("x").as_os_str().as_encoded_bytes());
        assert!(!Place::of_descriptor(0).bytes().is_empty());
        assert!(Place::of_descriptor(-1).bytes().is_empty());
    }
}
