//! Takes credentials out of what is shown.

/// `text` with the user part of every URL in it replaced by `***`.
pub(super) fn mask_urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        shown.push_str(head);
        let end = tail.find(['/', '?', '#', ' ', '"', ',']).unwrap_or(tail.len());
        let (authority, tail) = tail.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend(["***@", host]),
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// `text`, which is one URL or meant to be one, with all between its scheme and its last `@` replaced by `***`.
///
/// Stricter than [`mask_urls`]: a password with a stray `/` in it does not show either.
pub(super) fn mask_url(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.find("://").map_or("", |at| &before[..at + 3]);
            format!("{scheme}***@{host}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_part_of_every_url_is_hidden() {
        for (text, shown) in [
            ("plain", "plain"),
            ("https://host/a@b", "https://host/a@b"),
            ("https://u:p@host:1/x", "https://***@host:1/x"),
            ("a=https://token@h,b=ssh://git@g/r", "a=https://***@h,b=ssh://***@g/r"),
            ("https://u:p@ss@host", "https://***@host"),
        ] {
            assert_eq!(mask_urls(text), shown);
        }
    }

    #[test]
    fn a_stray_slash_in_a_password_does_not_show_it() {
        assert_eq!(mask_url("http://u:p/ss@proxy:3128"), "http://***@proxy:3128");
        assert_eq!(mask_url("u:p@proxy:3128"), "***@proxy:3128");
        assert_eq!(mask_url("http://proxy:3128"), "http://proxy:3128");
    }
}
