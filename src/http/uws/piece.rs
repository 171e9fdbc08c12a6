//! Documents as answers, in the form that the client wants.

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use warp::reply::Response;

use super::document::{JobRef, VERSION};
use super::negotiate::Format;
use super::{html, xml};
use crate::domain;
use crate::http::links::Links;
use crate::http::reply::with_type;
use crate::http::xml::Xml;

/// A document in one of its forms.
pub(super) fn document<T: Serialize>(
    format: Format,
    value: &T,
    as_xml: impl FnOnce() -> Xml,
    as_html: impl FnOnce() -> Xml,
) -> Response {
    let body = match format {
        Format::Xml => as_xml().into_bytes(),
        Format::Json => to_json(value),
        Format::Html => as_html().into_bytes(),
    };
    let mut response = with_type(StatusCode::OK, format.media_type(), body);
    describe(format, response.headers_mut());
    response
}

/// What every document of a negotiated form says of itself.
pub(super) fn describe(format: Format, headers: &mut HeaderMap) {
    headers.insert(VARY, HeaderValue::from_static("accept, sec-fetch-dest"));
    match format {
        Format::Html => {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        }
        Format::Xml | Format::Json => (),
    }
}

fn to_json<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("our wire structs have string keys and do not fail"))
}

/// A job list that is made piece by piece.
pub(super) struct ListWriter {
    format: Format,
    is_empty: bool,
}

impl ListWriter {
    /// A list in this form.
    pub(super) const fn new(format: Format) -> Self {
        Self { format, is_empty: true }
    }

    /// What comes before the jobs.
    pub(super) fn begin(&self, service: &str) -> Bytes {
        match self.format {
            Format::Xml => piece(xml::begin_jobs),
            Format::Json => Bytes::from(format!("{{\"version\":\"{VERSION}\",\"jobs\":[")),
            Format::Html => piece(|page| html::begin_jobs(page, service)),
        }
    }

    /// Some jobs.
    pub(super) fn jobs<'a>(&mut self, links: &Links, jobs: impl Iterator<Item = &'a domain::JobRef>) -> Bytes {
        let jobs = jobs.map(|job| JobRef::new(links, job));
        match self.format {
            Format::Xml => piece(|xml| jobs.for_each(|job| xml::job_ref(xml, &job))),
            Format::Html => piece(|page| jobs.for_each(|job| html::job_ref(page, &job))),
            Format::Json => {
                let mut body = Vec::new();
                for job in jobs {
                    if !std::mem::replace(&mut self.is_empty, false) {
                        body.push(b',');
                    }
                    body.extend(to_json(&job));
                }
                Bytes::from(body)
            }
        }
    }

    /// What comes after them.
    pub(super) fn end(&self) -> Bytes {
        match self.format {
            Format::Xml => piece(xml::end_jobs),
            Format::Json => Bytes::from_static(b"]}"),
            Format::Html => piece(html::end_jobs),
        }
    }
}

fn piece(write: impl FnOnce(&mut Xml)) -> Bytes {
    let mut xml = Xml::piece();
    write(&mut xml);
    xml.into_bytes()
}
