//! URLs without the credentials in them.

/// `url` without user information: `https://user:pass@host/x` becomes `https://host/x`.
///
/// It is made for showing and never fails: of a text that is no proper URL it rather removes too much than too little.
/// The form `user@host:path` loses its user too.
#[must_use]
pub fn strip_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return after_user(url).to_owned();
    };
    // A URL may hold another one, in its path or behind a `helper::`.
    let rest = after_user(rest);
    match rest.find("://").map(|at| start_of_scheme(rest, at)) {
        Some(at) => format!("{scheme}://{}{}", &rest[..at], strip_credentials(&rest[at..])),
        None => format!("{scheme}://{rest}"),
    }
}

/// Where the scheme that ends at `end` begins.
fn start_of_scheme(text: &str, end: usize) -> usize {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    end - text[..end].chars().rev().take_while(|&c| is_scheme(c)).count()
}

/// What follows the user information at the beginning of `text`.
fn after_user(text: &str) -> &str {
    let authority = &text[..text.find(['/', '?', '#', '\\']).unwrap_or(text.len())];
    let user_end = if has_user(authority) {
        // A password with an unencoded '/' in it makes the rest look like a path: the last '@' is the safe one to cut
        // at, as long as no other URL begins before it.
        let end = text.find("://").unwrap_or(text.len());
        text[..end].rfind('@').or_else(|| authority.rfind('@'))
    } else {
        None
    };
    user_end.map_or(text, |at| &text[at + 1..])
}

/// Whether the text before the first slash holds user information, or something that cannot be `host:port`.
fn has_user(authority: &str) -> bool {
    if authority.contains('@') {
        return true;
    }
    let after_host = authority.rfind(']').map_or(authority, |at| &authority[at..]);
    after_host.split_once(':').is_some_and(|(_, port)| !port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::strip_credentials;

    #[test]
    fn user_information_is_removed() {
        for (url, expected) in [
            ("https://user:pass@host/x", "https://host/x"),
            ("https://token@host:8443/x.git", "https://host:8443/x.git"),
            ("https://u:p%40ss@[::1]:80/x?y=1", "https://[::1]:80/x?y=1"),
            ("ssh://git@host/x", "ssh://host/x"),
            ("git@host:group/x.git", "host:group/x.git"),
        ] {
            assert_eq!(strip_credentials(url), expected);
        }
    }

    #[test]
    fn urls_without_credentials_stay_as_they_are() {
        for url in
            ["https://host/x", "https://host/x@v1", "https://[::1]:80/a@b", "file:///srv/a@b", "/srv/x", "host:x", ""]
        {
            assert_eq!(strip_credentials(url), url);
        }
    }

    #[test]
    fn malformed_urls_lose_them_too() {
        for url in [
            "https://user:se/cret@host/x",
            "https://user:s@cret/more@host/x",
            "https://user:se?cret@host",
            "https://user:se#cret@host/x",
            "https://@user:secret@host/x",
            "ext::https://user:secret@host/x",
            "https://a/https://user:secret@host/x",
            "user:secret@host:path",
            "user:se/cret@host:path",
            "://user:secret@host",
            "https://ü:secret@host/",
            "https:user:secret@host",
        ] {
            let shown = strip_credentials(url);
            assert!(!shown.contains("cret") && !shown.contains("user"), "{url} became {shown}");
        }
    }
}
