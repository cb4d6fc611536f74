//! redis.conf and redis-server's arguments as text: lines, words, quotes, escapes, `include`. What
//! directives mean stands in `table` and `values`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Directive;
use crate::command::glob_matches;
use crate::error::{EngineError, Result};

/// Files that may include one another, one inside the other.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Largest configuration file, bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Read a redis.conf file (quotes, escapes, comments, `include`).
///
/// # Errors
/// `CONFIG_INVALID` with file and line, `FILE_MISSING`.
pub fn read_redis_conf(path: &Path) -> Result<Vec<Directive>> {
    let mut directives = Vec::new();
    read_file(path, 0, &mut directives)?;
    Ok(directives)
}

fn read_file(path: &Path, depth: usize, directives: &mut Vec<Directive>) -> Result<()> {
    let failed = |error: std::io::Error| EngineError::from_io("read", path, &error);
    // A pipe or a device does not say how much it holds.
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX || depth > INCLUDE_DEPTH_MAX {
        return Err(EngineError::new(
            "CONFIG_INVALID",
            format!("{} is too big or included too deeply", path.display()),
            "Check the include lines.",
        ));
    }
    let mut is_after_include = false;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let origin = format!("{} line {}", path.display(), index + 1);
        let words = split_words(line).ok_or_else(|| unbalanced(&origin, line))?;
        let Some((name, args)) = words.split_first() else { continue };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if name == "include" {
            for file in included(args, &origin)? {
                read_file(&file, depth + 1, directives)?;
            }
            is_after_include = true;
            continue;
        }
        let mut directive = Directive::new(&name, args.to_vec(), &origin);
        (directive.is_included, directive.is_after_include) = (depth > 0, is_after_include);
        directives.push(directive);
    }
    Ok(())
}

fn unbalanced(origin: &str, line: &[u8]) -> EngineError {
    EngineError::new(
        "CONFIG_INVALID",
        format!("{origin}: unbalanced quotes in '{}'", String::from_utf8_lossy(line)),
        "Close the quotes, or put a backslash before a quote that is meant.",
    )
}

/// The files that one include line names: a path, or a pattern (then those that are there, sorted).
fn included(args: &[Vec<u8>], origin: &str) -> Result<Vec<PathBuf>> {
    let [pattern] = args else {
        return Err(EngineError::new(
            "CONFIG_INVALID",
            format!("{origin}: include takes one path"),
            "Write one include line for each file.",
        ));
    };
    let path = PathBuf::from(String::from_utf8_lossy(pattern).into_owned());
    Ok(if is_pattern(pattern) { expand(&path) } else { vec![path] })
}

fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|byte| b"*?[".contains(byte))
}

/// What is there under a pattern, part by part; hidden files only where the pattern has the dot.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let bytes = part.as_encoded_bytes();
        if !is_pattern(bytes) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let is_meant = |name: &[u8]| {
            glob_matches(bytes, name, false) && (bytes[0] == b'.' || !name.starts_with(b"."))
        };
        let inside = |folder: &PathBuf| {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let entries = std::fs::read_dir(here).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            let meant = names.filter(|name| is_meant(name.as_encoded_bytes()));
            meant.map(|name| folder.join(name)).collect::<Vec<_>>()
        };
        found = found.iter().flat_map(inside).collect();
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// Read arguments as redis-server does: `--save '' --dbfilename x.rdb`, several values up to the
/// next `--`. The word after a bare name is its value even if it begins with `--`; `--save` alone
/// means no save points.
///
/// # Errors
/// `CONFIG_INVALID` for words before the first `--name`.
pub fn read_redis_args(args: &[String]) -> Result<Vec<Directive>> {
    let mut directives: Vec<Directive> = Vec::new();
    let mut is_value_due = false;
    for (at, arg) in args.iter().enumerate() {
        match (arg.strip_prefix("--").filter(|_| !is_value_due), directives.last_mut()) {
            (Some(name), _) => {
                let directive = named(name, arg)?;
                let is_last = args.get(at + 1).is_none_or(|next| next.starts_with("--"));
                is_value_due = directive.args.is_empty() && !(directive.name == "save" && is_last);
                directives.push(directive);
            }
            (None, Some(directive)) => {
                directive.args.push(arg.clone().into_bytes());
                is_value_due = false;
            }
            (None, None) => {
                return Err(EngineError::new(
                    "CONFIG_INVALID",
                    format!("'{arg}' stands before any --name"),
                    "Give directives as --name value; a redis.conf is given with --redis-conf, before the --.",
                ));
            }
        }
    }
    for directive in directives.iter_mut().filter(|directive| directive.name == "save") {
        if directive.args.is_empty() {
            directive.args.push(Vec::new());
        }
    }
    Ok(directives)
}

/// `--port`, or `--port 6379` as one argument.
fn named(text: &str, arg: &str) -> Result<Directive> {
    let words = split_words(text.as_bytes()).unwrap_or_default();
    let Some((name, args)) = words.split_first() else {
        return Err(EngineError::new(
            "CONFIG_INVALID",
            format!("'{arg}' names no directive"),
            "Give directives as --name value; a redis.conf is given with --redis-conf, before the --.",
        ));
    };
    Ok(Directive::new(&String::from_utf8_lossy(name), args.to_vec(), "command line"))
}

