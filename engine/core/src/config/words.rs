//! Directives of several words: save points, addresses, percentiles, limits of three numbers. Each
//! reads its words (with Redis's reasons for refusing) and writes its lines of redis.conf.

use std::path::{Path, PathBuf};

use super::kind::{Reason, format_memory, memory, one_of};

/// Save points: pairs of seconds and changes. One empty word: none at all.
pub fn save_points(words: &[String]) -> Result<Vec<(u64, u64)>, Reason> {
    let wrong = || "Invalid save parameters".to_owned();
    if words.len() == 1 && words[0].is_empty() {
        return Ok(Vec::new());
    }
    if !words.len().is_multiple_of(2) {
        return Err(wrong());
    }
    words
        .chunks(2)
        .map(|pair| {
            let seconds = pair[0].parse::<u64>().map_err(|_| wrong())?;
            let changes = pair[1].parse::<u64>().map_err(|_| wrong())?;
            if seconds == 0 { Err(wrong()) } else { Ok((seconds, changes)) }
        })
        .collect()
}

/// Percentiles; none at all is well.
pub fn percentiles(words: &[String]) -> Result<Vec<f64>, Reason> {
    let percent = |word: &String| match word.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        Ok(_) => Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"),
        Err(_) => Err("Invalid latency-tracking-info-percentiles parameters"),
    };
    let words = words.iter().filter(|_| words.len() > 1 || !words[0].is_empty());
    words.map(percent).collect::<Result<_, _>>().map_err(str::to_owned)
}

/// Where `dir` leads: a relative one goes on from the last one that the layer gave, or from where
/// the process runs.
pub fn directory(last: Option<&Path>, text: &str) -> Result<PathBuf, Reason> {
    let missing = || "No such file or directory".to_owned();
    if text.is_empty() {
        return Err(missing());
    }
    let path = last.map_or_else(|| PathBuf::from(text), |last| last.join(text));
    std::path::absolute(path).map_err(|_| missing())
}

const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

/// `client-output-buffer-limit`: the classes that the words name change, the others stay as `now`
/// has them. Gives all three as CONFIG GET says them.
pub fn output_limits(now: &str, words: &[String]) -> Result<String, Reason> {
    let mut limits: Vec<String> =
        now.split(' ').collect::<Vec<_>>().chunks(4).map(|it| it.join(" ")).collect();
    if words.len() == 1 && words[0].is_empty() {
        return Ok(now.to_owned());
    }
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    for limit in words.chunks(4) {
        let class = match limit[0].to_ascii_lowercase().as_str() {
            "replica" => Some(1),
            name => CLASSES.iter().position(|class| *class == name),
        };
        let Some(class) = class else {
            return Err("Invalid client class specified in buffer limit configuration.".to_owned());
        };
        let wrong = |_| {
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned()
        };
        let (hard, soft) = (memory(&limit[1]).map_err(wrong)?, memory(&limit[2]).map_err(wrong)?);
        let seconds: u32 = limit[3].parse().map_err(|_| wrong(String::new()))?;
        limits[class] = format!("{} {hard} {soft} {seconds}", CLASSES[class]);
    }
    Ok(limits.join(" "))
}

/// Words of a directive that has no effect or is refused, in their canonical form.
pub fn other(name: &str, now: &str, words: &[String]) -> Result<String, Reason> {
    match name {
        "client-output-buffer-limit" => output_limits(now, words),
        "oom-score-adj-values" => oom_values(words),
        "shutdown-on-sigint" | "shutdown-on-sigterm" => {
            const WORDS: [&str; 5] = ["default", "save", "nosave", "now", "force"];
            let known = words.iter().map(|word| one_of(word, &WORDS));
            Ok(known.collect::<Result<Vec<_>, _>>()?.join(" "))
        }
        "replicaof" if words.len() != 2 => Err("wrong number of arguments".to_owned()),
        "replicaof" if words.join(" ").eq_ignore_ascii_case("no one") => Ok(String::new()),
        // What CONFIG REWRITE of a Redis without passwords writes: everybody may do everything.
        "user" if is_open_to_all(words) => Ok(String::new()),
        _ => Ok(words.join(" ")),
    }
}

fn oom_values(words: &[String]) -> Result<String, Reason> {
    if words.len() != 3 {
        return Err("wrong number of arguments".to_owned());
    }
    let is_in_range =
        |word: &String| word.parse().is_ok_and(|it: i32| (-2000..=2000).contains(&it));
    if !words.iter().all(is_in_range) {
        let text = "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
        return Err(text.to_owned());
    }
    Ok(words.join(" "))
}

fn is_open_to_all(words: &[String]) -> bool {
    const RULES: [&[&str]; 5] = [
        &["on"],
        &["nopass"],
        &["~*", "allkeys"],
        &["&*", "allchannels"],
        &["+@all", "allcommands"],
    ];
    let Some((name, rules)) = words.split_first() else { return false };
    let is_known = |word: &String| {
        word == "sanitize-payload" || RULES.iter().any(|rule| rule.contains(&word.as_str()))
    };
    let is_said = |rule: &&[&str]| rules.iter().any(|word| rule.contains(&word.as_str()));
    name == "default" && rules.iter().all(is_known) && RULES.iter().all(is_said)
}

/// The lines of a directive of several words; `shown` is what CONFIG GET says.
pub fn lines(name: &str, shown: &str) -> Vec<String> {
    let words: Vec<&str> = shown.split(' ').collect();
    match name {
        _ if shown.is_empty() => vec![format!("{name} \"\"")],
        "save" => words.chunks(2).map(|point| format!("save {}", point.join(" "))).collect(),
        "client-output-buffer-limit" => words
            .chunks(4)
            .map(|limit| {
                let class = if limit[0] == "slave" { "replica" } else { limit[0] };
                let bytes = |at: usize| format_memory(limit[at].parse().unwrap_or(0));
                format!("{name} {class} {} {} {}", bytes(1), bytes(2), limit[3])
            })
            .collect(),
        _ => vec![format!("{name} {shown}")],
    }
}
