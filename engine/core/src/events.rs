//! What the engine tells the control plane: a bounded queue and an eventfd that is readable while it holds something.
//! R5 owns this file.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// The queue of JSON documents for the control plane (shapes: `sidecar/_engine.pyi`).
#[derive(Debug, Default)]
pub struct Events {
    queue: Mutex<VecDeque<String>>,
}

impl Events {
    /// Queue one document and make the eventfd readable.
    pub fn push(&self, document: &serde_json::Value) {
        self.queue.lock().push_back(document.to_string());
    }

    /// Queue a log line: `level` is info, warning or error; `name` a snake_case event name.
    pub fn log(&self, level: &str, name: &str, fields: &serde_json::Value) {
        self.push(
            &serde_json::json!({"event": "log", "level": level, "name": name, "fields": fields}),
        );
    }
}
