//! `/{service}/examples` (DALI 1.1 §2.3): XHTML with `RDFa`, for people and programs alike.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::config::{Example, Service};
use crate::http::Api;
use crate::http::extract::{Asked, asked};
use crate::http::links::Links;
use crate::http::reply::{ApiError, with_type};
use crate::http::resource::{READ_ONLY, is_read, other};
use crate::http::xml::Xml;

/// The examples of every service that has some.
pub(super) fn route(base: BoxedFilter<()>, api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    base.and(warp::path!(String / "examples"))
        .and(warp::method())
        .and(asked())
        .and(warp::header::headers_cloned())
        .map(move |service: String, method: Method, asked: Asked, headers: HeaderMap| {
            answer(&api, &service, &method, &asked, &headers).unwrap_or_else(|error| error.as_text())
        })
        .boxed()
}

fn answer(api: &Api, name: &str, method: &Method, asked: &Asked, headers: &HeaderMap) -> Result<Response, ApiError> {
    let config = api.config.get();
    let service = config.services.get(name).ok_or(ApiError::NoSuchPath)?;
    let examples = of(service);
    if examples.is_empty() {
        return Err(ApiError::NoSuchPath);
    }
    if !is_read(method) {
        return other(method, READ_ONLY);
    }
    let links = Links::of(&config.server, asked, headers, name);
    let page = page(name, &links, &examples).into_bytes();
    Ok(with_type(StatusCode::OK, "application/xhtml+xml; charset=utf-8", page))
}

/// Whether the service has examples.
pub(super) fn has_some(service: &Service) -> bool {
    !of(service).is_empty()
}

/// The configured examples; of a free command there is always one.
fn of(service: &Service) -> Cow<'_, [Example]> {
    if !service.examples.is_empty() || service.program.jdl().is_some() {
        return Cow::Borrowed(&service.examples);
    }
    Cow::Owned(vec![Example {
        id: "hello".to_owned(),
        name: "Say hello".to_owned(),
        description: "A command that leaves one file; its result is at results/result.txt.".to_owned(),
        parameters: vec![("COMMAND".to_owned(), "echo hello > $JOB_OUTPUT_DIR/result.txt".to_owned())],
    }])
}

fn page(service: &str, links: &Links, examples: &[Example]) -> Xml {
    let title = format!("Examples of {service}");
    let mut page = Xml::document();
    page.start("html", &[("xmlns", "http://www.w3.org/1999/xhtml"), ("lang", "en")]);
    page.start("head", &[]);
    page.element("title", &[], &title);
    page.end("head");
    page.start("body", &[]);
    page.element("h1", &[], &title);
    page.start("p", &[]);
    page.text("Parameters are posted to ");
    page.element("a", &[("href", &links.jobs())], "the job list");
    page.text(".");
    page.end("p");
    page.start("div", &[("vocab", "http://www.ivoa.net/rdf/examples#")]);
    for Example { id, name, description, parameters } in examples {
        page.start("div", &[("id", id), ("resource", &format!("#{id}")), ("typeof", "example")]);
        page.element("h2", &[("property", "name")], name);
        if !description.is_empty() {
            page.element("p", &[], description);
        }
        page.start("p", &[]);
        page.text("For ");
        page.element("span", &[("property", "capability")], "ivo://ivoa.net/std/UWS#rest-1.1");
        page.end("p");
        page.start("ul", &[]);
        for (key, value) in parameters {
            page.start("li", &[]);
            page.start("span", &[("property", "generic-parameter"), ("typeof", "keyval")]);
            page.element("span", &[("property", "key")], key);
            page.text(" = ");
            page.element("span", &[("property", "value")], value);
            page.end("span");
            page.end("li");
        }
        page.end("ul");
        page.end("div");
    }
    page.end("div");
    page.end("body");
    page.end("html");
    page
}
