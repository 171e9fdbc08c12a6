//! The documents in XML, exactly as the schema orders them (UWS 1.1 Appendix B).

use super::document::{Info, JobDocument, JobRef, ParameterEntry, ResultEntry, VERSION};
use crate::http::replica::ReplicaObject;
use crate::http::xml::{Attribute, Xml};

const UWS: Attribute<'static> = ("xmlns:uws", "http://www.ivoa.net/xml/UWS/v1.0");
const XLINK: Attribute<'static> = ("xmlns:xlink", "http://www.w3.org/1999/xlink");
const XSI: Attribute<'static> = ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance");
const NIL: Attribute<'static> = ("xsi:nil", "true");
const SIMPLE: Attribute<'static> = ("xlink:type", "simple");

/// The `uws:job` document.
pub(super) fn job(document: &JobDocument<'_>) -> Xml {
    let mut xml = Xml::document();
    xml.start("uws:job", &[UWS, XLINK, XSI, ("version", VERSION)]);
    xml.element("uws:jobId", &[], &document.job_id);
    if let Some(run_id) = document.run_id {
        xml.element("uws:runId", &[], run_id);
    }
    nillable(&mut xml, "uws:ownerId", document.owner_id);
    xml.element("uws:phase", &[], document.phase);
    nillable(&mut xml, "uws:quote", document.quote.as_deref());
    xml.element("uws:creationTime", &[], &document.creation_time);
    nillable(&mut xml, "uws:startTime", document.start_time.as_deref());
    nillable(&mut xml, "uws:endTime", document.end_time.as_deref());
    xml.element("uws:executionDuration", &[], &document.execution_duration.to_string());
    nillable(&mut xml, "uws:destruction", document.destruction.as_deref());
    write_parameters(&mut xml, &[], &document.parameters);
    write_results(&mut xml, &[], &document.results);
    if let Some(summary) = &document.error_summary {
        let has_detail = if summary.has_detail { "true" } else { "false" };
        xml.start("uws:errorSummary", &[("type", summary.kind), ("hasDetail", has_detail)]);
        xml.element("uws:message", &[], summary.message);
        xml.end("uws:errorSummary");
    }
    if !document.job_info.0.is_empty() {
        xml.start("uws:jobInfo", &[]);
        for (name, value) in &document.job_info.0 {
            match value {
                Info::Replicas(replicas) => write_replicas(&mut xml, replicas),
                value => xml.element(name, &[], &value.as_text()),
            }
        }
        xml.end("uws:jobInfo");
    }
    xml.end("uws:job");
    xml
}

/// `replicas`, of no namespace as the rest of `jobInfo`.
fn write_replicas(xml: &mut Xml, replicas: &[ReplicaObject]) {
    xml.start("replicas", &[]);
    for (number, replica) in replicas.iter().enumerate() {
        let fields = replica.fields(number);
        let attributes: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        xml.element("replica", &attributes, "");
    }
    xml.end("replicas");
}

/// The `uws:parameters` document; it has no version.
pub(super) fn parameters(parameters: &[ParameterEntry<'_>]) -> Xml {
    let mut xml = Xml::document();
    write_parameters(&mut xml, &[UWS], parameters);
    xml
}

/// The `uws:results` document; it has no version.
pub(super) fn results(results: &[ResultEntry]) -> Xml {
    let mut xml = Xml::document();
    write_results(&mut xml, &[UWS, XLINK], results);
    xml
}

/// The beginning of the `uws:jobs` document.
pub(super) fn begin_jobs(xml: &mut Xml) {
    xml.declare();
    xml.text("\n");
    xml.start("uws:jobs", &[UWS, XLINK, XSI, ("version", VERSION)]);
}

/// One job of it.
pub(super) fn job_ref(xml: &mut Xml, job: &JobRef<'_>) {
    xml.text("\n  ");
    xml.start("uws:jobref", &[("id", &job.id), SIMPLE, ("xlink:href", &job.href)]);
    xml.element("uws:phase", &[], job.phase);
    if let Some(run_id) = job.run_id {
        xml.element("uws:runId", &[], run_id);
    }
    nillable(xml, "uws:ownerId", job.owner_id);
    xml.element("uws:creationTime", &[], &job.creation_time);
    xml.end("uws:jobref");
}

/// The end of it.
pub(super) fn end_jobs(xml: &mut Xml) {
    xml.text("\n");
    xml.end("uws:jobs");
}

fn write_parameters(xml: &mut Xml, attributes: &[Attribute<'_>], parameters: &[ParameterEntry<'_>]) {
    if parameters.is_empty() {
        return xml.empty("uws:parameters", attributes);
    }
    xml.start("uws:parameters", attributes);
    for parameter in parameters {
        let all = [("id", parameter.id), ("byReference", "true")];
        let attributes = if parameter.by_reference { &all[..] } else { &all[..1] };
        xml.element("uws:parameter", attributes, &parameter.value);
    }
    xml.end("uws:parameters");
}

fn write_results(xml: &mut Xml, attributes: &[Attribute<'_>], results: &[ResultEntry]) {
    if results.is_empty() {
        return xml.empty("uws:results", attributes);
    }
    xml.start("uws:results", attributes);
    for result in results {
        let size = result.size.map(|size| size.to_string());
        let mut attributes = vec![("id", result.id.as_str()), SIMPLE, ("xlink:href", &result.href)];
        attributes.extend(size.as_deref().map(|size| ("size", size)));
        attributes.push(("mime-type", &result.mime_type));
        xml.empty("uws:result", &attributes);
    }
    xml.end("uws:results");
}

fn nillable(xml: &mut Xml, name: &str, value: Option<&str>) {
    match value {
        Some(value) => xml.element(name, &[], value),
        None => xml.empty(name, &[NIL]),
    }
}
