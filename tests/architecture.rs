//! Arrows between the modules point inwards: read from the `use` lines and paths of the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules of the crate that it may name.
const MAY_NAME: [(&str, &[&str]); 12] = [
    ("domain", &["domain"]),
    ("ports", &["ports", "domain"]),
    ("config", &["config", "domain", "ports"]),
    ("supervisor", &["supervisor", "domain", "ports", "config", "crash"]),
    ("sqlite", &["sqlite", "domain", "ports"]),
    ("backend", &["backend", "domain", "ports", "config", "crash"]),
    ("sources", &["sources", "domain", "ports", "config"]),
    ("quota", &["quota", "ports"]),
    ("metrics", &["metrics", "domain", "ports"]),
    ("http", &["http", "domain", "ports", "config", "supervisor", "metrics"]),
    ("client", &["client", "domain"]),
    ("doctor", &["doctor", "domain", "ports", "config", "backend", "sources", "quota", "sqlite", "client"]),
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules of this crate that a text names after `crate::`, alone or in braces.
fn named(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
            match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or("").split(',').map(|item| word(item.trim())).collect(),
                None => vec![word(rest)],
            }
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn arrows_point_inwards() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_NAME {
        let files = sources(&src.join(module));
        assert!(!files.is_empty(), "{module} has no sources");
        for file in files {
            let text = fs::read_to_string(&file).expect("readable");
            for name in named(&text) {
                if !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{} names crate::{name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_neither_waits_nor_reads_nor_writes() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain");
    for file in sources(&src) {
        let text = fs::read_to_string(&file).expect("readable");
        for word in ["async ", "tokio::", "std::fs", "std::net", "SystemTime", "Instant::now", "serde"] {
            assert!(!text.contains(word), "{} has {word:?}", file.display());
        }
    }
}

#[test]
fn files_hold_one_idea() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<_> = ["src", "tests"]
        .into_iter()
        .flat_map(|dir| sources(&root.join(dir)))
        .filter_map(|file| {
            let lines = fs::read_to_string(&file).expect("readable").lines().count();
            (lines > 400).then(|| format!("{lines} {}", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "files past 400 lines:\n{}", long.join("\n"));
}

/// The tests of a text: functions below a `#[test]` or `#[tokio::test]`.
fn tests_of(text: &str) -> Vec<&str> {
    let after_attribute = |marker: &'static str| {
        text.split(marker).skip(1).filter_map(|rest| {
            let head = rest.split('{').next()?;
            head.split("fn ").nth(1)?.split('(').next()
        })
    };
    after_attribute("#[test]").chain(after_attribute("#[tokio::test")).collect()
}

#[test]
fn every_requirement_leads_to_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<(PathBuf, String)> = ["src", "tests"]
        .into_iter()
        .flat_map(|dir| sources(&root.join(dir)))
        .map(|file| (file.clone(), fs::read_to_string(file).expect("readable")))
        .collect();
    let table = fs::read_to_string(root.join("docs/conformance.md")).expect("readable");
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| ") && !line.contains("| what the server must do |")).collect();
    assert!(rows.len() > 150, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let name = row.trim_end_matches([' ', '|']).rsplit('|').next().expect("a last column").trim().trim_matches('`');
        let (module, function) = name.rsplit_once("::").unwrap_or(("", name));
        // Of a unit test the path in the sources, else the file's name.
        let place = module.strip_suffix("::tests").unwrap_or(module).replace("::", "/");
        let is_there = files.iter().any(|(file, text)| {
            let stem = file.with_extension("");
            (stem.ends_with(&place) || stem.ends_with(Path::new(&place).join("mod")))
                && tests_of(text).contains(&function)
        });
        if !is_there {
            wrong.push(row);
        }
    }
    assert!(wrong.is_empty(), "rows without a test that exists:\n{}", wrong.join("\n"));
}
