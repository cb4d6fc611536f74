//! What manifests are taken and refused (each line was tried on redis-server 7.0.15), what is
//! written, and how numbers go on.

use super::*;

fn listed(name: &str, seq: u64) -> Listed {
    Listed { name: name.to_owned(), seq }
}

fn incrs(text: &str) -> Vec<Listed> {
    Manifest::parse(text.as_bytes()).unwrap_or_else(|flaw| panic!("{text:?}: {flaw:?}")).incrs
}

#[test]
fn what_redis_takes_is_taken() {
    for text in [
        "# c\nfile a seq 1 type i\n",
        "  file  a\tseq 1 type i \r\n",
        "FILE a SEQ 1 TYPE i\n",
        "file \"a\" seq 1 type i\n",
        "file 'a' seq 1 type incr\n",
        "file a seq 1x type i\n",
        "file a seq \" 1\" type i\n",
        "file a seq +1 type i\n",
        "file a seq 1 type i foo bar\n",
        "foo bar file a seq 1 type i\n",
        "file a seq 1 type i #x y\n",
        "file b file a seq 2 seq 1 type i\n",
        "file a seq 1 type i\n# no end",
        "file \"\\x61\" seq 1 type i\n",
        "file gone seq 9 type h\nfile gone seq 9 type h\nfile a seq 1 type i\n",
        "file a seq 1 type i\nfile b seq 1 type b\n",
    ] {
        assert_eq!(incrs(text), [listed("a", 1)], "{text:?}");
    }
    assert_eq!(Manifest::parse(b"# nothing\n").unwrap(), Manifest::default());
    assert_eq!(incrs("file a seq 99999999999999999999 type i\n")[0].seq, i64::MAX as u64);
    let comment = format!("#{}\nfile a seq 1 type i\n", "x".repeat(1020));
    assert_eq!(incrs(&comment).len(), 1);
}

#[test]
fn what_redis_refuses_is_refused_with_its_line() {
    let good = "file a seq 2 type i\n";
    for (line, text) in [
        (0, String::new()),
        (1, "\n".to_owned()),
        (1, good.trim_end().to_owned()),
        (2, format!("{good}\n")),
        (1, " # c\n".to_owned()),
        (1, "file b seq 1 type I\n".to_owned()),
        (1, "file b seq 1 type x\n".to_owned()),
        (1, "file b seq 1 type \"\"\n".to_owned()),
        (1, "file b seq 0 type i\n".to_owned()),
        (1, "file b seq -1 type i\n".to_owned()),
        (1, "file b seq x type i\n".to_owned()),
        (1, "file b seq 1 seq 0 type i\n".to_owned()),
        (1, "file b seq 1 type i foo\n".to_owned()),
        (1, "file b seq 1\n".to_owned()),
        (1, "file \"b seq 1 type i\n".to_owned()),
        (1, "file b seq 1 type i\0 x y\n".to_owned()),
        (1, "file ../b seq 1 type i\n".to_owned()),
        (1, "file b/ seq 1 type i\n".to_owned()),
        (1, "file \"\" seq 1 type i\n".to_owned()),
        (1, "file . seq 1 type i\n".to_owned()),
        (2, format!("{good}file b seq 1 type i\n")),
        (2, format!("{good}file b seq 2 type i\n")),
        (2, "file b seq 1 type b\nfile c seq 2 type b\n".to_owned()),
        (1, format!("file b seq 1 type i {} y\n", "x".repeat(1010))),
    ] {
        assert_eq!(Manifest::parse(text.as_bytes()).map_err(|flaw| flaw.0), Err(line), "{text:?}");
    }
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    for text in
        ["file a seq 1 type b\nfile a seq 1 type i\n", "file a seq 1 type i\nfile a seq 2 type i\n"]
    {
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().0, 2, "{text:?}");
    }
}

#[test]
fn what_is_written_reads_back_whatever_the_names() {
    for name in ["appendonly.aof", "my log", "a\"b", "it's", "back\\slash", "new\nline", "größe"]
    {
        let mut manifest = Manifest::default();
        manifest.rebase(listed(&format!("{name}.1.base.rdb"), 1), 0);
        manifest.add_incr(listed(&format!("{name}.1.incr.aof"), 1));
        manifest.add_incr(listed(&format!("{name}.2.incr.aof"), 2));
        manifest.rebase(listed(&format!("{name}.2.base.aof"), 2), 1);
        let bytes = manifest.to_bytes();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest, "{name}");
    }
    let mut plain = Manifest::default();
    plain.rebase(listed("a.1.base.rdb", 1), 0);
    plain.add_incr(listed("a b", 7));
    let text = "file a.1.base.rdb seq 1 type b\nfile \"a b\" seq 7 type i\n";
    assert_eq!(plain.to_bytes(), text.as_bytes());
}

#[test]
fn a_new_base_retires_what_it_holds_and_numbers_go_on() {
    let mut manifest = Manifest::default();
    assert_eq!((manifest.next_base(), manifest.next_incr()), (1, 1));
    manifest.rebase(listed("a.1.base.rdb", 1), 0);
    for seq in 1..=3 {
        manifest.add_incr(listed(&format!("a.{seq}.incr.aof"), seq));
    }
    manifest.rebase(listed("a.2.base.rdb", 2), 2);
    assert_eq!(manifest.base, Some(listed("a.2.base.rdb", 2)));
    assert_eq!(manifest.incrs, [listed("a.3.incr.aof", 3)]);
    let history: Vec<_> = manifest.history.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(history, ["a.1.base.rdb", "a.1.incr.aof", "a.2.incr.aof"]);
    assert_eq!((manifest.next_base(), manifest.next_incr()), (3, 4));
    let text = "file a.9.incr.aof seq 9 type h\nfile a.5.base.rdb seq 5 type h\n";
    let alone = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!((alone.next_base(), alone.next_incr()), (6, 10));
}

#[test]
fn history_is_deleted_then_forgotten() {
    let directory = std::env::temp_dir().join(format!("perdure-history-{}", std::process::id()));
    let layout = Layout { directory: directory.clone(), filename: "a".to_owned() };
    assert_eq!(Manifest::read(&layout).unwrap(), None);
    layout.create_directory().unwrap();
    let mut manifest = Manifest::default();
    manifest.rebase(listed("a.1.base.rdb", 1), 0);
    manifest.rebase(listed("a.2.base.rdb", 2), 0);
    for name in ["a.1.base.rdb", "a.2.base.rdb"] {
        std::fs::write(layout.path(name), b"x").unwrap();
    }
    manifest.replace(&layout).unwrap();
    assert_eq!(Manifest::read(&layout).unwrap().as_ref(), Some(&manifest));
    manifest.delete_history(&layout).unwrap();
    assert!(!layout.path("a.1.base.rdb").exists() && layout.path("a.2.base.rdb").exists());
    assert_eq!(Manifest::read(&layout).unwrap().unwrap().history, []);
    std::fs::write(layout.manifest(), b"file a seq 1 type i\nfile b\n").unwrap();
    let error = Manifest::read(&layout).unwrap_err();
    assert_eq!(error.code, "AOF_MANIFEST_INVALID");
    assert!(error.message.contains("line 2") && !error.hint.is_empty(), "{error}");
    std::fs::remove_dir_all(&directory).unwrap();
}
