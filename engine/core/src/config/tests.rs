//! Directives by class: what works takes effect, what does not is refused or warned about, CONFIG
//! SET is all or none.

use super::*;

fn directive(name: &str, args: &[&str], origin: &str) -> Directive {
    let args = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    Directive::new(name, args, origin)
}

fn apply(name: &str, args: &[&str]) -> std::result::Result<Config, EngineError> {
    let mut config = Config::redis_defaults();
    config.apply(&[directive(name, args, "redis.conf line 7")]).map(|()| config)
}

fn get(config: &Config, name: &str) -> String {
    config.get(name.as_bytes()).remove(0).1
}

#[test]
fn working_directives_take_effect() {
    assert_eq!(apply("databases", &["4"]).unwrap().databases, 4);
    assert_eq!(apply("bind", &["127.0.0.1 -::1"]).unwrap().bind, ["127.0.0.1", "-::1"]);
    assert_eq!(apply("proto-max-bulk-len", &["2mb"]).unwrap().proto_max_bulk_len, 2 << 20);
    assert_eq!(
        apply("enable-debug-command", &["local"]).unwrap().enable_debug_command,
        Access::Local
    );
    for (name, value) in
        [("databases", "0"), ("port", "65536"), ("rdbcompression", "1"), ("hz", "x")]
    {
        let error = apply(name, &[value]).unwrap_err();
        assert_eq!(error.code, "CONFIG_INVALID");
        assert!(error.message.contains("line 7") && error.message.contains(value), "{error}");
    }
}

#[test]
fn save_lines_of_a_layer_add_up_and_replace_lower_layers() {
    let mut config = Config::redis_defaults();
    config
        .apply(&[
            directive("save", &["900", "1"], "a.conf line 1"),
            directive("save", &["30", "5", "10", "6"], "b.conf line 2"),
        ])
        .unwrap();
    assert_eq!(config.save, [(900, 1), (30, 5), (10, 6)]);
    assert_eq!(get(&config, "save"), "900 1 30 5 10 6");
    config.apply(&[directive("save", &["60 1"], "command line")]).unwrap();
    assert_eq!(config.save, [(60, 1)]);
    config.apply(&[directive("save", &[""], "command line")]).unwrap();
    assert_eq!(config.save, []);
    assert_eq!(apply("save", &["1"]).unwrap_err().code, "CONFIG_INVALID");
    assert_eq!(apply("save", &["0", "1"]).unwrap_err().code, "CONFIG_INVALID");
}

#[test]
fn what_protects_persists_or_bounds_is_refused_by_name() {
    for (name, value) in [
        ("requirepass", "secret"),
        ("maxmemory", "1gb"),
        ("tls-port", "6380"),
        ("rename-command", "FLUSHALL x"),
        ("replicaof", "host 1"),
        ("cluster-enabled", "yes"),
    ] {
        let error = apply(name, &value.split(' ').collect::<Vec<_>>()).unwrap_err();
        assert_eq!(error.code, "CONFIG_UNSUPPORTED", "{name}");
    }
    for (name, value) in [("maxmemory", "0mb"), ("requirepass", "")] {
        assert!(apply(name, &[value]).unwrap().warnings.is_empty(), "{name}");
    }
}

