//! Writes the manual pages and the completions of the shells into a directory.
//!
//!     cargo run --features test-support --example manual -- DIR
//!
//! They are made from what the programs read their command lines and their configuration by, so they cannot tell other
//! options than there are. Only what no definition holds (files, signals, exit codes) is written here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use uwsd::client::commands::Cli;

/// A section of a page: its heading, a sentence before, and terms with what they are.
type Section = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const DAEMON: &[Section] = &[
    (
        "FILES",
        "",
        &[
            (
                "/etc/uwsd/uwsd.toml",
                "The configuration, see uwsd.toml(5). Drop-ins, /etc/uwsd/conf.d/*.toml, are read after it in name order.",
            ),
            (
                "/etc/uwsd/NAME.toml",
                "The configuration of the second instance uwsd@NAME.service; its drop-ins are /etc/uwsd/NAME.conf.d/*.toml.",
            ),
            (
                "/var/lib/uwsd",
                "The state: the database uwsd.db, the jobs' files below jobs/, files that clients handed in below uploads/, mirrors \
                 of git sources below git/. \
                 /var/lib/uwsd-NAME is that of uwsd@NAME.service.",
            ),
            ("/run/uwsd/uwsd.sock", "The administration socket, for root and the group uwsd."),
            (
                "/lib/systemd/system/uwsd.socket",
                "The sockets on which systemd listens for the daemon. `systemctl edit uwsd.socket` is the place to change the port.",
            ),
        ],
    ),
    (
        "SIGNALS",
        "",
        &[
            (
                "SIGTERM, SIGINT",
                "Stop: no new connections, one more request on each open one (server.shutdown_linger), then requests in flight \
                 have server.shutdown_grace to end. Jobs run on, and the next start goes on with them. A second signal stops \
                 at once.",
            ),
            ("SIGHUP", "Read the configuration again, as systemctl reload does. Jobs run on."),
        ],
    ),
    (
        "EXIT STATUS",
        "",
        &[
            ("0", "Done; of serve: stopped as it was asked to."),
            ("1", "It failed."),
            ("2", "Wrong usage, or a configuration that cannot be used."),
        ],
    ),
    (
        "ENVIRONMENT",
        "Variables win over the files and lose against flags.",
        &[
            (
                "UWSD_SECTION_KEY",
                "Any key of the configuration but those of arrays of tables, such as UWSD_QUEUE_MAX_RUNNING; see uwsd.toml(5).",
            ),
            ("UWSD_CONFIG", "The configuration file, as --config."),
            ("UWSD_LISTEN", "Further addresses to listen on, as --listen, with commas between them."),
            ("UWSD_STATE_DIR, UWSD_BACKEND", "As --state-dir and --backend."),
            (
                "UWSD_JSON, UWSD_WAIT, UWSD_FORCE, UWSD_DRAINED, UWSD_URL",
                "As the flags of these names; true or false, but for the last.",
            ),
            (
                "UWSD_SOCKET",
                "The administration socket of the daemon that status, drain and other orders are meant for, as --socket.",
            ),
            (
                "STATE_DIRECTORY, RUNTIME_DIRECTORY",
                "The directories of the state and of the administration socket, where the configuration names none; systemd sets them.",
            ),
            ("LISTEN_FDS, LISTEN_PID", "Sockets that systemd passes: each is used instead of binding its address."),
            (
                "NOTIFY_SOCKET, WATCHDOG_USEC",
                "Where systemd hears that requests are answered, and how often that all is well.",
            ),
            ("DOCKER_CONFIG", "The directory of a config.json with logins for image registries."),
        ],
    ),
    ("SEE ALSO", "`uwsctl`(1), `uwsd.toml`(5), `systemd.socket`(5), `docker`(1), `bwrap`(1)", &[]),
];

