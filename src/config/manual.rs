//! The manual page `uwsd.toml(5)`, from the table of keys.

use roff::{Inline, Roff, bold, italic, roman};

use super::keys::{Key, SECTIONS};
use super::kind::Kind;
use super::sample::{keys_of, name, nature};

/// `uwsd.toml(5)` in the language of `man`.
#[must_use]
pub fn manual() -> String {
    let mut page = Roff::new();
    let source = concat!("uwsd ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["UWSD.TOML", "5", "", source, "File formats"]);
    heading(&mut page, "NAME");
    page.text([roman("uwsd.toml - the configuration of uwsd(8)")]);
    heading(&mut page, "SYNOPSIS");
    page.text([italic("/etc/uwsd/uwsd.toml")]);
    page.control("br", []);
    page.text([italic("/etc/uwsd/conf.d/*.toml")]);

    heading(&mut page, "DESCRIPTION");
    for paragraph in DESCRIPTION {
        page.control("PP", []);
        page.text(words(paragraph));
    }
    heading(&mut page, "KEYS");
    for section in SECTIONS {
        page.control("SS", []);
        page.text([roman(section.heading)]);
        page.text(words(section.doc));
        // The addresses have a heading of their own.
        for key in keys_of(section.path).filter(|key| key.path != "server.listener") {
            entry(&mut page, key);
        }
    }

    heading(&mut page, "EXAMPLES");
    page.text([roman("Another image, more jobs at a time, and a service with typed parameters:")]);
    page.control("PP", []);
    page.control("nf", []);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    heading(&mut page, "SEE ALSO");
    page.text([bold("uwsd"), roman("(8), "), bold("uwsctl"), roman("(1)")]);
    page.render()
}

const DESCRIPTION: [&str; 4] = [
    "The file is TOML. Every key has a default, so that it may be empty or absent. Unknown keys are errors, and all problems are \
     told at once, each with its file, key and what would do: `uwsd check` prints them, or what is in force, and from where. \
     `uwsd reload` makes a running daemon read everything again; a configuration with a problem is refused as a whole.",
    "Drop-ins, `conf.d/*.toml` beside the file (of NAME.toml: `NAME.conf.d/*.toml`), are read after it in name order: a key replaces, \
     arrays as a whole.",
    "Every key but those of arrays of tables has an environment variable, which wins over the files: \
     `UWSD_QUEUE_MAX_RUNNING` is queue.max_running, `UWSD_SERVICE_OCPS_IMAGE` is image of [service.ocps]; lists with commas, \
     tables as TOML. Flags win over variables.",
    "Sizes are numbers of bytes or strings such as \"4GiB\" (KiB, MiB, GiB, TiB); times are strings such as \"30s\" or \
     \"1h30m\" (s, m, h, d).",
];

/// A test loads it.
pub(super) const EXAMPLE: &str = "\
[queue]
max_running = 8

[service.ocps]
image = \"ghcr.io/lsst/scipipe:w_latest\"
memory = \"8GiB\"
mounts = [{ source = \"/data\", target = \"/data\", read_only = true }]

[service.cutout]
image = \"ghcr.io/example/cutout:1\"
command = [\"cutout\", \"--ra\", \"{RA}\"]
parameters = [{ name = \"RA\", type = \"real\", min = 0, max = 360, unit = \"deg\" }]
";

fn heading(page: &mut Roff, text: &str) {
    page.control("SH", []);
    page.text([roman(text)]);
}

fn entry(page: &mut Roff, key: &Key) {
    page.control("TP", []);
    let default = if key.default.is_empty() { " (required)".to_owned() } else { format!(" = {}", key.default) };
    page.text([bold(name(key)), roman(default)]);
    page.text(words(key.doc));
    page.text(words(&nature(key)));
    if key.kind == Kind::Rows {
        page.control("RS", []);
        for field in keys_of(&format!("{}[]", key.path)) {
            entry(page, field);
        }
        page.control("RE", []);
    }
}

/// A sentence in which what stands between backticks is bold.
fn words(sentence: &str) -> Vec<Inline> {
    let parts = sentence.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn every_key_and_field_stands_in_the_manual() {
        let page = manual();
        for key in keys::all().filter(|key| key.path != "server.listener") {
            assert!(page.contains(&format!("\n.TP\n\\fB{}\\fR", name(key).replace('-', "\\-"))), "{}", key.path);
        }
        assert_eq!(page.matches("\n.TP\n").count(), keys::all().count() - 1, "each once");
    }

    #[test]
    fn what_stands_in_backticks_is_bold() {
        assert_eq!(words("a `b` c"), [roman("a "), bold("b"), roman(" c")]);
    }
}
