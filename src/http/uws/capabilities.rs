//! `/{service}/capabilities` (VOSI 1.1 §3.1): which standards a service follows, and where.

use std::sync::Arc;

use http::header::LAST_MODIFIED;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::examples::has_some;
use crate::config::Service;
use crate::domain::Timestamp;
use crate::domain::jdl::{Declaration, ValueKind};
use crate::http::Api;
use crate::http::extract::{Asked, asked};
use crate::http::links::Links;
use crate::http::reply::{ApiError, with_type};
use crate::http::resource::{READ_ONLY, is_read, other};
use crate::http::xml::Xml;
use crate::supervisor::Advisory;

/// The identifier of the standard that jobs are run by.
const UWS: &str = "ivo://ivoa.net/std/UWS#rest-1.1";

/// The capabilities of every service. They change when the daemon starts, when its configuration is reloaded, and with
/// what the backend can limit.
pub(super) fn route(base: BoxedFilter<()>, api: &Arc<Api>, started: Timestamp) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    base.and(warp::path!(String / "capabilities"))
        .and(warp::method())
        .and(asked())
        .and(warp::header::headers_cloned())
        .map(move |service: String, method: Method, asked: Asked, headers: HeaderMap| {
            // In this order: what is told must not be older than its time says.
            let reloaded = api.config.since();
            let config = api.config.get();
            let Some(configured) = config.services.get(&service) else { return ApiError::NoSuchPath.as_text() };
            if !is_read(&method) {
                return other(&method, READ_ONLY).unwrap_or_else(|error| error.as_text());
            }
            let advisory = api.handle.advisory(configured);
            let changed = [reloaded, advisory.since].into_iter().flatten().fold(started, Timestamp::max);
            answer(configured, &advisory, &Links::of(&config.server, &asked, &headers, &service), changed)
        })
        .boxed()
}

fn answer(service: &Service, advisory: &Advisory, links: &Links, changed: Timestamp) -> Response {
    let document = document(service, advisory, links).into_bytes();
    let mut response = with_type(StatusCode::OK, "application/xml; charset=utf-8", document);
    let since_epoch = std::time::Duration::from_millis(changed.millis().unsigned_abs());
    let modified = httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + since_epoch);
    response.headers_mut().insert(LAST_MODIFIED, HeaderValue::try_from(modified).expect("a date is ASCII"));
    response
}

fn document(service: &Service, advisory: &Advisory, links: &Links) -> Xml {
    let root = "vosi:capabilities";
    let mut xml = Xml::document();
    xml.start(
        root,
        &[
            ("xmlns:vosi", "http://www.ivoa.net/xml/VOSICapabilities/v1.0"),
            ("xmlns:vr", "http://www.ivoa.net/xml/VOResource/v1.0"),
            ("xmlns:vs", "http://www.ivoa.net/xml/VODataService/v1.1"),
            ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
        ],
    );
    let with_parameters = ("vs:ParamHTTP", service.program.jdl());
    let mut capabilities = vec![
        ("ivo://ivoa.net/std/VOSI#capabilities", links.sibling("capabilities"), ("vs:ParamHTTP", None)),
        ("ivo://ivoa.net/std/VOSI#availability", links.sibling("availability"), ("vs:ParamHTTP", None)),
        (UWS, links.jobs(), with_parameters),
    ];
    if has_some(service) {
        capabilities.push(("ivo://ivoa.net/std/DALI#examples", links.sibling("examples"), ("vr:WebBrowser", None)));
    }
    for (standard, url, (kind, jdl)) in capabilities {
        // In no namespace, from here on.
        xml.start("capability", &[("standardID", standard)]);
        if let (UWS, Some(why)) = (standard, &advisory.why) {
            xml.element("description", &[], &format!("limits are advisory: {why}"));
        }
        xml.start("interface", &[("xsi:type", kind), ("role", "std")]);
        xml.element("accessURL", &[("use", "full")], &url);
        for declaration in jdl.iter().flat_map(|jdl| &jdl.declarations) {
            parameter(&mut xml, declaration);
        }
        xml.end("interface");
        xml.end("capability");
    }
    xml.end(root);
    xml
}

/// A typed parameter (`vs:InputParam`): what a client needs to make a form of it.
fn parameter(xml: &mut Xml, declaration: &Declaration) {
    let is_use = if declaration.is_required { "required" } else { "optional" };
    xml.start("param", &[("use", is_use), ("std", "false")]);
    xml.element("name", &[], &declaration.name);
    let expected = declaration.expected();
    let description = match declaration.description.as_str() {
        "" => expected,
        text => format!("{text} ({expected})"),
    };
    xml.element("description", &[], &description);
    for (name, value) in [("unit", &declaration.unit), ("ucd", &declaration.ucd)] {
        if let Some(value) = value {
            xml.element(name, &[], value);
        }
    }
    let kind = match declaration.kind {
        ValueKind::Integer => "integer",
        ValueKind::Real => "real",
        ValueKind::Boolean => "boolean",
        ValueKind::Text | ValueKind::Enum(_) | ValueKind::Timestamp | ValueKind::Uri | ValueKind::File => "string",
    };
    xml.element("dataType", &[("xsi:type", "vs:SimpleDataType")], kind);
    xml.end("param");
}
