//! The documents as plain pages, for somebody who opens a link in a browser: no script, every text escaped.

use super::document::{JobDocument, JobRef, ParameterEntry, ResultEntry};
use crate::http::links::Links;
use crate::http::page::{begin, end, link};
use crate::http::xml::Xml;

/// A page about a job.
pub(super) fn job(links: &Links, document: &JobDocument<'_>) -> Xml {
    let mut page = Xml::piece();
    begin(&mut page, &format!("Job {}", document.job_id));
    page.start("p", &[]);
    link(&mut page, &links.jobs(), "all jobs");
    page.end("p");
    page.start("table", &[]);
    let unlimited = document.execution_duration == 0;
    let limit = if unlimited { "unlimited".to_owned() } else { format!("{} s", document.execution_duration) };
    let rows = [
        ("phase", Some(document.phase)),
        ("run id", document.run_id),
        ("owner", document.owner_id),
        ("created", Some(document.creation_time.as_str())),
        ("started", document.start_time.as_deref()),
        ("ended", document.end_time.as_deref()),
        ("execution limit", Some(limit.as_str())),
        ("destruction", document.destruction.as_deref()),
        ("error", document.error_summary.as_ref().map(|summary| summary.message)),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            row(&mut page, name, value);
        }
    }
    for (name, value) in &document.job_info.0 {
        row(&mut page, name, &value.as_text());
    }
    page.end("table");
    write_parameters(&mut page, &document.parameters);
    write_results(&mut page, &document.results);
    end(&mut page);
    page
}

/// A page with a job's parameters.
pub(super) fn parameters(parameters: &[ParameterEntry<'_>]) -> Xml {
    let mut page = Xml::piece();
    begin(&mut page, "Parameters");
    write_parameters(&mut page, parameters);
    end(&mut page);
    page
}

/// A page with a job's results.
pub(super) fn results(results: &[ResultEntry]) -> Xml {
    let mut page = Xml::piece();
    begin(&mut page, "Results");
    write_results(&mut page, results);
    end(&mut page);
    page
}

/// The beginning of the page with the list.
pub(super) fn begin_jobs(page: &mut Xml, service: &str) {
    begin(page, &format!("Jobs of {service}"));
    page.start("table", &[]);
    page.start("tr", &[]);
    for title in ["job", "phase", "run id", "created"] {
        page.element("th", &[], title);
    }
    page.end("tr");
}

/// One job of it.
pub(super) fn job_ref(page: &mut Xml, job: &JobRef<'_>) {
    page.text("\n");
    page.start("tr", &[]);
    page.start("td", &[]);
    link(page, &job.href, &job.id);
    page.end("td");
    for value in [job.phase, job.run_id.unwrap_or_default(), &job.creation_time] {
        page.element("td", &[], value);
    }
    page.end("tr");
}

/// The end of it.
pub(super) fn end_jobs(page: &mut Xml) {
    page.end("table");
    end(page);
}

fn write_parameters(page: &mut Xml, parameters: &[ParameterEntry<'_>]) {
    page.element("h2", &[], "Parameters");
    page.start("table", &[]);
    for parameter in parameters {
        if parameter.by_reference {
            page.start("tr", &[]);
            page.element("th", &[], parameter.id);
            page.start("td", &[]);
            link(page, &parameter.value, "its value");
            page.end("td");
            page.end("tr");
        } else {
            row(page, parameter.id, &parameter.value);
        }
    }
    page.end("table");
}

fn write_results(page: &mut Xml, results: &[ResultEntry]) {
    page.element("h2", &[], "Results");
    page.start("ul", &[]);
    for result in results {
        page.start("li", &[]);
        link(page, &result.href, &result.id);
        if let Some(size) = result.size {
            page.text(&format!(" ({size} bytes)"));
        }
        page.end("li");
    }
    page.end("ul");
}

fn row(page: &mut Xml, name: &str, value: &str) {
    page.start("tr", &[]);
    page.element("th", &[], name);
    page.element("td", &[], value);
    page.end("tr");
}
