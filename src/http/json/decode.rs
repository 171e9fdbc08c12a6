//! From the body and query of a PUT to a [`JobRequest`]: JSON or form fields.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::request::{EnvironmentVariable, JobRequest, bad};
use crate::http::form::{self, Field};
use crate::http::reply::ApiError;
use crate::http::seconds;

/// What the request asks for.
///
/// # Errors
/// [`ApiError::Malformed`] with the field and what would do; [`ApiError::UnknownMediaType`].
pub(super) async fn job_request(headers: &HeaderMap, query: &str, body: Bytes) -> Result<JobRequest, ApiError> {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = declared.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("application/json" | "application/javascript") => of_json(&body),
        Some(kind) if kind.ends_with("+json") => of_json(&body),
        None if body.trim_ascii_start().starts_with(b"{") => of_json(&body),
        Some("application/x-www-form-urlencoded") | None => {
            let request = of_fields(query, form::urlencoded(&body)?);
            // What `curl -d` sends unless it is told otherwise.
            if request.is_err() && body.trim_ascii_start().starts_with(b"{") {
                return Err(bad(
                    "the body is JSON and is declared as a form; send it with Content-Type: application/json",
                ));
            }
            request
        }
        Some("multipart/form-data") => of_fields(query, form::multipart(declared.unwrap_or_default(), body).await?),
        Some(_) if body.is_empty() => of_fields(query, Vec::new()),
        Some(kind) => Err(ApiError::UnknownMediaType(format!(
            "a body of type {kind:?} cannot be read; send application/json, application/x-www-form-urlencoded or \
             multipart/form-data"
        ))),
    }
}

fn of_json(body: &[u8]) -> Result<JobRequest, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is not valid UTF-8; send JSON in UTF-8"))?;
    let mut fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| bad(format!("the body is not a JSON object: {error}")))?;
    let command = match fields.remove("command") {
        Some(Value::String(command)) => command,
        Some(other) => return Err(wrong("command", &other, "a non-empty string")),
        None => return Err(missing_command()),
    };
    let mut request = JobRequest::new(command);
    request.run_id = text_field(fields.remove("run_id"), "run_id")?;
    // Left out is an empty URL, `null` is none: they differ in the variables that the job finds.
    if let Some(url) = fields.remove("url") {
        request.url = text_field(Some(url), "url")?;
    }
    request.commit_ref = text_field(fields.remove("commit_ref"), "commit_ref")?.unwrap_or_default();
    request.environment = environment(fields.remove("environment").unwrap_or_default())?;
    request.replicas = match fields.remove("replicas") {
        None | Some(Value::Null) => 1,
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| wrong("replicas", &value, "a whole number of 1 or more"))?
        }
    };
    request.kill_grace = match fields.remove("kill_grace") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let grace = value.as_f64().and_then(seconds::of_number);
            Some(grace.ok_or_else(|| wrong("kill_grace", &value, seconds::WANTED))?)
        }
    };
    Ok(request)
}

/// A field that is a string; `None` if it is null or was left out.
fn text_field(value: Option<Value>, name: &str) -> Result<Option<String>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(name, &other, "a string")),
    }
}

fn environment(value: Value) -> Result<Vec<EnvironmentVariable>, ApiError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.into_iter().enumerate().map(|(index, item)| variable(index, item)).collect(),
        other => Err(wrong("environment", &other, "a list of objects with name and value")),
    }
}

fn variable(index: usize, item: Value) -> Result<EnvironmentVariable, ApiError> {
    let mut fields = match item {
        Value::Object(fields) => fields,
        other => return Err(wrong(&format!("environment[{index}]"), &other, "an object with name and value")),
    };
    let mut part = |key: &str| match fields.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(wrong(&format!("environment[{index}].{key}"), &other, "a string")),
        None => Err(bad(format!("environment[{index}].{key} is missing; give a string"))),
    };
    Ok(EnvironmentVariable { name: part("name")?, value: part("value")? })
}

