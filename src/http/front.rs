//! `/`: the page for somebody who opens the server in a browser: how it does, and where its jobs are.

use std::sync::Arc;

use http::{Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::health::readiness;
use super::page::{begin, end, link};
use super::reply::{ApiError, with_type};
use super::resource::{READ_ONLY, is_read, other};
use super::server::Api;
use super::xml::Xml;

pub(super) fn route(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path::end()
        .and(warp::method())
        .map(move |method: Method| {
            if is_read(&method) {
                return with_type(StatusCode::OK, "text/html; charset=utf-8", page(&api).into_bytes());
            }
            other(&method, READ_ONLY).unwrap_or_else(|error: ApiError| error.as_text())
        })
        .boxed()
}

fn page(api: &Api) -> Xml {
    let config = api.config.get();
    let instance = &config.server.instance;
    let mut page = Xml::piece();
    begin(&mut page, &if instance.is_empty() { "uwsd".to_owned() } else { format!("uwsd at {instance}") });
    let state = readiness(api).map_or_else(|why| why, |backend| format!("It accepts jobs and runs them: {backend}."));
    page.element("p", &[], &state);
    page.element("h2", &[], "Jobs");
    page.start("ul", &[]);
    // From here on, as whoever reads this page has come here.
    let base = config.server.base_path.trim_matches('/');
    let below = |path: &str| if base.is_empty() { path.to_owned() } else { format!("{base}/{path}") };
    for service in config.services.keys() {
        page.start("li", &[]);
        link(&mut page, &below(&format!("{service}/async?LAST=100")), service);
        page.end("li");
    }
    page.end("ul");
    page.element("h2", &[], "For programs");
    page.start("ul", &[]);
    for (path, text) in [
        (below("v1/openapi.json"), "the JSON API (OpenAPI)"),
        ("readyz".to_owned(), "whether jobs are accepted and can run"),
        ("metrics".to_owned(), "metrics for Prometheus"),
    ] {
        page.start("li", &[]);
        link(&mut page, &path, text);
        page.end("li");
    }
    page.end("ul");
    end(&mut page);
    page
}
