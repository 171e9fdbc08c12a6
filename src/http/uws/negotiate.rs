//! In which form a client wants a document (UWS 1.1 §2.2.2): XML unless it clearly asks for another one.

use http::HeaderMap;
use http::header::ACCEPT;

/// A form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// What the standard defines.
    Xml,
    /// The same in JSON.
    Json,
    /// A page for people.
    Html,
}

impl Format {
    /// The form for a request with these headers. There is always one: 406 is never the answer.
    ///
    /// JSON if it is named and nothing is wanted more, nor XML as much. A page for a browser: those name
    /// `application/xhtml+xml` or tell that they fill a document; Java's default `Accept`, which begins with
    /// `text/html`, does neither.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted: Vec<Range> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        let weight = |kinds: &[&str]| {
            let named = accepted.iter().filter(|range| kinds.contains(&range.kind.as_str()));
            named.map(|range| range.weight).max().unwrap_or(0)
        };
        let json = weight(&["application/json"]);
        let most = accepted.iter().map(|range| range.weight).max().unwrap_or(0);
        if json > 0 && json == most && json > weight(&["application/xml", "text/xml"]) {
            return Self::Json;
        }
        let is_navigation = headers.get("sec-fetch-dest").is_some_and(|dest| dest == "document");
        if is_navigation || weight(&["application/xhtml+xml"]) > 0 { Self::Html } else { Self::Xml }
    }

    /// The media type.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Xml => "application/xml; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// A media range and how much it is wanted, in thousandths (RFC 9110 §12.4.2).
struct Range {
    kind: String,
    weight: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| !kind.is_empty())?.to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('='));
        Some(Self { kind, weight: weight.map_or(1000, |text| thousandths(text.trim())) })
    }
}

/// `0.25` as 250; what is no weight counts as not wanted.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_weight = matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    if !is_weight {
        return 0;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().unwrap_or(0);
    if whole == "1" { 1000 } else { fraction }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(headers: &[(&'static str, &'static str)]) -> Format {
        Format::of(
            &headers
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
                .collect(),
        )
    }

    #[test]
    fn everyone_but_a_browser_and_who_asks_for_json_gets_xml() {
        for (accept, expected) in [
            ("*/*", Format::Xml),
            ("application/xml,text/plain", Format::Xml),
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Format::Xml),
            ("text/html", Format::Xml),
            ("text/csv", Format::Xml),
            ("nonsense;;q=x,,", Format::Xml),
            ("application/json", Format::Json),
            ("application/json, text/plain, */*", Format::Json),
            ("Application/JSON; q=0.9, */*;q=0.8", Format::Json),
            ("application/json;q=0.5, application/xml", Format::Xml),
            ("application/json, application/xml", Format::Xml),
            ("application/json;q=0.5, */*", Format::Xml),
            ("application/json;q=0", Format::Xml),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
        ] {
            assert_eq!(format(&[("accept", accept)]), expected, "{accept}");
        }
        assert_eq!(format(&[]), Format::Xml);
        assert_eq!(format(&[("sec-fetch-dest", "document"), ("accept", "text/html")]), Format::Html);
        assert_eq!(format(&[("sec-fetch-dest", "empty")]), Format::Xml);
    }
}
