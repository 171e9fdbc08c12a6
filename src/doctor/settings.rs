//! What is odd in the configuration itself, and who can reach the daemon.

use std::path::{Path, PathBuf};

use super::finding::{Finding, Subject};
use crate::config::{Config, Effective, ListenAddress, Listener, Origin, Trust};

/// Where the daemon of the package keeps its state.
const STATE_OF_PACKAGE: &str = "/var/lib/uwsd";

pub(super) fn judge(config: &Config, effective: &[Effective], warnings: &[String], files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = vec![read_from(effective, files)];
    findings.extend(warnings.iter().map(|warning| {
        Finding::odd(Subject::Configuration, warning, "uwsd check    # shows every value and where it comes from")
    }));
    let origin = effective.iter().find(|entry| entry.key == "server.state_dir").map(|entry| &entry.origin);
    findings.extend(other_state(origin, &config.server.state_dir, Path::new(STATE_OF_PACKAGE).exists()));
    findings.extend(config.server.listeners.iter().map(listener));
    findings
}

fn read_from(effective: &[Effective], files: &[PathBuf]) -> Finding {
    let set = effective.iter().filter(|entry| entry.origin.is_configured()).count();
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let sentence = match files.as_slice() {
        [] => "no file sets anything: the defaults are in force".to_owned(),
        files => format!("valid; {set} values are set, in {}", files.join(", ")),
    };
    Finding::fine(Subject::Configuration, sentence)
}

/// The state directory of whoever looks is looked at, while there is one of the package.
fn other_state(origin: Option<&Origin>, state_dir: &Path, is_packaged: bool) -> Option<Finding> {
    let Some(Origin::Variable(name)) = origin else { return None };
    let is_of_user = matches!(name.as_str(), "HOME" | "XDG_STATE_HOME");
    (is_of_user && is_packaged).then(|| {
        Finding::odd(
            Subject::Configuration,
            format!(
                "{} is looked at, by ${name}; the daemon of the package keeps its state in {STATE_OF_PACKAGE}",
                state_dir.display()
            ),
            format!("STATE_DIRECTORY={STATE_OF_PACKAGE} RUNTIME_DIRECTORY=/run/uwsd uwsd doctor"),
        )
    })
}

fn listener(listener: &Listener) -> Finding {
    let address = &listener.address;
    let is_open = match (&listener.trust, address) {
        (Trust::Anonymous, ListenAddress::Tcp(address)) => !address.ip().to_canonical().is_loopback(),
        (Trust::Anonymous, ListenAddress::Unix(_)) | (Trust::Operator, _) => false,
    };
    if is_open {
        return Finding::odd(
            Subject::Listeners,
            format!("whoever reaches {address} can run commands on this host (insecure = true)"),
            "listen on 127.0.0.1 behind a proxy that asks for a login, or bar the port from other networks",
        );
    }
    let who = match address {
        ListenAddress::Tcp(_) => "users of this host",
        ListenAddress::Unix(_) => "those who may open it",
    };
    Finding::fine(Subject::Listeners, format!("{address} is for {who}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_listener_that_others_reach_is_odd() {
        for (address, state) in [
            (ListenAddress::Tcp("0.0.0.0:8080".parse().expect("an address")), State::Odd),
            (ListenAddress::Tcp("[::ffff:127.0.0.1]:80".parse().expect("an address")), State::Fine),
            (ListenAddress::Tcp("127.0.0.1:8080".parse().expect("an address")), State::Fine),
            (ListenAddress::Unix("/run/x".into()), State::Fine),
        ] {
            let trusted_proxies = Vec::new();
            let one =
                Listener { address, trust: Trust::Anonymous, trusted_proxies, trusts_unix: false, is_insecure: true };
            assert_eq!(listener(&one).state, state, "{one:?}");
        }
    }

    #[test]
    fn the_wrong_state_directory_is_told_where_that_of_the_package_is() {
        let (home, unit) = (Origin::Variable("HOME".into()), Origin::Variable("STATE_DIRECTORY".into()));
        let other = |origin, is_packaged| other_state(Some(origin), Path::new("/elsewhere/x"), is_packaged);
        assert!(other(&home, true).is_some_and(|found| found.state == State::Odd));
        assert_eq!((other(&home, false), other(&unit, true), other(&Origin::Default, true)), (None, None, None));
    }
}
