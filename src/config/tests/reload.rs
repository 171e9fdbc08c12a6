//! What a reload changes, and what waits for a restart.

use super::super::kind::Kind;
use super::super::reload::needs_restart;
use super::super::{Config, Reloaded, carry_over, keys};
use super::fixture::site;

/// Another value than the default, as TOML, for a key that is not one of a service's.
fn another(path: &str, kind: Kind) -> String {
    let text = match (path, kind) {
        ("server.base_path", _) => "\"/other\"",
        ("server.admin_socket", _) => "\"/other/socket\"",
        ("server.allowed_origins", _) => "[\"https://example.org\"]",
        ("uploads.url_networks", _) => "[\"10.0.0.0/8\"]",
        ("log.level", _) => "\"debug\"",
        ("log.format", _) => "\"json\"",
        ("backend.kind", _) => "\"process\"",
        ("backend.docker.host", _) => "\"unix:///other.sock\"",
        ("backend.docker.log_driver", _) => "\"journald\"",
        ("sources.git_protocols", _) => "[\"https\"]",
        (_, Kind::Url) => "\"http://other.example.org:1\"",
        (_, Kind::Path) => "\"/other\"",
        (_, Kind::Whole(..)) => "77",
        (_, Kind::Decimal(..)) => "7.5",
        (_, Kind::Size(_)) => "\"77MiB\"",
        (_, Kind::Time(_)) => "\"77s\"",
        (_, Kind::Texts) => "[\"other\"]",
        (_, Kind::Text) => "\"other\"",
        ("backend.docker.shared_state", Kind::Switch) => "false",
        (_, Kind::Switch) => "true",
        (path, kind) => panic!("{path} of kind {kind:?} has no other value here"),
    };
    text.to_owned()
}

/// The configuration with one key at another value.
fn with(path: &str, value: &str) -> Config {
    let (table, name) = path.rsplit_once('.').expect("no key stands at the top");
    let home = site().variable("UWSD_STATE_DIR", "/state");
    let config = home.main(&format!("[{table}]\n{name} = {value}\n")).load();
    config.unwrap_or_else(|errors| panic!("{path} = {value}: {errors}")).config
}

#[test]
fn every_key_is_changed_by_a_reload_or_told_to_need_a_restart() {
    let old = site().variable("UWSD_STATE_DIR", "/state").config();
    let of_daemon = keys::all().filter(|key| {
        let is_of_parts = key.path.starts_with("service.") || key.path.starts_with("server.listener");
        // Certificates come together, the state directory is given by a variable here.
        !is_of_parts && !key.path.starts_with("backend.docker.tls_") && key.path != "server.state_dir"
    });
    for key in of_daemon {
        let value = another(key.path, key.kind);
        let new = with(key.path, &value);
        assert_ne!(new, old, "{} = {value} is another value", key.path);
        let carried = carry_over(&old, new.clone());
        let expected = if needs_restart(key.path) { &old } else { &new };
        assert_eq!(carried, *expected, "{}", key.path);
    }
}

#[test]
fn what_a_reload_changed_is_told_by_key() {
    let before = site().main("[queue]\nmax_running = 3\n[service.ocps]\nenv = { A = \"1\" }\n").loaded();
    let now = site()
        .main("[queue]\nmax_running = 4\n[server]\nmax_body = \"1MiB\"\n[service.ocps]\nenv = { B = \"2\" }\n")
        .loaded();
    let told = Reloaded::between(&before.effective, &before.effective, &now.effective, Vec::new());
    assert_eq!(told.changed, ["queue.max_running = 4", "service.ocps.env.B is set", "service.ocps.env.A is gone"]);
    assert_eq!(told.at_restart, ["server.max_body = \"1MiB\""]);
    // It waits for the restart however often the rest is read again, and no longer once it is as it was at the start.
    let again = Reloaded::between(&before.effective, &now.effective, &now.effective, Vec::new());
    assert_eq!((again.changed.len(), again.at_restart), (0, told.at_restart));
    let back = Reloaded::between(&before.effective, &now.effective, &before.effective, Vec::new());
    assert_eq!((back.changed.len(), back.at_restart.len()), (3, 0));
}
