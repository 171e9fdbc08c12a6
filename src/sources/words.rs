//! Git's last words: which of them are shown, without secrets, and what they mean.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::strip_credentials;

/// How much of what git says is shown, in characters.
const MAX_WORDS: usize = 500;
/// What stands where a secret was.
const MASK: &str = "***";

/// What a failure of git's was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The URL, the ref or the repository.
    Refused,
    /// The network or the server.
    Network,
    /// The disk.
    DiskFull,
}

/// What of a URL must never be shown.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// The secrets of `urls`: the user information as a whole, passwords, and the user where there is no password, as
    /// written, decoded and encoded anew.
    pub(super) fn of<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Vec::new();
        for url in urls {
            let Some((scheme, rest)) = url.split_once("://") else { continue };
            let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
            let Some((user, _)) = authority.rsplit_once('@') else { continue };
            match user.split_once(':') {
                Some((_, password)) => found.extend([user, password]),
                // A user alone is a token over http; over ssh it is a public name, often `git`.
                None if scheme.eq_ignore_ascii_case("ssh") => {}
                None => found.push(user),
            }
        }
        let mut all: Vec<String> = Vec::new();
        for secret in found.into_iter().filter(|secret| !secret.is_empty()) {
            let plain = percent_decode_str(secret).decode_utf8_lossy().into_owned();
            let encoded = utf8_percent_encode(&plain, NON_ALPHANUMERIC).to_string();
            all.extend([encoded.to_lowercase(), encoded, secret.to_owned(), plain]);
        }
        // The longest first, so that no part of one is left when a shorter one is masked.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Self(all)
    }

    /// These, and `path`: a place of the daemon's own, which is nobody else's concern.
    pub(super) fn and_path(&self, path: &std::path::Path) -> Self {
        Self([vec![path.display().to_string()], self.0.clone()].concat())
    }

    /// `text` with every secret masked.
    fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

/// The end of what git wrote, in one line fit to be shown: without control characters, chatter and secrets.
pub(super) fn last_words(stderr: &str, secrets: &Secrets) -> String {
    let lines: Vec<String> = stderr
        .split(['\n', '\r'])
        .map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned())
        .filter(|line| !line.is_empty() && !is_chatter(line))
        .collect();
    let mut kept: Vec<String> = Vec::new();
    let mut left = MAX_WORDS;
    for line in lines.iter().rev() {
        let line = secrets.mask(&strip_urls(line));
        let length = line.chars().count() + if kept.is_empty() { 0 } else { 2 };
        if length > left {
            if kept.is_empty() {
                kept.push(line.chars().take(MAX_WORDS).collect());
            }
            break;
        }
        left -= length;
        kept.push(line);
    }
    kept.reverse();
    if kept.is_empty() { "git said nothing".to_owned() } else { kept.join("; ") }
}

fn is_chatter(line: &str) -> bool {
    CHATTER.iter().any(|beginning| line.starts_with(beginning))
}

/// How lines begin that say nothing to who submitted a job, or only how to change files on the daemon's host.
const CHATTER: &[&str] = &[
    "hint:",
    "Cloning into",
    "Warning: Permanently added",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
    "Add correct host key in",
    "Offending ",
    "remove with:",
    "ssh-keygen -f",
];

/// What can be done about a failure that the configuration or the URL caused, to stand behind git's words; else empty.
/// `has_login`: whether the URL holds a login.
pub(super) fn remedy(stderr: &str, has_login: bool) -> &'static str {
    if stderr.contains("Host key verification failed") {
        " (host keys that the daemon trusts: sources.known_hosts)"
    } else if stderr.contains("Permission denied (publickey") {
        " (the key that the daemon shows: sources.ssh_key)"
    } else if stderr.contains("could not read Username") && has_login {
        " (a login in the URL goes only to the server that it is given for, not to where that redirects)"
    } else if stderr.contains("could not read Username") {
        " (it is not there, or wants a login in the URL)"
    } else if stderr.contains("HTTP 30") || stderr.contains("returned error: 30") {
        " (the server redirects; give the URL that it redirects to)"
    } else {
        ""
    }
}

/// `line` with the user information taken out of every URL in it.
fn strip_urls(line: &str) -> String {
    line.split_inclusive([' ', '\'', '"', '<', '>', '(', ')'])
        .map(|word| if word.contains("://") { strip_credentials(word) } else { word.to_owned() })
        .collect()
}

/// What a failure was about, by git's own messages in the C locale.
pub(super) fn classify(stderr: &str) -> Failure {
    let is_remote = |line: &&str| line.trim_start().starts_with("remote:");
    let text = stderr.to_lowercase();
    let ours: String = text.lines().filter(|line| !is_remote(line)).collect::<Vec<_>>().join("\n");
    let holds = |text: &str, needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if holds(&ours, DISK) {
        Failure::DiskFull
    } else if holds(&text, REFUSED) {
        Failure::Refused
    } else if holds(&text, NETWORK) {
        Failure::Network
    } else {
        Failure::Refused
    }
}

const DISK: &[&str] = &["no space left on device", "disk quota exceeded"];

/// Asked first: git and ssh often add that the remote end hung up.
const REFUSED: &[&str] = &[
    "authentication failed",
    "permission denied",
    "could not read username",
    "could not read password",
    "host key verification failed",
    "remote host identification has changed",
    "repository not found",
    "not exported",
    "does not exist",
    "does not appear to be a git repository",
    "returned error: 401",
    "returned error: 403",
    "returned error: 404",
    "returned error: 410",
    "certificate",
    "transport '",
];