/// Split a line into words: blanks separate; `"..."` knows `\n \r \t \b \a \xHH \"` and `\\`;
/// `'...'` knows `\'`. `None` if a quote is not closed, or is followed by something other than a
/// blank.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let mut word = Vec::new();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'"' | b'\'' => {
                    rest = quoted(rest, byte, &mut word)?;
                    if rest.first().is_some_and(|next| !next.is_ascii_whitespace()) {
                        return None;
                    }
                    break;
                }
                blank if blank.is_ascii_whitespace() || blank == 0 => break,
                plain => word.push(plain),
            }
        }
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Some(words)
}

/// Read up to the closing quote; gives what follows it.
fn quoted<'a>(text: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut at = 0;
    loop {
        match (text.get(at)?, text.get(at + 1)) {
            (b'\\', Some(b'x')) if quote == b'"' && hex_pair(text, at + 2).is_some() => {
                word.push(hex_pair(text, at + 2)?);
                at += 4;
            }
            (b'\\', Some(&escaped)) if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                at += 2;
            }
            (b'\\', Some(b'\'')) if quote == b'\'' => {
                word.push(b'\'');
                at += 2;
            }
            (&byte, _) if byte == quote => return Some(&text[at + 1..]),
            (&byte, _) => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

fn hex_pair(text: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    Some((digit(at)? * 16 + digit(at + 1)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split_words(line.as_bytes()).unwrap();
        words.iter().map(|word| String::from_utf8(word.clone()).unwrap()).collect()
    }

    #[test]
    fn words_are_split_as_redis_does() {
        assert_eq!(words(r#"save  3600 1 "a b" 'c d' "#), ["save", "3600", "1", "a b", "c d"]);
        assert_eq!(words(r#"x "\x41\n\"" '\'' "#), ["x", "A\n\"", "'"]);
        assert_eq!(words(r#"x "" '' "#), ["x", "", ""]);
        for bad in [r#"x "a"#, r#"x "a"b"#, "x 'a", "x 'a'b"] {
            assert_eq!(split_words(bad.as_bytes()), None, "{bad}");
        }
    }

    fn args(list: &[&str]) -> Vec<(String, Vec<String>)> {
        let list: Vec<String> = list.iter().map(|&arg| arg.to_owned()).collect();
        read_redis_args(&list)
            .unwrap()
            .into_iter()
            .map(|d| {
                let texts = d.args.iter().map(|a| String::from_utf8(a.clone()).unwrap());
                (d.name, texts.collect())
            })
            .collect()
    }

    #[test]
    fn arguments_are_read_as_redis_server_does() {
        let owned = |name: &str, values: &[&str]| {
            (name.to_owned(), values.iter().map(|&v| v.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            args(&["--save", "", "--dbfilename", "x.rdb"]),
            [owned("save", &[""]), owned("dbfilename", &["x.rdb"])]
        );
        assert_eq!(
            args(&["--save", "3600", "1", "--save", "300 10", "--Port 7"]),
            [owned("save", &["3600", "1"]), owned("save", &["300 10"]), owned("port", &["7"])]
        );
        assert_eq!(args(&["--save", "--port", "1"]), [owned("save", &[""]), owned("port", &["1"])]);
        assert_eq!(args(&["--save"]), [owned("save", &[""])]);
        assert_eq!(args(&["--logfile", "--x"]), [owned("logfile", &["--x"])]);
        assert_eq!(read_redis_args(&["x".to_owned()]).unwrap_err().code, "CONFIG_INVALID");
    }

    #[test]
    fn includes_are_read_in_place() {
        let folder = std::env::temp_dir().join(format!("perdure-conf-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let main = folder.join("main.conf");
        std::fs::write(folder.join("b.inc"), "hz 20\n").unwrap();
        std::fs::write(folder.join("a.inc"), "# nothing\n\nport 1\r\n").unwrap();
        std::fs::write(&main, format!("timeout 1\ninclude {}/*.inc\nPORT 2\n", folder.display()))
            .unwrap();
        let names: Vec<String> =
            read_redis_conf(&main).unwrap().into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["timeout", "port", "hz", "port"]);
        let deep = format!(
            "include {}/perdure-con*-{}/[ab].i?c\n",
            std::env::temp_dir().display(),
            std::process::id()
        );
        std::fs::write(&main, deep).unwrap();
        assert_eq!(read_redis_conf(&main).unwrap().len(), 2);
        std::fs::write(&main, "include /nonexistent/*/x.conf\nhz 1\n").unwrap();
        assert_eq!(read_redis_conf(&main).unwrap().len(), 1);
        std::fs::write(&main, format!("include {}\n", main.display())).unwrap();
        assert_eq!(read_redis_conf(&main).unwrap_err().code, "CONFIG_INVALID");
        // No end, and no length that would tell.
        assert_eq!(read_redis_conf(Path::new("/dev/zero")).unwrap_err().code, "CONFIG_INVALID");
        std::fs::write(&main, "a\nb \"c\n").unwrap();
        let error = read_redis_conf(&main).unwrap_err();
        assert!(error.message.contains("line 2") && error.message.contains("b \"c"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read_redis_conf(&main).unwrap_err().code, "FILE_MISSING");
    }
}
