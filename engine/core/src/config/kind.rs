//! What values a directive takes: their syntax, Redis's reasons for refusing, and how they look in
//! CONFIG GET and in a line of redis.conf. Directives of several words stand in `words`.

/// Why a value is refused, in Redis's words.
pub type Reason = String;

/// The syntax of a directive's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// An integer between two, inclusive.
    Int(i64, i64),
    /// A number of bytes, at least so many: `1k` is 1000, `1kb` 1024, and so on to g and gb.
    Memory(i64),
    /// A number of bytes, or a percentage.
    MemoryOrPercent,
    /// A file's permissions.
    Octal,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// A file's name without a folder.
    Name,
    /// Any one word.
    Text,
    /// Several words: `words` knows them.
    Words,
}

/// A value that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `yes` or `no`.
    Bool(bool),
    /// An integer, or a number of bytes.
    Int(i64),
    /// Text in its canonical form.
    Text(String),
}

impl Kind {
    /// Check and read the value of the directive `name`.
    ///
    /// # Errors
    /// Redis's reason.
    pub fn read(self, name: &str, text: &str) -> Result<Value, Reason> {
        match self {
            Self::Bool => match text.to_ascii_lowercase().as_str() {
                "yes" => Ok(Value::Bool(true)),
                "no" => Ok(Value::Bool(false)),
                _ => Err("argument must be 'yes' or 'no'".to_owned()),
            },
            Self::Int(low, high) => integer(text, low, high).map(Value::Int),
            Self::Memory(low) => in_range(memory(text)?, low, i64::MAX).map(Value::Int),
            Self::MemoryOrPercent => memory_or_percent(text).map(Value::Text),
            Self::Octal => octal(text).map(|mode| Value::Text(format!("{mode:o}"))),
            Self::Word(words) => one_of(text, words).map(|word| {
                // Redis has two words for one thing, and shows the first.
                let is_second = name == "oom-score-adj" && word == "relative";
                Value::Text(if is_second { "yes" } else { word }.to_owned())
            }),
            Self::Name if text.contains('/') => {
                let what = if name == "appenddirname" { "dirname" } else { "filename" };
                Err(format!("{name} can't be a path, just a {what}"))
            }
            Self::Name | Self::Text | Self::Words => Ok(Value::Text(text.to_owned())),
        }
    }

    /// The value in a line of redis.conf; `shown` is what CONFIG GET says.
    pub fn written(self, shown: &str) -> String {
        match self {
            Self::Memory(_) => match shown.parse() {
                Ok(bytes) => format_memory(bytes),
                Err(_) => shown.to_owned(),
            },
            Self::Name | Self::Text => quote(shown),
            _ => shown.to_owned(),
        }
    }
}

impl Value {
    /// The value as CONFIG GET says it.
    pub fn shown(&self) -> String {
        match self {
            Self::Bool(true) => "yes".to_owned(),
            Self::Bool(false) => "no".to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// The word as it is listed, whatever its case.
pub fn one_of(text: &str, words: &[&'static str]) -> Result<&'static str, Reason> {
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found
        .copied()
        .ok_or_else(|| format!("argument(s) must be one of the following: {}", words.join(", ")))
}

fn integer(text: &str, low: i64, high: i64) -> Result<i64, Reason> {
    let value = crate::value::integer::parse_i64(text.as_bytes())
        .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
    in_range(value, low, high)
}

fn in_range(value: i64, low: i64, high: i64) -> Result<i64, Reason> {
    (low..=high)
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| format!("argument must be between {low} and {high} inclusive"))
}

const UNITS: [(&str, i64); 8] = [
    ("", 1),
    ("b", 1),
    ("k", 1000),
    ("kb", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1 << 30),
];

/// A number of bytes. Nothing at all is none, as in Redis.
pub fn memory(text: &str) -> Result<i64, Reason> {
    let wrong = || "argument must be a memory value".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let is_unit = |(name, _): &&(&str, i64)| name.eq_ignore_ascii_case(unit);
    let (_, scale) = UNITS.iter().find(is_unit).ok_or_else(wrong)?;
    let number: i64 = if text.is_empty() { 0 } else { digits.parse().map_err(|_| wrong())? };
    number.checked_mul(*scale).ok_or_else(wrong)
}

/// The largest unit that divides the number of bytes, as CONFIG REWRITE writes it.
pub fn format_memory(bytes: i64) -> String {
    let is_whole = |(_, scale): &&(&str, i64)| bytes != 0 && bytes % scale == 0;
    let binary = UNITS.iter().filter(|(name, _)| name.len() == 2).rev();
    match binary.clone().find(is_whole) {
        Some((name, scale)) => format!("{}{name}", bytes / scale),
        None => bytes.to_string(),
    }
}

fn memory_or_percent(text: &str) -> Result<String, Reason> {
    if let Some(digits) = text.strip_suffix('%') {
        let wrong = || "argument must be a memory or percent value".to_owned();
        let percent: u32 = digits.parse().map_err(|_| wrong())?;
        if percent > 100 {
            return Err("percentage argument must be less or equal to 100".to_owned());
        }
        return Ok(format!("{percent}%"));
    }
    let bytes =
        memory(text).map_err(|_| "argument must be a memory or percent value".to_owned())?;
    Ok(bytes.to_string())
}

fn octal(text: &str) -> Result<u32, Reason> {
    let mode = u32::from_str_radix(text, 8)
        .map_err(|_| "argument couldn't be parsed as an octal number".to_owned())?;
    if mode > 0o777 {
        return Err("argument must be between 0 and 777 inclusive".to_owned());
    }
    Ok(mode)
}

/// `"..."` that `file::split_words` reads back as `text`.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'\\' | b'"' => quoted.extend(['\\', char::from(byte)]),
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            0x07 => quoted.push_str("\\a"),
            0x08 => quoted.push_str("\\b"),
            b' '..=b'~' => quoted.push(char::from(byte)),
            other => quoted.push_str(&format!("\\x{other:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_written_with_redis_s_units() {
        for (text, bytes) in [("1k", 1000), ("1KB", 1024), ("10B", 10), ("2g", 2_000_000_000)] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        assert_eq!(memory(""), Ok(0));
        for bad in ["-1", "1.5mb", "1tb", " 1mb", "mb", "99999999999gb"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        for (bytes, text) in
            [(0, "0"), (1000, "1000"), (1024, "1kb"), (100 << 20, "100mb"), (3 << 30, "3gb")]
        {
            assert_eq!(format_memory(bytes), text);
            assert_eq!(memory(text), Ok(bytes));
        }
    }

    #[test]
    fn a_quoted_text_reads_back_as_it_was() {
        for text in ["", "a b", "a\"b\\c", "tab\tnew\nline\u{7}\u{8}\u{0}", "Größe"] {
            let words = crate::config::split_words(quote(text).as_bytes()).unwrap();
            assert_eq!(words, [text.as_bytes()]);
        }
    }
}