#[test]
fn harmless_directives_warn_once_and_are_shown() {
    let mut config = apply("activedefrag", &["yes"]).unwrap();
    config.apply(&[directive("activedefrag", &["yes"], "command line")]).unwrap();
    assert_eq!(config.warnings, ["activedefrag has no effect"]);
    assert_eq!(get(&config, "activedefrag"), "yes");
    // Debian's redis.conf says so; a service in the foreground loses nothing by it.
    assert_eq!(apply("daemonize", &["yes"]).unwrap().warnings, ["daemonize has no effect"]);
    assert!(apply("loglevel", &["notice"]).unwrap().warnings.is_empty());
    assert!(
        apply("client-output-buffer-limit", &["normal", "0", "0", "0"])
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[test]
fn unknown_directives_are_refused_with_the_nearest_name() {
    let error = apply("dbfilname", &["x"]).unwrap_err();
    assert_eq!((error.code, error.hint.as_str()), ("CONFIG_UNKNOWN", "Did you mean 'dbfilename'?"));
    assert_eq!(
        apply("zzz", &["x"]).unwrap_err().hint,
        "Redis 7.0 has no such directive: leave it out."
    );
}

#[test]
fn config_set_is_all_or_none() {
    let mut config = Config::redis_defaults();
    let set = |config: &mut Config, pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, Vec<u8>)> =
            pairs.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        config.set(&pairs, false)
    };
    let error = set(&mut config, &[("hz", "50"), ("timeout", "-1")]).unwrap_err();
    assert!(
        error.starts_with("CONFIG SET failed (possibly related to argument 'timeout')"),
        "{error}"
    );
    assert_eq!(config.hz, 10);
    set(&mut config, &[("hz", "50"), ("save", "10 1 20 2")]).unwrap();
    assert_eq!((config.hz, config.save.clone()), (50, vec![(10, 1), (20, 2)]));
    set(&mut config, &[("SAVE", "")]).unwrap();
    assert!(config.save.is_empty());
    assert!(set(&mut config, &[("maxmemory", "1")]).unwrap_err().contains("not supported"));
    assert!(set(&mut config, &[("port", "1")]).unwrap_err().contains("immutable"));
    assert!(set(&mut config, &[("dir", "/")]).unwrap_err().contains("protected"));
}

#[test]
fn config_get_knows_every_directive_once() {
    let all = Config::redis_defaults().get(b"*");
    let names: std::collections::BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.len() > 180);
}

#[test]
fn packing_thresholds_are_settings_under_both_of_their_names() {
    let config = apply("hash-max-ziplist-entries", &["7"]).unwrap();
    assert_eq!(config.packing.hash_entries, 7);
    assert_eq!(get(&config, "hash-max-listpack-entries"), "7");
    assert_eq!(apply("zset-max-listpack-value", &["1k"]).unwrap().packing.zset_value_bytes, 1000);
    assert_eq!(apply("list-max-listpack-size", &["-5"]).unwrap().packing.list_node, -5);
    assert_eq!(apply("set-max-intset-entries", &["-1"]).unwrap_err().code, "CONFIG_INVALID");
    let defaults = Config::redis_defaults();
    assert_eq!(get(&defaults, "list-max-ziplist-size"), "-2");
    assert_eq!(get(&defaults, "set-max-intset-entries"), "512");
}

#[test]
fn a_relative_dir_goes_on_from_the_last_one_of_its_layer() {
    let mut config = Config::redis_defaults();
    config.apply(&[directive("dir", &["/a"], "x"), directive("dir", &["b"], "x")]).unwrap();
    assert_eq!(config.dir, std::path::Path::new("/a/b"));
    config.apply(&[directive("dir", &["c"], "command line")]).unwrap();
    assert_eq!(config.dir, std::env::current_dir().unwrap().join("c"));
    assert_eq!(apply("dir", &[""]).unwrap_err().code, "CONFIG_INVALID");
}

#[test]
fn only_a_user_who_may_do_everything_is_taken() {
    let open = ["default", "on", "nopass", "~*", "&*", "+@all"];
    assert!(apply("user", &open).unwrap().warnings.is_empty());
    for closed in [&open[..5], &["default", "on", "#123", "~*", "&*", "+@all"], &["x", "on"]] {
        assert_eq!(apply("user", closed).unwrap_err().code, "CONFIG_UNSUPPORTED");
    }
}

#[test]
fn the_page_on_redis_conf_lists_what_is_in_force() {
    let page = include_str!("../../../../docs/operations/redis-conf.md");
    let start = page.find("**In force**").unwrap();
    let listed = page[start..].split("\n- ").next().unwrap();
    let listed: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    let rows = table::ROWS.iter().filter(|row| row.class == Class::Working && !row.is_alias());
    let mut working: Vec<&str> = rows.map(|row| row.name).collect();
    working.sort_unstable();
    assert_eq!(listed, working);
}
