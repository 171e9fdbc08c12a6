//! Which layer wins, and what is told of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::keys;
use super::super::kind::Kind;
use super::super::{BackendKind, Config, Host, ListenAddress, LogFormat, show};
use super::fixture::{HOST, site};
use crate::domain::ImagePattern;
use crate::ports::{Mount, MountKind, Network, Pull, Secret, User};

fn addresses(config: &Config) -> Vec<String> {
    let address = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    };
    config.server.listeners.iter().map(|listener| address(&listener.address)).collect()
}

#[test]
fn without_anything_the_daemon_has_defaults() {
    let config = site().config();
    assert_eq!(config, Config::defaults(Path::new("/home/ada/.local/state/uwsd"), HOST));
    assert_eq!(addresses(&config), ["127.0.0.1:8080"]);
    assert_eq!(config.server.base_path, "/api");
    assert_eq!(config.server.jobs_dir, Path::new("/home/ada/.local/state/uwsd/jobs"));
    assert_eq!(config.store.path, Path::new("/home/ada/.local/state/uwsd/uwsd.db"));
    assert_eq!(config.backend.kind, BackendKind::Docker);
    assert_eq!((config.queue.cpus, config.queue.memory), (8.0, 16 << 30));
    assert_eq!(config.services.keys().collect::<Vec<_>>(), ["ocps"]);
    let ocps = &config.services["ocps"];
    assert_eq!((ocps.cpus, ocps.max_cpus, ocps.memory, ocps.max_memory), (1.0, 1.0, 4 << 30, 4 << 30));
    assert_eq!(ocps.execution_duration, Some(Duration::from_secs(3600)));
    assert_eq!(ocps.max_execution_duration, None);
}

#[test]
fn flag_beats_variable_beats_drop_in_beats_main_file_beats_default() {
    let mut layers = site();
    assert_eq!(layers.shown("backend.kind"), "\"docker\"  # default");
    layers = layers.main("[backend]\nkind = \"process\"\n[queue]\nmax_running = 3\nmax_queued = 5\n");
    assert_eq!(layers.shown("backend.kind"), "\"process\"  # DIR/uwsd.toml");
    layers = layers.file("conf.d/10-a.toml", "[backend]\nkind = \"docker\"\n[queue]\nmax_running = 4\n");
    layers = layers.file("conf.d/20-b.toml", "[queue]\nmax_running = 5\n");
    layers = layers.file("conf.d/note.txt", "not = read").file("conf.d/.hidden.toml", "not = \"read\"");
    assert_eq!(layers.shown("backend.kind"), "\"docker\"  # DIR/conf.d/10-a.toml");
    assert_eq!(layers.shown("queue.max_running"), "5  # DIR/conf.d/20-b.toml");
    assert_eq!(layers.shown("queue.max_queued"), "5  # DIR/uwsd.toml");
    layers = layers.variable("UWSD_BACKEND_KIND", "process").variable("UWSD_QUEUE_MAX_RUNNING", "6");
    assert_eq!(layers.shown("backend.kind"), "\"process\"  # UWSD_BACKEND_KIND");
    assert_eq!(layers.shown("queue.max_running"), "6  # UWSD_QUEUE_MAX_RUNNING");
    layers = layers.variable("UWSD_BACKEND", "docker");
    assert_eq!(layers.shown("backend.kind"), "\"docker\"  # UWSD_BACKEND");
    layers.request.backend = Some("process".into());
    assert_eq!(layers.shown("backend.kind"), "\"process\"  # --backend");
}

#[test]
fn a_named_file_is_read_instead_of_that_of_the_system() {
    let mut files = site()
        .main("[queue]\nmax_running = 1\n")
        .file("other/named.toml", "[queue]\nmax_running = 7\n")
        .file("other/named.conf.d/x.toml", "[queue]\nmax_queued = 9\n")
        .file("other/conf.d/y.toml", "[queue]\nmax_queued = 11\n")
        .file("third.toml", "");
    let named = files.path("other/named.toml").display().to_string();
    files = files.variable("UWSD_CONFIG", &named);
    let queue = files.config().queue;
    assert_eq!((queue.max_running, queue.max_queued), (7, 9));
    files.request.config = Some(files.path("third.toml"));
    assert_eq!(files.config().queue.max_running, 2);
}

