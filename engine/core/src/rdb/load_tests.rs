//! What a load takes of the allocator seam: a large collection once, whatever its encoding. Files
//! come from the pen of `tests/rdb`; what they mean is tested there.

#[allow(dead_code)] // a part of the pen is used
#[path = "../../tests/rdb/encoder.rs"]
mod encoder;

use encoder as pen;

use super::load;
use crate::alloc::{PEAK_BYTES, live_bytes};
use crate::rdb::LoadOptions;

const ELEMENTS: usize = 40_000;

/// The type number and the value of a collection of [`ELEMENTS`] elements.
fn large() -> Vec<(u8, Vec<u8>)> {
    let texts: Vec<Vec<u8>> =
        (0..ELEMENTS).map(|number| format!("element:{number:026}").into_bytes()).collect();
    let elements: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let scored: Vec<(&[u8], f64)> =
        elements.iter().enumerate().map(|(number, member)| (*member, number as f64)).collect();
    let ints: Vec<i64> = (0..ELEMENTS as i64).collect();
    let texts_of_scores: Vec<String> = (0..ELEMENTS).map(|number| number.to_string()).collect();
    let in_order: Vec<&[u8]> = elements
        .iter()
        .zip(&texts_of_scores)
        .flat_map(|(member, score)| [*member, score.as_bytes()])
        .collect();
    let chunks: Vec<&[&[u8]]> = elements.chunks(200).collect();
    let nodes: Vec<pen::Node<'_>> = elements.chunks(200).map(pen::Node::Packed).collect();
    vec![
        (1, pen::strings(ELEMENTS, &elements)),
        (14, pen::quicklist_1(&chunks)),
        (18, pen::quicklist_2(&nodes)),
        (10, pen::string(&pen::ziplist(&elements))),
        (2, pen::strings(ELEMENTS, &elements)),
        (11, pen::string(&pen::intset(4, &ints))),
        (20, pen::string(&pen::listpack(&elements))),
        (5, pen::scores_binary(&scored)),
        (12, pen::string(&pen::ziplist(&in_order))),
        (17, pen::string(&pen::listpack(&in_order))),
        (4, pen::strings(ELEMENTS / 2, &elements)),
        (13, pen::string(&pen::ziplist(&elements))),
        (16, pen::string(&pen::listpack(&elements))),
    ]
}

#[test]
fn a_large_collection_is_never_held_twice() {
    let path = std::env::temp_dir().join(format!("perdure-load-{}.rdb", std::process::id()));
    for (type_number, value) in large() {
        let mut file = pen::File::new(12);
        file.key(type_number, "large", &value);
        std::fs::write(&path, file.end(true)).expect("written");
        let before = live_bytes();
        PEAK_BYTES.set(before);
        let progress = &mut |_, _| true;
        let (keyspace, summary) = load(&path, LoadOptions::new(1, progress)).expect("a sound file");
        let (kept, most) = (live_bytes() - before, PEAK_BYTES.get() - before);
        assert_eq!((summary.keys(), keyspace.len()), (1, 1));
        assert!(kept > ELEMENTS as isize * 8, "type {type_number}: {kept} bytes kept");
        // Room for a stripe that splits.
        assert!(most <= kept + 65_536, "type {type_number}: {most} bytes for {kept}");
        drop(keyspace);
        assert_eq!(live_bytes(), before, "type {type_number}");
    }
    std::fs::remove_file(path).expect("removed");
}