const NETWORK: &[&str] = &[
    "could not resolve",
    "couldn't resolve",
    "unable to look up",
    "name or service not known",
    "temporary failure in name resolution",
    "connection refused",
    "connection reset",
    "connection closed",
    "connection timed out",
    "connection to ",
    "unable to connect",
    "failed to connect",
    "could not connect",
    "couldn't connect",
    "operation timed out",
    "timed out",
    "timeout",
    "network is unreachable",
    "no route to host",
    "early eof",
    "unexpected disconnect",
    "remote end hung up",
    "empty reply from server",
    "recv failure",
    "send failure",
    "transfer closed",
    "rpc failed",
    "broken pipe",
    "ssl_error_syscall",
    "gnutls_handshake() failed",
    "tls connection was non-properly terminated",
    "kex_exchange_identification",
    "returned error: 408",
    "returned error: 429",
    "returned error: 5",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_lines() {
        let none = Secrets::default();
        assert_eq!(last_words("Cloning into '/x'...\nhint: no\nfatal: one\r\n\n", &none), "fatal: one");
        assert_eq!(last_words("error: a\nfatal: b\n", &none), "error: a; fatal: b");
        assert_eq!(last_words("", &none), "git said nothing");
        assert_eq!(last_words("remote: \x1b[31mred\x07", &none), "remote:  [31mred");
        let long = format!("first\n{}", "ü".repeat(700));
        assert_eq!(last_words(&long, &none).chars().count(), 500);
    }

    #[test]
    fn words_of_ssh_lose_their_chatter_and_get_a_remedy() {
        let said = "Add correct host key in /var/lib/x to get rid of this message.\r\n\
                    Offending ED25519 key in /var/lib/x:1\r\n  remove with:\r\n  ssh-keygen -f \"/var/lib/x\" -R \"h\"\r\n\
                    Host key verification failed.\r\nfatal: Could not read from remote repository.\n\n\
                    Please make sure you have the correct access rights\nand the repository exists.\n";
        let shown = last_words(said, &Secrets::default());
        assert_eq!(shown, "Host key verification failed.; fatal: Could not read from remote repository.");
        assert!(remedy(said, false).contains("sources.known_hosts"));
        assert!(remedy("git@h: Permission denied (publickey,password).", false).contains("sources.ssh_key"));
        assert_eq!(remedy("fatal: early EOF", true), "");
    }

    #[test]
    fn only_who_gave_a_login_is_told_where_it_does_not_go() {
        let said = "fatal: could not read Username for 'https://h': terminal prompts disabled";
        assert!(remedy(said, true).contains("not to where that redirects"));
        assert_eq!(remedy(said, false), " (it is not there, or wants a login in the URL)");
    }

    #[test]
    fn no_form_of_a_password_is_left() {
        let url = "https://ada:p%40s%2fs%20w@host/x";
        let secrets = Secrets::of([url]);
        for said in [
            "fatal: unable to access 'https://ada:p%40s%2fs%20w@host/x/': The requested URL returned error: 403",
            "fatal: login p@s/s w failed",
            "fatal: login p%40s%2Fs%20w failed",
            "fatal: login ada:p%40s%2fs%20w failed",
            "fatal: repository 'https://other:word@host/y' not found",
        ] {
            let shown = last_words(said, &secrets);
            for secret in ["p%40", "p@s", "s w", "%2Fs", "ada:", "other", "word"] {
                assert!(!shown.contains(secret), "{said} became {shown}");
            }
        }
    }

    #[test]
    fn a_token_as_user_is_a_secret_and_an_ssh_user_is_none() {
        assert!(!last_words("fatal: tok3n is bad", &Secrets::of(["https://tok3n@host/x"])).contains("tok3n"));
        let shown = last_words("fatal: git-upload-pack", &Secrets::of(["ssh://git@host/x"]));
        assert_eq!(shown, "fatal: git-upload-pack");
    }

    #[test]
    fn failures_are_told_apart() {
        for (said, failure) in [
            ("fatal: unable to access 'https://h/': Could not resolve host: h", Failure::Network),
            ("ssh: Could not resolve hostname h: Name or service not known", Failure::Network),
            ("fatal: unable to connect to 127.0.0.1:\nConnection refused", Failure::Network),
            ("fatal: Failed to connect to h port 1 after 0 ms: Couldn't connect to server", Failure::Network),
            ("error: RPC failed; HTTP 502\nfatal: early EOF", Failure::Network),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 503", Failure::Network),
            ("fatal: the remote end hung up unexpectedly", Failure::Network),
            ("fatal: repository 'http://h/' not found", Failure::Refused),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 403", Failure::Refused),
            ("fatal: Authentication failed for 'http://h/'", Failure::Refused),
            ("git@h: Permission denied (publickey).\nfatal: Could not read from remote", Failure::Refused),
            ("fatal: remote error: access denied or repository not exported: /x", Failure::Refused),
            ("Host key verification failed.\nfatal: the remote end hung up", Failure::Refused),
            ("fatal: transport 'ext' not allowed", Failure::Refused),
            ("fatal: write error: No space left on device\nfatal: early EOF", Failure::DiskFull),
            ("remote: No space left on device\nfatal: early EOF", Failure::Network),
            ("", Failure::Refused),
        ] {
            assert_eq!(classify(said), failure, "{said}");
        }
    }
}