#[test]
fn tables_of_strings_merge_by_name_and_arrays_are_replaced() {
    let layers = site()
        .main("[service.ocps]\nenv = {A = \"1\", B = \"1\"}\nmounts = [{source = \"/a\", target = \"/a\"}, {source = \"/b\", target = \"/b\"}]\n")
        .file("conf.d/a.toml", "[service.ocps]\nenv = {B = \"2\"}\nmounts = [{source = \"/c\", target = \"/c\"}]\n")
        .variable("UWSD_SERVICE_OCPS_ENV", "{C = \"3\"}");
    let ocps = &layers.config().services["ocps"];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(ocps.env, [pair("A", "1"), pair("B", "2"), pair("C", "3")]);
    let mount = Mount { kind: MountKind::Bind { source: "/c".into() }, target: "/c".into(), is_read_only: true };
    assert_eq!(ocps.mounts, [mount]);
    assert_eq!(layers.shown("service.ocps.env.B"), "\"2\"  # DIR/conf.d/a.toml");
}

#[test]
fn the_state_directory_is_of_the_first_that_names_it() {
    let mut places = site();
    assert_eq!(places.shown("server.state_dir"), "\"/home/ada/.local/state/uwsd\"  # HOME");
    places = places.variable("XDG_STATE_HOME", "/home/ada/state");
    assert_eq!(places.shown("server.state_dir"), "\"/home/ada/state/uwsd\"  # XDG_STATE_HOME");
    places = places.variable("STATE_DIRECTORY", "/var/lib/uwsd:/var/lib/other");
    assert_eq!(places.shown("server.state_dir"), "\"/var/lib/uwsd\"  # STATE_DIRECTORY");
    places = places.main("[server]\nstate_dir = \"/srv/file\"\n");
    assert_eq!(places.shown("server.state_dir"), "\"/srv/file\"  # DIR/uwsd.toml");
    places = places.variable("UWSD_SERVER_STATE_DIR", "/srv/variable");
    assert_eq!(places.shown("server.state_dir"), "\"/srv/variable\"  # UWSD_SERVER_STATE_DIR");
    places = places.variable("UWSD_STATE_DIR", "/srv/short");
    assert_eq!(places.shown("server.state_dir"), "\"/srv/short\"  # UWSD_STATE_DIR");
    places.request.state_dir = Some(PathBuf::from("/srv/flag"));
    assert_eq!(places.shown("server.state_dir"), "\"/srv/flag\"  # --state-dir");
    assert_eq!(places.shown("store.path"), "\"/srv/flag/uwsd.db\"  # default: below state_dir");
}

#[test]
fn a_relative_state_directory_of_a_flag_is_taken_from_the_working_directory() {
    let mut here = site();
    here.request.state_dir = Some(PathBuf::from("state"));
    let state_dir = here.config().server.state_dir;
    assert!(state_dir.is_absolute() && state_dir.ends_with("state"));
}

#[test]
fn listen_adds_to_what_is_configured_and_displaces_the_default_only() {
    let mut listening = site();
    listening.request.listen = vec!["127.0.0.1:0".into(), "unix:/run/a.sock".into()];
    assert_eq!(addresses(&listening.config()), ["127.0.0.1:0", "unix:/run/a.sock"]);
    assert_eq!(listening.shown("server.listener[0].address"), "\"127.0.0.1:0\"  # --listen");
    listening = listening.main("[[server.listener]]\naddress = \"localhost:81\"\n").variable("UWSD_LISTEN", "[::1]:82");
    assert_eq!(addresses(&listening.config()), ["127.0.0.1:81", "127.0.0.1:0", "unix:/run/a.sock"]);
    listening.request.listen.clear();
    assert_eq!(addresses(&listening.config()), ["127.0.0.1:81", "[::1]:82"]);
    listening = listening.variable("UWSD_SERVER_LISTENER", "[{address = \"0.0.0.0:80\", insecure = true}]");
    assert_eq!(addresses(&listening.config()), ["0.0.0.0:80", "[::1]:82"]);
}

