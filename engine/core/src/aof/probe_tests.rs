//! Lines and lost pages where the pieces of a file part them.

use super::*;
use crate::aof::sample_log::SampleLog;

fn file_of(name: &str, bytes: &[u8]) -> (File, std::path::PathBuf) {
    let path = std::env::temp_dir().join(format!("perdure-probe-{name}-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    (File::open(&path).unwrap(), path)
}

#[test]
fn lines_are_found_across_the_border_of_a_piece() {
    let any = |_: &Annotation, _: u64| true;
    for shift in [0, 1, 2, 30, 60, 90, 511, 512, 513, 1000] {
        let mut log = SampleLog::begun(7, 0);
        let fill = PIECE_BYTES - log.bytes.len() - 40 - shift;
        log.set("k", &"v".repeat(fill)).annotate(0).set("a", "b").annotate(0);
        log.set("k", &"v".repeat(PIECE_BYTES)).annotate(0);
        let (file, path) = file_of("border", &log.bytes);
        let found = lines(&file, 0, log.bytes.len() as u64, &any).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found.len(), 4, "shift {shift}");
        assert!(found.iter().all(|line| line.is_true), "shift {shift}: {found:?}");
    }
}

#[test]
fn only_zeros_up_to_the_end_of_a_page_or_a_sector_are_lost() {
    let mut bytes = vec![1_u8; 3 * PIECE_BYTES + 100];
    let size = bytes.len() as u64;
    bytes[100..500].fill(0);
    bytes[5000..12_288].fill(0);
    bytes[20_000..20_480].fill(0);
    let (piece, page) = (PIECE_BYTES as u64, PAGE_BYTES as u64);
    bytes[2 * PIECE_BYTES - 50..2 * PIECE_BYTES + PAGE_BYTES].fill(0);
    let (file, path) = file_of("pages", &bytes);
    let page_lost = |from, to| first_lost(&file, from, to, Loss::Page).unwrap();
    let sectors_lost = |from, to| first_lost(&file, from, to, Loss::Sectors).unwrap();
    assert_eq!(page_lost(0, size), Some(5000));
    assert_eq!(page_lost(7000, size), Some(7000), "what stands before is not asked for");
    assert_eq!(page_lost(0, 12_287), None);
    assert_eq!(page_lost(8193, size), Some(2 * piece - 50));
    assert_eq!(page_lost(2 * piece + 1, size), None);
    assert_eq!(sectors_lost(0, size), Some(5000));
    assert_eq!(sectors_lost(12_288, size), Some(20_000));
    assert_eq!(sectors_lost(12_288, 20_479), None);
    assert_eq!(sectors_lost(20_480, size), Some(2 * piece - 50));
    assert_eq!(sectors_lost(2 * piece + page - 15, size), None);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn zeros_at_the_end_are_measured_from_behind() {
    let mut bytes = vec![0_u8; 2 * PIECE_BYTES + 10];
    bytes[77] = 1;
    let (file, path) = file_of("end", &bytes);
    let size = bytes.len() as u64;
    assert_eq!(zeros_at_end(&file, 0, size).unwrap(), 78);
    assert_eq!(zeros_at_end(&file, 100, size).unwrap(), 100);
    assert_eq!(zeros_at_end(&file, 0, 78).unwrap(), 78);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn only_a_pageful_of_zeros_in_a_row_looks_lost() {
    let page = PAGE_BYTES;
    for begin in [0, 1, 100, page - 1, page, page + 1, 3 * page + 7] {
        let with = |zeros: usize| {
            let mut bytes = vec![1_u8; begin + zeros + 10];
            bytes[begin..begin + zeros].fill(0);
            looks_lost(&bytes)
        };
        assert!(!with(0) && !with(page - 1), "{begin}");
        assert!(with(page) && with(5 * page), "{begin}");
    }
    assert!(!looks_lost(&[0; PAGE_BYTES - 1]) && looks_lost(&[0; PAGE_BYTES]));
}
