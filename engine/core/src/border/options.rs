//! What the control plane says at start: JSON to [`StartOptions`], and from there to the directives
//! in force. What each directive means is `config`'s business; here is only which source beats
//! which. Low to high: engine defaults, the options' own fields, `defaults` (TOML), redis.conf,
//! environment, Redis arguments, `overrides` (command line).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::config::{Config, Directive, read_redis_args, read_redis_conf};
use crate::error::{EngineError, Result};

/// The options document. Unknown fields are refused, so that a typing error never goes unnoticed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartOptions {
    /// Addresses of both doors, unless a higher source gives the directive `bind`.
    pub bind: Vec<String>,
    /// Port of the RESP door (0 takes a free one), unless a higher source gives `port`.
    pub resp_port: u16,
    /// Port of the data door (0 takes a free one).
    pub data_port: u16,
    /// Where `dump.rdb` stands, unless a higher source gives `dir`. Created if it is not there.
    pub data_dir: PathBuf,
    /// A redis.conf to read.
    pub redis_conf: Option<PathBuf>,
    /// What followed `--` on the command line.
    pub redis_args: Vec<String>,
    /// Directives from TOML. Values are words as in redis.conf.
    pub defaults: BTreeMap<String, String>,
    /// Directives from the environment.
    pub environment: BTreeMap<String, String>,
    /// Directives from the command line's own options.
    pub overrides: BTreeMap<String, String>,
    /// `databases`.
    pub databases: usize,
    /// Whether addresses beyond loopback are allowed while doors have no keys.
    pub insecure: bool,
    /// The server's uid, for the data dir's state file; empty if it is not known.
    pub server_uid: String,
    /// The operator has said what to start from: a log that should be there may be missing.
    pub is_boot_source_told: bool,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self {
            bind: vec!["127.0.0.1".to_owned()],
            resp_port: 6379,
            data_port: 6380,
            data_dir: PathBuf::from("data"),
            redis_conf: None,
            redis_args: Vec::new(),
            defaults: BTreeMap::new(),
            environment: BTreeMap::new(),
            overrides: BTreeMap::new(),
            databases: 16,
            insecure: false,
            server_uid: String::new(),
            is_boot_source_told: false,
        }
    }
}

impl StartOptions {
    /// Parse the document.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for anything but the documented object.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            EngineError::new(
                "CONFIG_INVALID",
                format!("the start options cannot be read: {error}"),
                "Compare the options with the ones that the engine's stub documents.",
            )
        })
    }

    /// The directives in force.
    ///
    /// # Errors
    /// `CONFIG_INVALID`, `CONFIG_UNSUPPORTED`, `CONFIG_UNKNOWN`, `FILE_MISSING`.
    pub fn config(&self) -> Result<Config> {
        let mut config = Config::redis_defaults();
        config.dir = std::path::absolute(&self.data_dir)
            .map_err(|error| EngineError::from_io("resolve", &self.data_dir, &error))?;
        config.apply(&self.own_fields())?;
        config.apply(&layer(&self.defaults, "configuration file")?)?;
        if let Some(path) = &self.redis_conf {
            config.apply(&read_redis_conf(path)?)?;
            let whole = std::path::absolute(path);
            let failed = |error| EngineError::from_io("resolve", path, &error);
            config.file = Some(whole.map_err(failed)?);
        }
        config.apply(&layer(&self.environment, "environment")?)?;
        config.apply(&read_redis_args(&self.redis_args)?)?;
        config.apply(&layer(&self.overrides, "command line")?)?;
        Ok(config)
    }

    fn own_fields(&self) -> Vec<Directive> {
        let directive = |name: &str, args: Vec<String>| {
            let args = args.into_iter().map(String::into_bytes).collect();
            Directive::new(name, args, "start options")
        };
        vec![
            directive("bind", self.bind.clone()),
            directive("port", vec![self.resp_port.to_string()]),
            directive("databases", vec![self.databases.to_string()]),
        ]
    }
}

fn layer(pairs: &BTreeMap<String, String>, origin: &str) -> Result<Vec<Directive>> {
    let directive = |(name, value): (&String, &String)| {
        let args = split_words(value).ok_or_else(|| {
            EngineError::new(
                "CONFIG_INVALID",
                format!("unbalanced quotes in the value of {name} ({origin})"),
                "Quote the words of the value as in redis.conf.",
            )
            .with("name", name.clone())
        })?;
        Ok(Directive::new(name, args, origin))
    };
    pairs.iter().map(directive).collect()
}

/// Words of a value: separated by blanks, `"..."` and `'...'` hold blanks. No word at all means one
/// empty one (`save ""`). `None` when a quote is not closed.
fn split_words(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => rest[1..].split_once(first)?,
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.as_bytes().to_vec());
        rest = after.trim_start();
    }
    if words.is_empty() {
        words.push(Vec::new());
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_into_words_as_in_redis_conf() {
        let words = |text| {
            split_words(text).map(|words| {
                words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect::<Vec<_>>()
            })
        };
        assert_eq!(words("3600 1  300 100").unwrap(), ["3600", "1", "300", "100"]);
        assert_eq!(words("").unwrap(), [""]);
        assert_eq!(words("\"\"").unwrap(), [""]);
        assert_eq!(words("'a b' c").unwrap(), ["a b", "c"]);
        assert_eq!(words("'a b"), None);
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(StartOptions::from_json("{\"bnd\": []}").is_err());
        assert_eq!(StartOptions::from_json("{\"resp_port\": 0}").unwrap().resp_port, 0);
    }
}