#[test]
fn a_default_reservation_is_lowered_to_a_small_hosts_budget() {
    let mut small = site();
    small.request.host = Host { cpus: 0.5, memory: 1 << 30 };
    let ocps = &small.config().services["ocps"];
    assert_eq!((ocps.cpus, ocps.memory, ocps.max_memory), (0.5, 1 << 30, 1 << 30));
    assert_eq!(small.shown("service.ocps.memory"), "\"1GiB\"  # default: lowered to what there is");
    small = small.main("[service.ocps]\nmax_execution_duration = \"10m\"\n");
    assert_eq!(small.config().services["ocps"].execution_duration, Some(Duration::from_secs(600)));
}

#[test]
fn a_grace_and_the_most_that_may_be_asked_for_follow_each_other() {
    let secs = Duration::from_secs;
    let graces = |text: &str| {
        let read = site().main(&format!("[service.ocps]\n{text}\n"));
        let ocps = &read.config().services["ocps"];
        (ocps.kill_grace, ocps.max_kill_grace)
    };
    assert_eq!(graces(""), (secs(10), secs(60)));
    assert_eq!(graces("kill_grace = \"5m\""), (secs(300), secs(300)));
    assert_eq!(graces("max_kill_grace = \"3s\""), (secs(3), secs(3)));
    assert_eq!(graces("kill_grace = \"1s\"\nmax_kill_grace = \"2s\""), (secs(1), secs(2)));
    let raised = site().main("[service.ocps]\nkill_grace = \"5m\"\n");
    assert_eq!(raised.shown("service.ocps.max_kill_grace"), "\"5m\"  # default: raised to kill_grace");
}

#[test]
fn a_service_is_read_whole() {
    let text = r#"
        [service.nightly_1]
        image = "registry:5000/lsst/lab:d_latest"
        pull_always = ["d_latest"]
        shell = ["/bin/sh", "-c"]
        user = "1000:100"
        extra_groups = [4, 5]
        cpus = 2
        max_cpus = 4.5
        memory = "2GiB"
        max_memory = "3GiB"
        network = "site"
        execution_duration = "0"
        destruction = "1d12h"
        max_destruction = "30d"
        secrets = [{ name = "PGPASSFILE", file = "/nowhere/pgpass", target = "/run/secrets/pgpass" }]

        [[service.nightly_1.mounts]]
        type = "volume"
        source = "data"
        sub_path = "a/b"
        target = "/data"
        read_only = false

        [[service.nightly_1.mounts]]
        type = "tmpfs"
        size = "64MiB"
        target = "/scratch"
    "#;
    let loaded = site().main(text).loaded();
    assert_eq!(loaded.config.services.len(), 1);
    let service = &loaded.config.services["nightly_1"];
    assert_eq!((service.pull, &service.pull_always[..]), (Pull::Missing, &[ImagePattern::new("d_latest")][..]));
    assert_eq!(service.allowed_images, [ImagePattern::new("registry:5000/lsst/lab:*")]);
    assert_eq!(service.user, Some(User { uid: 1000, gid: 100 }));
    assert_eq!((service.cpus, service.max_cpus, service.memory, service.max_memory), (2.0, 4.5, 2 << 30, 3 << 30));
    assert_eq!(service.network, Network::Named("site".into()));
    assert_eq!((service.execution_duration, service.destruction), (None, Some(Duration::from_secs(129_600))));
    let volume = MountKind::Volume { source: "data".into(), sub_path: "a/b".into() };
    let tmpfs = MountKind::Tmpfs { size: 64 << 20 };
    assert_eq!(
        service.mounts,
        [
            Mount { kind: volume, target: "/data".into(), is_read_only: false },
            Mount { kind: tmpfs, target: "/scratch".into(), is_read_only: false }
        ]
    );
    let (file, target) = ("/nowhere/pgpass".into(), "/run/secrets/pgpass".into());
    assert_eq!(service.secrets, [Secret { name: "PGPASSFILE".into(), file, target }]);
    assert!(loaded.warnings[0].contains("/nowhere/pgpass, which does not exist"), "{:?}", loaded.warnings);
}

