//! The ssh command that git runs for ssh addresses.

/// The value of `GIT_SSH_COMMAND`, which git gives to a shell: `BatchMode`, no configuration of the daemon's user, the
/// given key and no other, and host keys as configured.
///
/// With `known_hosts` only the hosts in it are trusted. Without, those of the system are, and any other host at first
/// sight: it is remembered in `seen_hosts`.
pub(super) fn command(key: Option<&str>, known_hosts: Option<&str>, seen_hosts: &str) -> String {
    let mut words: Vec<String> = ["ssh", "-F", "/dev/null"].map(str::to_owned).to_vec();
    for option in ["BatchMode=yes", "ClearAllForwardings=yes", "IdentityAgent=none", "ConnectTimeout=60"] {
        words.extend(["-o".to_owned(), option.to_owned()]);
    }
    let (hosts, checking) = match known_hosts {
        Some(hosts) => {
            // Else the system's list would count as well.
            words.extend(["-o".to_owned(), "GlobalKnownHostsFile=/dev/null".to_owned()]);
            (hosts, "yes")
        }
        None => (seen_hosts, "accept-new"),
    };
    words.extend(["-o".to_owned(), format!("StrictHostKeyChecking={checking}")]);
    // ssh splits this value at blanks unless it is quoted for ssh as well.
    words.extend(["-o".to_owned(), format!("UserKnownHostsFile=\"{hosts}\"")]);
    if let Some(key) = key {
        words.extend(["-o".to_owned(), "IdentitiesOnly=yes".to_owned(), "-i".to_owned(), key.to_owned()]);
    }
    words.iter().map(|word| shell_quote(word)).collect::<Vec<_>>().join(" ")
}

fn shell_quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_make_checking_strict() {
        let command = command(Some("/etc/it's mine/key"), Some("/etc/known hosts"), "/seen");
        assert!(command.contains(r#"'StrictHostKeyChecking=yes' '-o' 'UserKnownHostsFile="/etc/known hosts"'"#));
        assert!(command.contains(r"'-i' '/etc/it'\''s mine/key'") && !command.contains("/seen"), "{command}");
        assert!(command.contains("'GlobalKnownHostsFile=/dev/null'"), "{command}");
    }

    #[test]
    fn unknown_hosts_are_remembered_by_default() {
        let command = command(None, None, "/seen");
        assert!(command.contains(r#"'StrictHostKeyChecking=accept-new' '-o' 'UserKnownHostsFile="/seen"'"#));
        assert!(command.contains("'BatchMode=yes'") && !command.contains("'-i'"), "{command}");
        assert!(!command.contains("GlobalKnownHostsFile"), "{command}");
    }
}
