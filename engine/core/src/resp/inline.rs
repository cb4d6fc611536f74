//! Words of a line by Redis's quoting rules: inline requests, and lines of a redis.conf.
//! Words are separated by blanks; `"..."` knows `\n \r \t \b \a \xHH \\ \"`, `'...'` knows `\'`
//! only; after a closing quote a blank or the end must follow.

use super::args::Range;

/// The quotes of a line do not match up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnbalancedQuotes;

/// Append the unquoted words of `line` to `words`, and to `ranges` where each stands in `words`
/// counted from its length at the call. On failure both may hold words of the broken line.
///
/// # Errors
/// A quote that is not closed, or is followed by something else than a blank.
pub fn split(
    line: &[u8],
    words: &mut Vec<u8>,
    ranges: &mut Vec<Range>,
) -> Result<(), UnbalancedQuotes> {
    let base = words.len();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_blank(*byte)) {
            at += 1;
        }
        if at >= line.len() {
            return Ok(());
        }
        let start = words.len();
        at = take_word(line, at, words)?;
        // A line is bounded (64 KiB on a socket, 4 GiB anywhere), so the numbers fit.
        ranges.push(((start - base) as u32, (words.len() - start) as u32));
    }
}

/// The words of a line as owned bytes.
///
/// # Errors
/// As [`split`].
pub fn split_owned(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let (mut words, mut ranges) = (Vec::new(), Vec::new());
    split(line, &mut words, &mut ranges)?;
    let word = |&(start, length): &Range| words[start as usize..(start + length) as usize].to_vec();
    Ok(ranges.iter().map(word).collect())
}

/// C's `isspace`.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// Append one word that begins at `at`; gives where it ends.
fn take_word(line: &[u8], mut at: usize, words: &mut Vec<u8>) -> Result<usize, UnbalancedQuotes> {
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' | 0 => return Ok(at + 1),
            b'"' => return take_quoted(line, at + 1, b'"', words),
            b'\'' => return take_quoted(line, at + 1, b'\'', words),
            plain => words.push(plain),
        }
        at += 1;
    }
    Ok(at)
}

/// Append the rest of a word whose opening `quote` stands just before `at`.
fn take_quoted(
    line: &[u8],
    mut at: usize,
    quote: u8,
    words: &mut Vec<u8>,
) -> Result<usize, UnbalancedQuotes> {
    loop {
        let byte = *line.get(at).ok_or(UnbalancedQuotes)?;
        if byte == quote {
            // The closing quote ends the word: something must part it from the next.
            return match line.get(at + 1) {
                Some(next) if !is_blank(*next) => Err(UnbalancedQuotes),
                _ => Ok(at + 1),
            };
        }
        let (value, length) = match (byte, line.get(at + 1)) {
            (b'\\', Some(_)) if quote == b'"' => unescape(&line[at..]),
            (b'\\', Some(b'\'')) => (b'\'', 2), // here only inside '...'
            (plain, _) => (plain, 1),
        };
        words.push(value);
        at += length;
    }
}

/// The value and length of an escape inside double quotes; `text` begins with the backslash and is
/// longer than it.
fn unescape(text: &[u8]) -> (u8, usize) {
    let digit = |index: usize| {
        text.get(index).and_then(|byte| char::from(*byte).to_digit(16)).map(|digit| digit as u8)
    };
    match text[1] {
        b'x' => match (digit(2), digit(3)) {
            (Some(high), Some(low)) => (high << 4 | low, 4),
            _ => (b'x', 2),
        },
        b'n' => (b'\n', 2),
        b'r' => (b'\r', 2),
        b't' => (b'\t', 2),
        b'b' => (0x08, 2),
        b'a' => (0x07, 2),
        other => (other, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<String>, UnbalancedQuotes> {
        let owned = split_owned(line.as_bytes())?;
        Ok(owned.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    #[test]
    fn words_are_split_at_blanks_and_quotes_removed() {
        assert_eq!(words("  set  a\tb ").unwrap(), ["set", "a", "b"]);
        assert_eq!(words(r#"set "a b" 'c d'"#).unwrap(), ["set", "a b", "c d"]);
        assert_eq!(words(r#"a"b c" "" ''"#).unwrap(), ["ab c", "", ""]);
        assert!(words("   ").unwrap().is_empty());
    }

    #[test]
    fn escapes_have_redis_meaning() {
        assert_eq!(split_owned(br#""\x41\n\xff\xg\q\"""#).unwrap(), [b"A\n\xffxgq\"".to_vec()]);
        assert_eq!(words(r"'it\'s \n'").unwrap(), [r"it's \n"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [r#"get "a"#, "get 'a", r#"get "a"b"#, "get 'a'b", r#"get "a\""#] {
            assert_eq!(words(line), Err(UnbalancedQuotes), "{line}");
        }
    }
}
