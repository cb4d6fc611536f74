//! FUNCTION in a log: libraries are kept and written back, not run (`keyspace`). Which library a
//! source is stands in its first line, `#!<engine> name=<library>`.

use super::replay::shown;
use crate::keyspace::Keyspace;
use crate::resp::Args;

/// Do what a FUNCTION call says.
///
/// # Errors
/// Why it cannot be done.
pub(super) fn replay_function(keyspace: &mut Keyspace, args: Args<'_>) -> Result<(), String> {
    let is_sub = |name: &str| args.get(1).eq_ignore_ascii_case(name.as_bytes());
    match args.len() {
        3 if is_sub("load") => load(keyspace, args.get(2), false),
        4 if is_sub("load") && args.get(2).eq_ignore_ascii_case(b"replace") => {
            load(keyspace, args.get(3), true)
        }
        3 if is_sub("delete") => {
            if keyspace.remove_function(|source| library_of(source) == Some(args.get(2))) {
                return Ok(());
            }
            Err(format!("there is no function library '{}'", shown(args.get(2))))
        }
        2 | 3 if is_sub("flush") => {
            while keyspace.remove_function(|_| true) {}
            Ok(())
        }
        _ => Err(format!("'FUNCTION {}' is not known here", shown(args.get(1)))),
    }
}

fn load(keyspace: &mut Keyspace, source: &[u8], is_replacing: bool) -> Result<(), String> {
    let Some(name) = library_of(source) else {
        return Err("a function library without a name".to_owned());
    };
    let was_there = keyspace.remove_function(|other| library_of(other) == Some(name));
    if was_there && !is_replacing {
        return Err(format!("the function library '{}' is there already", shown(name)));
    }
    keyspace.add_function(source);
    Ok(())
}

/// The library that a source makes.
fn library_of(source: &[u8]) -> Option<&[u8]> {
    let line = source.split(|byte| *byte == b'\n').next()?.strip_prefix(b"#!")?;
    let words = line.split(|byte| byte.is_ascii_whitespace());
    words.skip(1).find_map(|word| {
        let (field, name) = word.split_at_checked(5)?;
        (field.eq_ignore_ascii_case(b"name=") && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_stands_in_the_first_line() {
        assert_eq!(library_of(b"#!lua name=mylib\nredis.x()"), Some(b"mylib".as_slice()));
        assert_eq!(library_of(b"#!lua  NAME=a\r\n"), Some(b"a".as_slice()));
        for source in [b"".as_slice(), b"#!lua", b"#!lua name=", b"lua name=a", b"#!name=a\n"] {
            assert_eq!(library_of(source), None);
        }
    }
}
