//! What a start refuses, and that the files are then as they were. The table of disk states is
//! tested beside `recover`; here are the ways that only a whole start can go.

use perdure_engine::clock::Clock;
use perdure_engine::effects::encode_command;

use crate::running::{Dir, start_with};
use crate::{contents, copy_of, log_options, refused, start_logged, turn};

/// Append a command to the last log of a copy of a data dir that was ended in order.
fn with_command(dir: &Dir, words: &[&str]) -> Dir {
    let copy = copy_of(&dir.0);
    let path = copy.0.join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut bytes = std::fs::read(&path).unwrap();
    encode_command(&mut bytes, words);
    std::fs::write(&path, bytes).unwrap();
    copy
}

fn ended_log() -> Dir {
    let dir = Dir::new();
    let engine = start_logged(&dir);
    assert_eq!(engine.client().command(&["SET", "k", "v"]), "+OK");
    engine.stop();
    dir
}

#[test]
fn commands_that_cannot_be_executed_refuse_with_file_and_offset() {
    let _turn = turn();
    let dir = ended_log();
    let length = contents(&dir.0.join("appendonlydir"))
        .iter()
        .find(|(path, _)| path.ends_with("appendonly.aof.1.incr.aof"))
        .map(|(_, bytes)| bytes.len());
    for (words, reason) in [
        (&["XADD", "s", "*", "f", "v"] as &[&str], "unknown command 'XADD'"),
        (&["LPUSH", "k", "x"], "'LPUSH' fails: WRONGTYPE"),
        (&["SHUTDOWN", "NOSAVE"], "'shutdown' does not belong in a log"),
    ] {
        let copy = with_command(&dir, words);
        let before = contents(&copy.0);
        let error = refused(&copy);
        assert_eq!(error["code"], "AOF_COMMAND_REFUSED", "{error}");
        assert_eq!(error["context"]["offset"], length.unwrap().to_string());
        assert!(error["context"]["path"].as_str().unwrap().ends_with("1.incr.aof"));
        assert!(error["context"]["reason"].as_str().unwrap().starts_with(reason), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("perdure aof check"));
        assert_eq!(contents(&copy.0), before);
    }
}

#[test]
fn a_log_that_vanished_is_missed_unless_the_operator_said_what_to_start_from() {
    let _turn = turn();
    let dir = ended_log();
    std::fs::remove_dir_all(dir.0.join("appendonlydir")).unwrap();
    let error = refused(&dir);
    assert_eq!(error["code"], "AOF_MISSING", "{error}");
    let mut options = log_options(&dir.0);
    options["is_boot_source_told"] = true.into();
    let engine = start_with(&options, Clock::system());
    assert_eq!(engine.client().command(&["DBSIZE"]), ":0");
    engine.stop();
    assert_eq!(start_logged(&dir).client().command(&["DBSIZE"]), ":0");
}
