//! The sample file is what the table of keys says, and says what the defaults are.

use std::collections::BTreeSet;

use super::super::keys::{self, pattern_of};
use super::super::{sample, show};
use super::fixture::site;

#[test]
fn the_sample_file_is_what_the_table_of_keys_renders() {
    let committed = include_str!("../../../config/uwsd.toml");
    let is_same = committed == sample();
    assert!(is_same, "config/uwsd.toml is old: cargo test --lib renew_the_sample_file -- --ignored");
}

#[test]
#[ignore = "writes config/uwsd.toml anew after a change of the table of keys"]
fn renew_the_sample_file() {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/config/uwsd.toml"), sample()).expect("a writable tree");
}

#[test]
fn the_sample_file_means_the_defaults() {
    let defaults = site().config();
    assert_eq!(site().main(&sample()).config(), defaults);
}

#[test]
fn every_key_of_the_sample_file_is_at_its_default() {
    let is_key =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let bare: Vec<String> =
        sample().lines().map(|line| if is_key(line) { line[1..].to_owned() } else { line.to_owned() }).collect();
    let all = site().main(&bare.join("\n"));
    let mut config = all.config();
    // The listener that it names is the default one.
    assert!(!std::mem::replace(&mut config.server.listeners_by_default, true));
    assert_eq!(config, site().config());
    let set = all.loaded().effective.iter().filter(|entry| entry.origin.is_configured()).count();
    // The fields of the rows of a service, of which the sample has none.
    let is_field = |path: &str| path.starts_with("service.") && path.contains("[]");
    let keys = keys::all().filter(|key| !is_field(key.path)).count();
    // All but the array of listeners, which is shown by its fields, and the table env, which has no entry.
    assert_eq!(set, keys - 2);
}

#[test]
fn every_key_of_the_table_is_read() {
    let loaded = site()
        .main(
            "[service.ocps]\nenv = {A = \"b\"}\nmounts = [{source = \"/a\", target = \"/b\"}]\n\
             secrets = [{name = \"S\", file = \"/etc/hostname\", target = \"/s\"}]\n\
             [service.cutout]\ncommand = [\"cutout\", \"{RA}\"]\nparameters = [{name = \"RA\", type = \"real\"}]\n\
             examples = [{id = \"a\", name = \"A\", parameters = {RA = \"1\"}}]\n",
        )
        .loaded();
    let read: BTreeSet<String> = loaded.effective.iter().map(|entry| pattern_of(&entry.key)).collect();
    for key in keys::all() {
        let is_read = read.iter().any(|path| path.starts_with(key.path));
        assert!(is_read, "{} is read", key.path);
    }
}

#[test]
fn the_effective_configuration_is_printed_as_toml_that_means_the_same() {
    let text = "[service.a-b]\nenv = {\"X.Y\" = \"q\\\"uote\", B = \"1\"}\nmemory = 1073741824\n\
                mounts = [{source = \"/a\", target = \"/b\"}, {type = \"tmpfs\", target = \"/t\"}]\n\
                [service.cutout]\ncommand = [\"cutout\", \"--ra\", \"{RA}\"]\n\
                parameters = [{name = \"RA\", type = \"real\", min = 0, max = 360.5, flag = true}]\n\
                examples = [{id = \"a\", name = \"A\", parameters = {RA = \"1\"}}]\n\
                [[server.listener]]\naddress = \"unix:/run/x\"\n";
    let loaded = site().main(text).loaded();
    let shown = show(&loaded.effective);
    assert_eq!(site().main(&shown).config(), loaded.config, "{shown}");
    assert!(shown.contains("[[service.a-b.mounts]]\n"), "{shown}");
}
