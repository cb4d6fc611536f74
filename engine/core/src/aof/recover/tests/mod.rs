//! Every row of docs/formats/recovery.md, and what is on the disk after a start settled it.
//! `stage` builds data dirs, `rows` is the table.

mod rows;
mod stage;

use super::*;
use crate::aof::sample_log::SampleLog;
use crate::rdb;
use rows::{Outcome, ROWS};
use stage::Stage;

/// The table of the page: name of the row, exit code.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../../../../../docs/formats/recovery.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cell = |line: &str, at: usize| line.split(" | ").nth(at).unwrap_or_default().to_owned();
    let name = |line: &str| cell(line, 0).trim_matches(['|', ' ', '`']).to_owned();
    rows.map(|line| (name(line), cell(line, 3).trim_matches([' ', '|']).to_owned())).collect()
}

#[test]
fn every_row_of_the_page_is_tried_and_every_row_tried_is_on_the_page() {
    let tried: Vec<_> = ROWS
        .iter()
        .map(|row| {
            let code = match row.outcome {
                Outcome::Refused(code) => format!("11 `{code}`"),
                _ => "starts".to_owned(),
            };
            (row.name.to_owned(), code)
        })
        .collect();
    assert_eq!(documented(), tried);
}

#[test]
fn every_disk_state_ends_as_its_row_says() {
    for row in ROWS {
        let mut stage = Stage::new(row.name);
        (row.build)(&mut stage);
        let untouched = stage.listing();
        let filled = fill(&stage.config);
        let is_filled = filled.as_ref().is_ok_and(|notes| !notes.is_empty());
        assert_eq!(is_filled, row.name.starts_with("ring-fills"), "{}", row.name);
        assert!(is_filled || stage.listing() == untouched, "{}", row.name);
        let before = stage.listing();
        let made = filled.and_then(|_| plan(&stage.config, "uid"));
        assert_eq!(stage.listing(), before, "{}: a plan only reads", row.name);
        match (row.outcome, made) {
            (Outcome::Refused(code), Err(error)) => {
                assert_eq!(error.code, code, "{}: {error}", row.name);
                assert!(!error.hint.is_empty(), "{}: {error}", row.name);
                assert!(error.context.iter().any(|(name, _)| *name == "path"), "{}", row.name);
            }
            (outcome, Ok(made)) => {
                assert_eq!(stage.loaded(&made), outcome.keys(), "{}: {made:?}", row.name);
                assert_eq!(made.torn.is_some(), matches!(outcome, Outcome::Cut(_)), "{}", row.name);
                let is_another_s = row.name.contains("redis") && !row.name.starts_with("off-");
                assert_eq!(made.is_foreign, is_another_s, "{}", row.name);
                starts_again(row.name, &stage, &made, outcome);
            }
            (_, Err(error)) => panic!("{}: {error} {error:?}", row.name),
        }
    }
}

/// After the repairs the same data is there, nothing is torn, and a second start repairs nothing.
fn starts_again(name: &str, stage: &Stage, made: &Plan, outcome: Outcome) {
    made.settle(1_795_000_000_000).unwrap_or_else(|error| panic!("{name}: {error}"));
    if let Source::Replay { .. } = made.source {
        let on_disk = std::fs::read(made.layout.manifest()).unwrap();
        assert_eq!(on_disk, made.manifest.to_bytes(), "{name}");
    }
    let filled = fill(&stage.config).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(filled, [], "{name}, second start");
    let again = plan(&stage.config, "uid").unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(stage.loaded(&again), outcome.keys(), "{name}, second start");
    assert_eq!(again.torn, None, "{name}, second start");
    assert_eq!(again.manifest.to_bytes(), made.manifest.to_bytes(), "{name}, second start");
    assert!(again.last_epoch == made.last_epoch && again.end == made.end, "{name}");
    let repairs = again.repairs.iter().filter(|it| !matches!(it, Repair::Fsync(_)));
    assert_eq!(repairs.collect::<Vec<_>>(), Vec::<&Repair>::new(), "{name}, second start");
}

