//! Looks at RDB files without an engine, for `perdure rdb`: the one call of the border that takes as
//! long as the file is long, on the caller's own thread. The JSON shape is that of
//! `sidecar/_engine.pyi`.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::Result;
use crate::job::report::summary_json;
use crate::rdb::{self, BigKey, EncodingCounts, InspectOptions, Inspection};

/// Read a whole RDB file; gives what was found, as a JSON object.
///
/// # Errors
/// As [`rdb::inspect`].
pub fn inspect(path: &Path, options: InspectOptions<'_>) -> Result<String> {
    let inspection = rdb::inspect(path, options)?;
    let mut found = summary_json(&inspection.summary);
    if let (Value::Object(fields), Value::Object(more)) = (&mut found, more_json(&inspection)) {
        fields.insert("path".to_owned(), path.to_string_lossy().into());
        fields.extend(more);
    }
    Ok(found.to_string())
}

fn more_json(inspection: &Inspection) -> Value {
    let Inspection { summary, expire_at_ms, .. } = inspection;
    let keys = |keys: &[BigKey]| keys.iter().map(key_json).collect::<Vec<_>>();
    json!({
        "is_checksummed": summary.is_checksummed,
        "trailing_bytes": summary.trailing_bytes,
        "empty_skipped": summary.empty_skipped,
        "functions": summary.functions,
        "functions_bytes": inspection.functions_bytes,
        "first_expire_unix_ms": expire_at_ms.map(|(first, _)| first),
        "last_expire_unix_ms": expire_at_ms.map(|(_, last)| last),
        "unsupported": inspection.unsupported,
        "unsupported_first": inspection.unsupported_first.as_ref().map(key_json),
        "encodings": inspection.encodings.iter().map(counts_json).collect::<Vec<_>>(),
        "largest": keys(&inspection.largest),
        "longest": keys(&inspection.longest),
    })
}

fn counts_json(counts: &EncodingCounts) -> Value {
    json!({
        "db": counts.db,
        "type": counts.type_name,
        "encoding": counts.encoding,
        "keys": counts.keys,
        "expires": counts.expires,
        "bytes": counts.bytes,
        "elements": counts.elements,
    })
}

fn key_json(key: &BigKey) -> Value {
    let name = match std::str::from_utf8(&key.name) {
        Ok(text) => text.to_owned(),
        Err(_) => key.name.escape_ascii().to_string(),
    };
    json!({
        "db": key.db,
        "key": name,
        "type": key.type_name,
        "encoding": key.encoding,
        "bytes": key.bytes,
        "elements": key.elements,
        "expire_unix_ms": key.expire_at_ms,
    })
}
