//! `/{service}/availability` (VOSI 1.1 §3.2).

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::reply::{ApiError, with_type};
use super::resource::{READ_ONLY, is_read, other};
use super::server::Api;
use super::xml::Xml;
use crate::domain::Timestamp;
use crate::supervisor::Readiness;

const NAMESPACE: &str = "http://www.ivoa.net/xml/VOSIAvailability/v1.0";

/// Whether a service takes work.
#[derive(Debug)]
struct Availability<'a> {
    is_available: bool,
    up_since: Option<Timestamp>,
    /// When it may take some again: what a refused submission is told by `Retry-After`.
    back_at: Option<Timestamp>,
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
    if !api.config.get().services.contains_key(service) {
        return Err(ApiError::NoSuchPath);
    }
    if !is_read(method) {
        return other(method, READ_ONLY);
    }
    let (readiness, trouble) = (api.handle.readiness(), api.handle.trouble());
    let (up_since, back_after, note) = match (&readiness, &trouble) {
        (Readiness::Ready { .. }, None) => (Some(started), None, "accepting jobs and running them"),
        (Readiness::Ready { .. }, Some(trouble)) => (None, trouble.over_after(), trouble.why()),
        (Readiness::Starting(why) | Readiness::Unreachable(why), _) => (None, None, why.as_str()),
    };
    let availability = Availability {
        is_available: up_since.is_some(),
        up_since,
        back_at: back_after.map(|after| api.clock.now().after(after)),
        instance: &api.config.get().server.instance,
        note,
    };
    Ok(with_type(StatusCode::OK, "text/xml; charset=utf-8", availability.to_xml()))
}

impl Availability<'_> {
    fn to_xml(&self) -> Bytes {
        let root = "vosi:availability";
        let mut xml = Xml::document();
        xml.start(root, &[("xmlns:vosi", NAMESPACE)]);
        xml.element("vosi:available", &[], if self.is_available { "true" } else { "false" });
        for (name, at) in [("vosi:upSince", self.up_since), ("vosi:backAt", self.back_at)] {
            if let Some(at) = at {
                xml.element(name, &[], &at.to_iso());
            }
        }
        let note = self.note;
        let note = if self.instance.is_empty() { note.to_owned() } else { format!("{}: {note}", self.instance) };
        xml.element("vosi:note", &[], &note);
        xml.end(root);
        xml.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_names_the_instance_and_is_escaped() {
        let note = "cannot reach <engine> & \"its\" socket\u{1}";
        let xml = Availability { is_available: false, up_since: None, back_at: None, instance: "a&b", note }.to_xml();
        let text = std::str::from_utf8(&xml).expect("text");
        assert!(text.contains(">a&amp;b: cannot reach &lt;engine&gt; &amp; "), "{text}");
        assert!(text.contains("<vosi:available>false</vosi:available>"), "{text}");
        assert!(!text.contains('\u{1}'), "{text}");
    }
}