#[test]
fn what_is_cut_is_kept_in_quarantine_without_its_zeros() {
    let mut stage = Stage::new("quarantine");
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1");
    let end = log.bytes.len();
    log.set("b", "2");
    let torn = log.bytes[..log.bytes.len() - 4].to_vec();
    stage.base(&[]).incr(1, &[torn.as_slice(), &[0; 9000]].concat()).manifest();
    let made = plan(&stage.config, "").unwrap();
    let found = made.torn.clone().unwrap();
    assert_eq!((found.at as usize, found.bytes as usize), (end, torn.len() + 9000 - end));
    assert!(made.notes.iter().any(|note| note.name == "aof_tail_torn"));
    let kept = made.settle(5).unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].starts_with(stage.config.dir.join("quarantine")));
    assert_eq!(std::fs::read(&kept[0]).unwrap(), torn[end..]);
    let left = std::fs::read(stage.incr_path(1)).unwrap();
    assert_eq!(left[..end], log.bytes[..end]);
    assert!(left[end..].starts_with(format!("#PD:7:{end}:{end}:").as_bytes()), "and it is closed");
}

#[test]
fn the_refusal_of_damage_in_the_middle_says_where_and_what_to_do() {
    let mut stage = Stage::new("hint");
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1");
    let end = log.bytes.len();
    log.set("b", "2").stop();
    log.bytes[end + 2] = 0;
    stage.base(&[]).incr(1, &log.bytes).manifest();
    let error = plan(&stage.config, "").unwrap_err();
    let path = stage.incr_path(1).display().to_string();
    assert_eq!(error.code, "AOF_CORRUPT");
    assert!(error.message.contains(&format!("{path}: offset {}", end + 2)), "{error}");
    assert!(error.hint.contains(&format!("perdure aof check --fix {path}")), "{}", error.hint);
    assert!(error.context.contains(&("cut", end.to_string())), "{error:?}");
}

#[test]
fn a_log_truncated_at_any_byte_starts_with_a_prefix_twice() {
    let log = {
        let mut log = SampleLog::families(7);
        log.stop();
        log
    };
    for size in (0..log.bytes.len()).step_by(7) {
        let mut stage = Stage::new("every-byte");
        stage.base(&["base"]).incr(1, &log.bytes[..size]).manifest();
        let made = plan(&stage.config, "").unwrap();
        let end = log.last_end(size);
        let expected = log.units.iter().filter(|unit| unit.1 <= end).count();
        assert_eq!(stage.units(&made), expected, "cut at {size}");
        made.settle(size as i64).unwrap();
        let again = plan(&stage.config, "").unwrap();
        assert!(again.torn.is_none() && stage.units(&again) == expected, "cut at {size}");
    }
}

#[test]
fn the_next_epoch_is_later_than_any_that_was_seen() {
    let mut stage = Stage::new("epochs");
    let mut log = SampleLog::begun(70, 0);
    log.set("a", "1");
    stage.base(&[]).incr(1, &log.bytes).manifest();
    let made = plan(&stage.config, "").unwrap();
    let closed = made.end.map(|it| it.offset);
    assert!(made.last_epoch == 70 && closed > Some(log.end()), "it will have a last line");
    stage.state(|state| state.last_epoch = 69);
    assert_eq!(plan(&stage.config, "").unwrap().last_epoch, 70);
    stage.rdb("a", Some((60, 5)));
    assert_eq!(plan(&stage.config, "").unwrap().last_epoch, 70);
}

#[test]
fn every_code_is_on_the_page_of_errors() {
    let page = include_str!("../../../../../../docs/operations/errors.md");
    for code in CODES {
        assert!(page.contains(&format!("| `{code}` | DATA_LOSS |")), "{code}");
        let refused = |row: &rows::Row| matches!(row.outcome, Outcome::Refused(it) if it == code);
        assert!(ROWS.iter().any(refused), "no row provokes {code}");
    }
}