#[test]
fn logins_are_in_the_engines_usual_file_else_in_the_state_directorys() {
    let logins =
        |site: super::fixture::Site| site.variable("UWSD_STATE_DIR", "/state").config().backend.docker.credentials;
    assert_eq!(logins(site()), Path::new("/state/.docker/config.json"));
    assert_eq!(logins(site().variable("DOCKER_CONFIG", "/logins")), Path::new("/logins/config.json"));
    let given = site().main("[backend.docker]\ncredentials = \"/given/file\"\n");
    assert_eq!(logins(given.variable("DOCKER_CONFIG", "/logins")), Path::new("/given/file"));
}

#[test]
fn shared_state_follows_the_scheme_unless_it_is_given() {
    let remote = site().main("[backend.docker]\nhost = \"tcp://127.0.0.1:2375\"\n");
    assert!(!remote.config().backend.docker.shared_state);
    let shared = site().main("[backend.docker]\nhost = \"tcp://127.0.0.1:2375\"\nshared_state = true\n");
    assert!(shared.config().backend.docker.shared_state);
    assert!(site().config().backend.docker.shared_state);
}

#[test]
fn every_word_of_every_key_means_something() {
    for key in keys::all() {
        let Kind::Word(words) = key.kind else { continue };
        for word in words.here {
            let text = match key.path.split_once("[].") {
                Some(("server.listener", _)) => continue,
                Some(("service.*.parameters", field)) => {
                    let values = if *word == "enum" { ", values = [\"a\"]" } else { "" };
                    format!(
                        "service.a.command = [\"x\"]\nservice.a.parameters = [{{ name = \"P\", {field} = \"{word}\"{values} }}]"
                    )
                }
                Some((_, field)) => {
                    let source = if *word == "tmpfs" { "" } else { "source = \"/a\", " };
                    let source = if *word == "volume" { "source = \"a\", " } else { source };
                    format!("service.ocps.mounts = [{{ {field} = \"{word}\", {source}target = \"/b\" }}]")
                }
                None => format!("{} = \"{word}\"", key.path.replace('*', "ocps")),
            };
            site().main(&text).config();
        }
    }
}

#[test]
fn drop_ins_are_read_without_a_main_file() {
    let alone = site().file("conf.d/a.toml", "[queue]\nmax_running = 9\n");
    assert_eq!(alone.config().queue.max_running, 9);
}

#[test]
fn passwords_are_not_shown() {
    let secret = site().main(
        "[sources]\nproxy = \"http://ada:s3cret@proxy:3128\"\n[service.ocps]\nenv = {URL = \"https://u:s3cret@h/\"}\n",
    );
    let loaded = secret.loaded();
    assert_eq!(loaded.config.sources.proxy.as_deref(), Some("http://ada:s3cret@proxy:3128"));
    let shown = show(&loaded.effective);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("\"http://***@proxy:3128\"") && shown.contains("\"https://***@h/\""), "{shown}");
}

#[test]
fn other_variables_of_our_prefix_are_warned_about_and_empty_ones_are_unset() {
    let odd = site().variable("UWSD_QUEUE_MAX_RUNNING", "").variable("UWSD_COLOUR", "red");
    let odd = odd.variable("UWSD_SERVICE_HOST", "10.0.0.1").variable("UWSD_LOG_FORMAT", "json");
    let loaded = odd.loaded();
    assert_eq!(loaded.warnings, ["UWSD_COLOUR is set, which uwsd does not know"]);
    assert_eq!((loaded.config.queue.max_running, loaded.config.log.format), (2, LogFormat::Json));
}
