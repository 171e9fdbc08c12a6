//! `[log]`, `[store]`, `[disk]`, `[json]`, `[uws]`, `[uploads]` and `[sources]`.

use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use super::super::kind::toml_string;
use super::super::problem::Origin;
use super::super::reader::Reader;
use super::super::types::{Disk, Json, Log, LogFormat, Sources, Store, Uploads, Uws};
use super::server::network;

/// Reads `[log]`.
pub(in super::super) fn log(r: &mut Reader) -> Log {
    let level = r.checked(
        "log.level",
        "give off, error, warn, info, debug or trace, or a filter such as \"info,uwsd::http=debug\"",
        filter,
    );
    let format = r.word(
        "log.format",
        &[
            ("auto", LogFormat::Auto),
            ("json", LogFormat::Json),
            ("text", LogFormat::Text),
            ("journald", LogFormat::Journald),
        ],
    );
    Log { level: level.unwrap_or_default(), format }
}

/// Reads `[store]`.
pub(in super::super) fn store(r: &mut Reader, state_dir: &Path) -> Store {
    let path = r.path("store.path").unwrap_or_else(|| {
        let path = state_dir.join("uwsd.db");
        r.derive("store.path", &toml_string(&path.to_string_lossy()), Origin::Derived("below state_dir"));
        path
    });
    Store { path }
}

/// Reads `[disk]`.
pub(in super::super) fn disk(r: &mut Reader) -> Disk {
    Disk {
        refuse_below: r.size("disk.refuse_below"),
        clean_below: r.size("disk.clean_below"),
        clean_min_age: r.time("disk.clean_min_age"),
    }
}

/// Reads `[json]`.
pub(in super::super) fn json(r: &mut Reader) -> Json {
    Json { deletion_visible: r.time("json.deletion_visible") }
}

/// Reads `[uws]`.
pub(in super::super) fn uws(r: &mut Reader) -> Uws {
    Uws {
        max_wait: r.time("uws.max_wait"),
        max_waiting: r.whole("uws.max_waiting"),
        sync_timeout: r.time("uws.sync_timeout"),
        sync_get: r.switch("uws.sync_get"),
    }
}

/// Reads `[uploads]`.
pub(in super::super) fn uploads(r: &mut Reader) -> Uploads {
    Uploads {
        max_size: r.size("uploads.max_size"),
        from_urls: r.switch("uploads.from_urls"),
        url_timeout: r.time("uploads.url_timeout"),
        url_networks: r.each("uploads.url_networks", "give networks such as \"10.0.0.0/8\" or \"fd00::/8\"", network),
    }
}

/// Reads `[sources]`; what git and ssh need is below `state_dir`.
pub(in super::super) fn sources(r: &mut Reader, state_dir: &Path) -> Sources {
    if handed_on(state_dir).is_none() {
        r.refuse("server.state_dir", HANDED_ON);
    }
    Sources {
        git_protocols: r.texts("sources.git_protocols"),
        clone_timeout: r.time("sources.clone_timeout"),
        max_size: r.size("sources.max_size"),
        mirror_age: r.time("sources.mirror_age"),
        submodules: r.switch("sources.submodules"),
        lfs: r.switch("sources.lfs"),
        ssh_key: path_handed_on(r, "sources.ssh_key"),
        known_hosts: path_handed_on(r, "sources.known_hosts"),
        ca_file: path_handed_on(r, "sources.ca_file"),
        proxy: r.optional("sources.proxy", "give a URL such as \"http://proxy:3128\"", proxy),
    }
}

const HANDED_ON: &str = "ssh and git would read it as another path; give one without quotes, '\\', '%', '$' and '~'";

/// A path that ssh and git are told.
fn path_handed_on(r: &mut Reader, key: &str) -> Option<PathBuf> {
    let path = r.path(key)?;
    if handed_on(&path).is_none() {
        r.refuse(key, HANDED_ON);
    }
    Some(path)
}

/// A path as ssh and git are told it; `None` if they would read it as another: it is not UTF-8, or has quotes or characters
/// that they expand.
#[must_use]
pub fn handed_on(path: &Path) -> Option<&str> {
    let is_fine = |text: &&str| !text.contains(['"', '\\', '%', '$', '~']) && !text.contains(char::is_control);
    path.to_str().filter(is_fine)
}

/// A level or a filter. The parser of filters takes a misspelt level for the name of a part of the program, and would
/// show everything of that part and nothing else: so a word alone has to be a level.
fn filter(text: &str) -> Option<String> {
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let is_filter = text.split(',').map(str::trim).all(|part| part.contains(['=', '[']) || is_level(part));
    (is_filter && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned())
}

fn proxy(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_scheme = matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h");
    (is_scheme && url.host_str().is_some_and(|host| !host.is_empty())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["info", "WARN", "off", "info,uwsd::http=debug", "uwsd[job]=trace,error"] {
            assert!(filter(good).is_some(), "{good}");
        }
        for bad in ["", "inof", "info,uwsd", "uwsd=lots", "info,,"] {
            assert!(filter(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn paths_that_ssh_would_expand_are_not_handed_on() {
        assert_eq!(handed_on(Path::new("/a b/c")), Some("/a b/c"));
        for bad in ["/a%h", "/a$x", "/a\"b", "/a\nb", "~/x"] {
            assert_eq!(handed_on(Path::new(bad)), None, "{bad}");
        }
    }

    #[test]
    fn a_proxy_has_a_scheme_that_git_knows() {
        assert!(proxy("http://u:p@proxy:3128").is_some() && proxy("socks5h://proxy").is_some());
        assert!(["proxy:3128", "proxy", "ftp://proxy", "http://"].iter().all(|bad| proxy(bad).is_none()));
    }
}
