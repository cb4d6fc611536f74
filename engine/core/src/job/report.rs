//! Results of jobs as JSON, in the shapes that `sidecar/_engine.pyi` documents. One place, so that
//! stub and engine can be compared.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::aof::LogPosition;
use crate::rdb::{AUX_LOG_POSITION, Summary, parse_position};
use crate::snapshot::CutReport;

/// The version that the engine writes.
const RDB_VERSION_WRITTEN: u32 = 10;

/// CUT.
pub fn cut_json(report: &CutReport, pause: Duration) -> Value {
    json!({
        "path": report.path.to_string_lossy(),
        "size_bytes": report.size_bytes,
        "keys": report.keys,
        "fork_seconds": report.fork_duration.as_secs_f64(),
        "pause_seconds": pause.as_secs_f64(),
        "cow_bytes": report.cow_bytes,
        "write_seconds": report.write_duration.as_secs_f64(),
        "cut_unix_ms": report.cut_unix_ms,
        "log_position": report.log_position.map(position_json),
        "rdb_version": RDB_VERSION_WRITTEN,
    })
}

/// POSITION.
fn position_json(position: LogPosition) -> Value {
    json!({"epoch": position.epoch, "offset": position.offset})
}

/// VERIFY.
pub fn summary_json(summary: &Summary) -> Value {
    let aux = |name: &str| {
        summary.aux.iter().find(|(other, _)| other == name).map_or("", |(_, text)| text.as_str())
    };
    let number = |name: &str| aux(name).parse::<u64>().unwrap_or(0);
    let all: Map<String, Value> =
        summary.aux.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect();
    let mut databases = Map::new();
    for db in &summary.databases {
        let types: Map<String, Value> =
            db.types.iter().map(|(name, keys)| ((*name).to_owned(), (*keys).into())).collect();
        let counts = json!({"keys": db.keys, "expires": db.expires, "types": types});
        databases.insert(db.index.to_string(), counts);
    }
    json!({
        "size_bytes": summary.size_bytes,
        "sha256": summary.sha256,
        "rdb_version": summary.rdb_version,
        "redis_version": aux("redis-ver"),
        "created_unix_s": number("ctime"),
        "used_memory_bytes": number("used-mem"),
        "log_position": parse_position(aux(AUX_LOG_POSITION).as_bytes()).map(position_json),
        "aux": all,
        "keys": summary.databases.iter().map(|db| db.keys).sum::<u64>(),
        "expires": summary.databases.iter().map(|db| db.expires).sum::<u64>(),
        "databases": databases,
    })
}