/// The fields of the body win over those of the query; of a repeated one the last counts, but `environment` adds up.
fn of_fields(query: &str, body: Vec<Field>) -> Result<JobRequest, ApiError> {
    let mut command = None;
    let mut request = JobRequest::new(String::new());
    for (name, value) in form::urlencoded(query.as_bytes())?.into_iter().chain(body) {
        match name.as_str() {
            "command" => command = Some(value),
            "url" => request.url = Some(value),
            "commit_ref" => request.commit_ref = value,
            "run_id" => request.run_id = Some(value),
            "replicas" => {
                request.replicas = value
                    .trim()
                    .parse()
                    .map_err(|_| bad(format!("replicas is {value:?}; give a whole number of 1 or more")))?;
            }
            "kill_grace" => {
                let refusal = || bad(format!("kill_grace is {value:?}; give {}", seconds::WANTED));
                request.kill_grace = Some(seconds::parse(value.trim()).ok_or_else(refusal)?);
            }
            "environment" => add_variables(&mut request.environment, &value)?,
            _ => (),
        }
    }
    request.command = command.ok_or_else(missing_command)?;
    Ok(request)
}

/// A field `environment` is one `NAME=VALUE`, or a list in JSON.
fn add_variables(all: &mut Vec<EnvironmentVariable>, field: &str) -> Result<(), ApiError> {
    if field.trim_start().starts_with('[') {
        let list =
            serde_json::from_str(field).map_err(|error| bad(format!("environment is not valid JSON: {error}")))?;
        all.extend(environment(list)?);
    } else if let Some((name, value)) = field.split_once('=') {
        all.push(EnvironmentVariable { name: name.to_owned(), value: value.to_owned() });
    } else if !field.is_empty() {
        let index = all.len();
        return Err(bad(format!("environment[{index}] has no '='; give NAME=VALUE, or all of them as a JSON list")));
    }
    Ok(())
}

fn missing_command() -> ApiError {
    bad("command is missing; give the command as a non-empty string")
}

