//! `/{service}/availability` (VOSI 1.1 §3.2).

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::reply::{ApiError, with_type};
use super::resource::{READ_ONLY, is_read, other};
use super::server::Api;
use crate::domain::Timestamp;
use crate::supervisor::Readiness;

const NAMESPACE: &str = "http://www.ivoa.net/xml/VOSIAvailability/v1.0";

/// Whether a service takes work.
#[derive(Debug)]
struct Availability<'a> {
    is_available: bool,
    up_since: Option<Timestamp>,
    /// The name of the instance, if it has one.
    instance: &'a str,
    note: &'a str,
}

/// The availability document of every service, below the base path; status 200 also when it says `false`.
pub(super) fn route(base: BoxedFilter<()>, api: &Arc<Api>, started: Timestamp) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    base.and(warp::path!(String / "availability"))
        .and(warp::method())
        .map(move |service: String, method: Method| {
            answer(&api, &service, &method, started).unwrap_or_else(|error| error.as_text())
        })
        .boxed()
}

fn answer(api: &Api, service: &str, method: &Method, started: Timestamp) -> Result<Response, ApiError> {
    if !api.config.services.contains_key(service) {
        return Err(ApiError::NoSuchPath);
    }
    if !is_read(method) {
        return other(method, READ_ONLY);
    }
    let readiness = api.handle.readiness();
    let (is_available, up_since, note) = match &readiness {
        Readiness::Ready { .. } => (true, Some(started), "accepting jobs and running them"),
        Readiness::Starting(why) | Readiness::Unreachable(why) => (false, None, why.as_str()),
    };
    let availability = Availability { is_available, up_since, instance: &api.config.server.instance, note };
    Ok(with_type(StatusCode::OK, "text/xml; charset=utf-8", availability.to_xml()))
}

impl Availability<'_> {
    fn to_xml(&self) -> Bytes {
        let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
        self.write(&mut xml).expect("a vector takes every byte");
        Bytes::from(xml.into_inner())
    }

    fn write(&self, xml: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let root = "vosi:availability";
        xml.write_event(Event::Start(BytesStart::new(root).with_attributes([("xmlns:vosi", NAMESPACE)])))?;
        element(xml, "vosi:available", if self.is_available { "true" } else { "false" })?;
        if let Some(since) = self.up_since {
            element(xml, "vosi:upSince", &since.to_iso())?;
        }
        let note = printable(self.note);
        let note = if self.instance.is_empty() { note } else { format!("{}: {note}", printable(self.instance)) };
        element(xml, "vosi:note", &note)?;
        xml.write_event(Event::End(BytesEnd::new(root)))
    }
}

fn element(xml: &mut Writer<Vec<u8>>, name: &str, text: &str) -> std::io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(text)).map(drop)
}

/// The text without what XML 1.0 cannot carry, not even escaped (§2.2).
fn printable(text: &str) -> String {
    let is_carried = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text.chars().map(|c| if is_carried(c) && !matches!(c, '\u{fffe}' | '\u{ffff}') { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_names_the_instance_and_is_escaped() {
        let note = "cannot reach <engine> & \"its\" socket\u{1}";
        let xml = Availability { is_available: false, up_since: None, instance: "a&b", note }.to_xml();
        let text = std::str::from_utf8(&xml).expect("text");
        assert!(text.contains(">a&amp;b: cannot reach &lt;engine&gt; &amp; "), "{text}");
        assert!(text.contains("<vosi:available>false</vosi:available>"), "{text}");
        assert!(!text.contains('\u{1}'), "{text}");
    }
}