const CLIENT: &[Section] = &[
    (
        "EXIT STATUS",
        "",
        &[
            ("0", "Done; of run and wait: the job ended COMPLETED."),
            ("1", "It failed."),
            ("2", "Wrong usage."),
            ("3", "Of run and wait: the job ended in ERROR."),
            ("4", "Of run and wait: the job ended ABORTED."),
        ],
    ),
    (
        "ENVIRONMENT",
        "Flags win over variables.",
        &[
            ("UWS_URL", "The server, as --url."),
            ("UWS_SERVICE", "The service, as --service."),
            ("UWS_ADMIN_SOCKET", "The administration socket, as --admin-socket."),
            (
                "UWS_USER, UWS_PASSWORD",
                "A login for HTTP Basic authentication, as a proxy in front of the server may ask for.",
            ),
            ("UWS_TOKEN, UWS_TOKEN_FILE", "A token, or a file with one; sent as Bearer, and wins over a login."),
            ("UWS_OPTION", "Any other option, such as UWS_RUN_ID for --run-id and UWS_JSON=true for --json."),
        ],
    ),
    (
        "FILES",
        "",
        &[(
            "/run/uwsd/uwsd.sock",
            "The administration socket of the daemon on this host, for root and the group uwsd.",
        )],
    ),
    ("SEE ALSO", "`uwsd`(8), `uwsd.toml`(5)", &[]),
];

fn main() -> Result<()> {
    let dir = PathBuf::from(std::env::args_os().nth(1).context("give a directory to write to")?);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("uwsd.8", &page(uwsd::cli::command(), "8", "System administration", DAEMON)?)?;
    write("uwsctl.1", &page(Cli::command(), "1", "User commands", CLIENT)?)?;
    write("uwsd.toml.5", &uwsd::config::manual())?;
    for command in [uwsd::cli::command(), Cli::command()] {
        complete(command, &dir)?;
    }
    Ok(())
}

/// The completions, under the names that the shells look for.
fn complete(mut command: clap::Command, dir: &Path) -> Result<()> {
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, &name, dir)
            .with_context(|| format!("no completion for {name}"))?;
    }
    Ok(())
}

/// One page for a program and all its commands.
fn page(command: clap::Command, section: &str, manual: &str, more: &[Section]) -> Result<String> {
    let name = command.get_name().to_owned();
    // Each command has a help of its own, but nobody looks for `uwsd help help` in a manual.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let man = Man::new(with_usage(command.clone())).title(name.to_uppercase()).section(section).manual(manual);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut page = String::from_utf8(page)?;

    page.push_str(".SH COMMANDS\n");
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        commands(&mut page, sub)?;
    }
    let mut rest = Roff::new();
    verbatim(&mut rest, &command);
    for (heading, text, terms) in more {
        rest.control("SH", []);
        rest.text([roman(*heading)]);
        if !text.is_empty() {
            rest.text(words(text));
        }
        for (term, what) in *terms {
            rest.control("TP", []);
            rest.text([bold(*term)]);
            rest.text(words(what));
        }
    }
    page.push_str(&rest.to_roff());
    Ok(page)
}

/// A command, then those below it.
fn commands(page: &mut String, command: &clap::Command) -> Result<()> {
    let mut roff = Roff::new();
    roff.control("SS", []);
    roff.text([roman(command.get_bin_name().unwrap_or_else(|| command.get_name()))]);
    page.push_str(&roff.to_roff());
    // What every command has stands once, above.
    let mut own = command.clone().disable_help_flag(true);
    let everywhere: Vec<_> =
        own.get_arguments().filter(|a| a.is_global_set() || a.get_id() == "help").map(|a| a.get_id().clone()).collect();
    for id in everywhere {
        own = own.mut_arg(id, |argument| argument.hide(true));
    }
    let man = Man::new(with_usage(own));
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    text.extend(b".PP\n");
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    // Below the command's own heading, so without those of a whole page and the definitions before each.
    let is_ours = |line: &&str| !line.starts_with(".SH ") && !line.starts_with(".ie ") && !line.starts_with(".el ");
    for line in String::from_utf8(text)?.lines().filter(is_ours) {
        page.extend([line, "\n"]);
    }
    let mut roff = Roff::new();
    verbatim(&mut roff, command);
    page.push_str(&roff.to_roff().replace(".SH EXAMPLES\n", ".PP\n"));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        commands(page, sub)?;
    }
    Ok(())
}

/// The synopsis as `--help` has it, with the names of values.
fn with_usage(mut command: clap::Command) -> clap::Command {
    let usage = command.render_usage().to_string();
    command.override_usage(usage.trim_start_matches("Usage:").trim().to_owned())
}

/// The examples below the help of a command, line for line.
fn verbatim(roff: &mut Roff, command: &clap::Command) {
    let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) else { return };
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in text.to_string().lines().filter(|line| *line != "Examples:") {
        roff.text([roman(line.trim_start_matches("  "))]);
    }
    roff.control("fi", []);
}

/// A sentence in which what stands between backticks is bold.
fn words(sentence: &str) -> Vec<clap_mangen::roff::Inline> {
    let parts = sentence.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