fn wrong(field: &str, value: &Value, wanted: &str) -> ApiError {
    let is = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    bad(format!("{field} is {is}; give {wanted}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn decoded(kind: Option<&str>, query: &str, body: &str) -> Result<JobRequest, String> {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, kind.parse().expect("a header"));
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        job_request(&headers, query, body).await.map_err(|error| error.to_string())
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<EnvironmentVariable> {
        let owned = |(name, value): &(&str, &str)| EnvironmentVariable { name: (*name).into(), value: (*value).into() };
        pairs.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn json_of_every_media_type_is_read() {
        let body = r#"{"command": "ls", "run_id": "7", "url": "https://h/r", "commit_ref": "main", "replicas": 2, "kill_grace": 1.5,
                       "environment": [{"name": "A", "value": "$(x) \"y\" ä"}], "unknown": {"a": [1]}}"#;
        for kind in [
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/javascript;charset=UTF-8"),
            Some("application/vnd.x+json"),
            None,
        ] {
            let request = decoded(kind, "command=ignored", body).await.expect("fine");
            let expected = JobRequest {
                command: "ls".into(),
                run_id: Some("7".into()),
                url: Some("https://h/r".into()),
                commit_ref: "main".into(),
                environment: variables(&[("A", "$(x) \"y\" ä")]),
                replicas: 2,
                kill_grace: Some(Duration::from_millis(1500)),
            };
            assert_eq!(request, expected, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn json_that_is_declared_as_a_form_is_told_so() {
        let form = Some("application/x-www-form-urlencoded");
        let why = decoded(form, "", r#"{"command": "echo a=b"}"#).await.expect_err("no form");
        assert!(why.contains("send it with Content-Type: application/json"), "{why}");
        assert_eq!(decoded(form, "", "command=%7Bls%3B+%7D").await.expect("a form").command, "{ls; }");
    }

    #[tokio::test]
    async fn null_is_left_out_except_for_the_url() {
        let json = Some("application/json");
        let nulls = r#"{"command":"a","run_id":null,"url":null,"commit_ref":null,"environment":null,"replicas":null,
                       "kill_grace":null}"#;
        let request = decoded(json, "", nulls).await.expect("fine");
        assert_eq!(request, JobRequest { url: None, ..JobRequest::new("a".into()) });
        assert_eq!(decoded(json, "", r#"{"command":"a"}"#).await.expect("fine"), JobRequest::new("a".into()));
    }

    #[tokio::test]
    async fn form_fields_come_from_body_and_query() {
        let form = Some("application/x-www-form-urlencoded");
        let body = "command=echo+1&environment=A%3D1=2&environment=B=&replicas=3&kill_grace=4";
        let request = decoded(form, "run_id=9&command=other&environment=C=3", body).await.expect("fine");
        assert_eq!(request.command, "echo 1");
        assert_eq!(request.run_id.as_deref(), Some("9"));
        assert_eq!(request.environment, variables(&[("C", "3"), ("A", "1=2"), ("B", "")]));
        assert_eq!((request.replicas, request.kill_grace), (3, Some(Duration::from_secs(4))));
        let list = "command=x&environment=%5B%7B%22name%22:%22A%22,%22value%22:%221%22%7D%5D";
        assert_eq!(decoded(form, "", list).await.expect("fine").environment, variables(&[("A", "1")]));
        let nothing = decoded(Some("text/plain"), "command=x", "").await.expect("only the query");
        assert_eq!(nothing.command, "x");
    }

    #[tokio::test]
    async fn what_is_wrong_names_its_field() {
        let json = Some("application/json");
        for (body, field) in [
            ("", "JSON"),
            ("[]", "JSON object"),
            ("{", "JSON"),
            ("{}", "command is missing"),
            (r#"{"command": null}"#, "command is null"),
            (r#"{"command": ["ls"]}"#, "command is a list"),
            (r#"{"command": "a", "run_id": 7}"#, "run_id is the number 7"),
            (r#"{"command": "a", "url": {}}"#, "url is an object"),
            (r#"{"command": "a", "commit_ref": true}"#, "commit_ref is a boolean"),
            (r#"{"command": "a", "environment": {}}"#, "environment is an object"),
            (r#"{"command": "a", "environment": ["A=1"]}"#, "environment[0] is a string"),
            (r#"{"command": "a", "environment": [{"value": "1"}]}"#, "environment[0].name is missing"),
            (r#"{"command": "a", "environment": [{"name": "A"}]}"#, "environment[0].value is missing"),
            (r#"{"command": "a", "environment": [{"name": "A", "value": 1}]}"#, "environment[0].value is the number 1"),
            (r#"{"command": "a", "environment": [{"name": "A", "value": null}]}"#, "environment[0].value is null"),
            (r#"{"command": "a", "replicas": "2"}"#, "replicas is a string"),
            (r#"{"command": "a", "replicas": 1.5}"#, "replicas is the number 1.5"),
            (r#"{"command": "a", "replicas": -1}"#, "replicas is the number -1"),
            (r#"{"command": "a", "replicas": 4294967296}"#, "replicas is the number"),
            (r#"{"command": "a", "kill_grace": "4"}"#, "kill_grace is a string; give a number of seconds, 0 or more"),
            (r#"{"command": "a", "kill_grace": -1}"#, "kill_grace is the number -1"),
            (r#"{"command": "\ud800"}"#, "JSON"),
        ] {
            let error = decoded(json, "", body).await.expect_err(body);
            assert!(error.contains(field), "{body}: {error}");
        }
        let form = Some("application/x-www-form-urlencoded");
        for (body, field) in [
            ("", "command is missing"),
            ("command=a&replicas=x", "replicas is \"x\""),
            ("command=a&kill_grace=4s", "kill_grace is \"4s\"; give a number of seconds, 0 or more"),
            ("command=a&environment=A", "environment[0] has no '='"),
            ("command=a&environment=[1", "environment is not valid JSON"),
        ] {
            let error = decoded(form, "", body).await.expect_err(body);
            assert!(error.contains(field), "{body}: {error}");
        }
        assert!(decoded(Some("text/csv"), "", "a,b").await.expect_err("unknown").contains("text/csv"));
    }

    #[tokio::test]
    async fn deep_json_is_refused_and_does_not_overflow() {
        let body = format!(r#"{{"command": "a", "x": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(decoded(Some("application/json"), "", &body).await.expect_err("too deep").contains("JSON"));
    }
}
