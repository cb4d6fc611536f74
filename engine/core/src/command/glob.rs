//! Redis's glob patterns: `*`, `?`, `[abc]`, `[^a-z]`, `\x`. A `*` backtracks over one earlier `*`
//! only, so the time is bounded by pattern length times text length: a hostile pattern cannot hold
//! the engine lock for long (I7).

/// Whether `text` matches `pattern` as a whole.
pub fn matches(pattern: &[u8], text: &[u8], is_case_ignored: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty(); // so in Redis: not even a star matches nothing at all
    }
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        let step = (p < pattern.len()).then(|| one(&pattern[p..], text[t], is_case_ignored));
        if let Some((true, used)) = step {
            p += used;
            t += 1;
            continue;
        }
        let Some((after_star, from)) = star else { return false };
        star = Some((after_star, from + 1));
        (p, t) = (after_star, from + 1);
        if t > text.len() {
            return false;
        }
    }
}

fn fold(byte: u8, is_case_ignored: bool) -> u8 {
    if is_case_ignored { byte.to_ascii_lowercase() } else { byte }
}

/// Whether the first element of `pattern` (not a `*`) takes `byte`, and how long the element is.
fn one(pattern: &[u8], byte: u8, is_case_ignored: bool) -> (bool, usize) {
    match pattern[0] {
        b'?' => (true, 1),
        b'[' => class(pattern, byte, is_case_ignored),
        b'\\' if pattern.len() >= 2 => {
            (fold(pattern[1], is_case_ignored) == fold(byte, is_case_ignored), 2)
        }
        literal => (fold(literal, is_case_ignored) == fold(byte, is_case_ignored), 1),
    }
}

/// A class; one that is never closed reaches to the end of the pattern.
fn class(pattern: &[u8], byte: u8, is_case_ignored: bool) -> (bool, usize) {
    let byte = fold(byte, is_case_ignored);
    let mut at = 1;
    let is_negated = pattern.get(at) == Some(&b'^');
    if is_negated {
        at += 1;
    }
    let mut is_in = false;
    loop {
        match pattern.get(at) {
            None => return (is_in != is_negated, at),
            Some(b'\\') if at + 1 < pattern.len() => {
                is_in |= pattern[at + 1] == byte;
                at += 2;
            }
            Some(b']') => return (is_in != is_negated, at + 1),
            Some(&low) if pattern.get(at + 1) == Some(&b'-') && at + 2 < pattern.len() => {
                let a = fold(low, is_case_ignored);
                let b = fold(pattern[at + 2], is_case_ignored);
                is_in |= (a.min(b)..=a.max(b)).contains(&byte);
                at += 3;
            }
            Some(&literal) => {
                is_in |= fold(literal, is_case_ignored) == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases: [(&str, &str, bool); 17] = [
            ("*", "", false),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("h?llo", "hello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[\\]]", "]", true),
            ("**a", "bca", true),
            ("a", "", false),
            ("", "", true),
            ("", "a", false),
            ("*x*y", "axbxcy", true),
            ("[abc", "c", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(matches(b"MAXMEM*", b"maxmemory", true));
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = b"*a".repeat(200);
        assert!(!matches(&[pattern, b"b".to_vec()].concat(), &vec![b'a'; 20_000], false));
    }
}
