//! In which form documents come, and the links in them (UWS 1.1 §2.2.2; contract §3).

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::bed::{Bed, Daemon, eventually};
use crate::uws::{Element, FORM, LIST, create, document, ended, has, is_valid, job};

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const JSON: (&str, &str) = ("accept", "application/json");
const JAVA: (&str, &str) = ("accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2");

#[tokio::test]
async fn xml_comes_unless_json_or_a_page_is_clearly_asked_for() {
    let daemon = Bed::new().start().await;
    let (id, _) = ended(&daemon, "write a x", "COMPLETED").await;
    for below in [String::new(), format!("/{id}"), format!("/{id}/parameters"), format!("/{id}/results")] {
        let path = format!("{LIST}{below}");
        for (header, kind) in [
            (JAVA, "application/xml; charset=utf-8"),
            (("accept", "*/*"), "application/xml; charset=utf-8"),
            (("accept", "application/xml,text/plain"), "application/xml; charset=utf-8"),
            (("accept", "image/png"), "application/xml; charset=utf-8"),
            (JSON, "application/json"),
            (BROWSER, "text/html; charset=utf-8"),
            (("sec-fetch-dest", "document"), "text/html; charset=utf-8"),
        ] {
            let answer = daemon.client().send("GET", &path, &[header], "").await;
            assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{below} {header:?}");
            assert!(has(&answer.headers, "vary", "accept") && has(&answer.headers, "cache-control", "no-store"));
            if kind.starts_with("application/xml") {
                is_valid(&daemon, answer.text());
            } else if kind == "application/json" {
                answer.json();
            } else {
                // Every element is closed, so that a page can be read like a document.
                let page = Element::parse(answer.text());
                assert_eq!(page.name, "html");
                assert!(answer.header("content-security-policy").contains("default-src 'none'"));
            }
        }
    }
}

#[tokio::test]
async fn the_json_form_has_the_same_content() {
    let daemon = Bed::new().start().await;
    let (id, job) = ended(&daemon, "write a xyz;exit 3", "ERROR").await;
    let get = async |below: &str| daemon.client().send("GET", &format!("{LIST}{below}"), &[JSON], "").await.json();
    let shown = get(&format!("/{id}")).await;
    assert_eq!((&shown["version"], &shown["jobId"], &shown["phase"]), (&json!("1.1"), &json!(id), &json!("ERROR")));
    for (key, name) in
        [("creationTime", "uws:creationTime"), ("startTime", "uws:startTime"), ("endTime", "uws:endTime")]
    {
        assert_eq!(shown[key], job.value(name), "{key}");
    }
    assert_eq!((&shown["runId"], &shown["ownerId"], &shown["quote"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!(shown["executionDuration"], 3600);
    assert_eq!(shown["jobInfo"]["exitCode"], 3);
    assert_eq!(shown["errorSummary"]["hasDetail"], true);
    assert_eq!(shown["parameters"][0], json!({ "id": "COMMAND", "byReference": false, "value": "write a xyz;exit 3" }));
    let href = format!("http://localhost{LIST}/{id}/results/a");
    let expected = json!({ "id": "a", "href": href, "size": 3, "mimeType": "application/octet-stream" });
    assert_eq!(get(&format!("/{id}/results")).await[0], expected);
    assert_eq!(get(&format!("/{id}/phase")).await, "ERROR");
    assert_eq!(get(&format!("/{id}/executionduration")).await, 3600);
    assert_eq!(get(&format!("/{id}/quote")).await, json!(null));
    assert_eq!(get("").await["jobs"][0]["id"], json!(id));
}

#[tokio::test]
async fn nothing_of_a_job_becomes_markup() {
    let daemon = Bed::without_runs().start().await;
    let hostile = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'%26%5D%5D%3E";
    let id = create(&daemon, &format!("COMMAND={hostile}&RUNID={hostile}&{hostile}={hostile}")).await;
    let text = "<script>alert(1)</script>\"'&]]>";
    let shown = job(&daemon, &id).await;
    assert_eq!(shown.value("uws:runId"), text);
    let last = shown.child("uws:parameters").children.last().expect("one").clone();
    assert_eq!((last.attribute("id"), last.text.as_str()), (Some(text), text));
    document(&daemon, "").await;
    for below in [String::new(), format!("/{id}"), format!("/{id}/parameters")] {
        let page = daemon.client().send("GET", &format!("{LIST}{below}"), &[BROWSER], "").await;
        assert!(page.text().contains("&lt;script&gt;") && !page.text().contains("<script"), "{}", page.text());
    }
}

#[tokio::test]
async fn links_follow_the_host_that_was_asked_or_the_public_url() {
    let daemon = Bed::without_runs().start().await;
    let client = daemon.client();
    let host = ("host", "127.0.0.1:4711");
    let created = client.send("POST", LIST, &[FORM, host], "COMMAND=x").await;
    let location = created.header("location").to_owned();
    assert!(location.starts_with("http://127.0.0.1:4711/api/ocps/async/"), "{location}");
    let list = client.send("GET", LIST, &[host], "").await;
    assert!(list.text().contains(&format!("xlink:href=\"{location}\"")), "{}", list.text());
    let absolute = client.send("POST", &format!("http://localhost:1{LIST}"), &[FORM], "COMMAND=x").await;
    assert!(absolute.header("location").starts_with("http://localhost:1/api/ocps/async/"));

    let mut bed = Bed::without_runs();
    bed.config.server.public_url = Some("https://summit.example.org/uws-server/api".to_owned());
    let public = bed.start().await;
    let created = public.client().send("POST", LIST, &[FORM, host], "COMMAND=x").await;
    let location = created.header("location").to_owned();
    assert!(location.starts_with("https://summit.example.org/uws-server/api/ocps/async/"), "{location}");
    let id = location.rsplit('/').next().expect("an id");
    let deleted = public.client().send("DELETE", &format!("{LIST}/{id}"), &[], "").await;
    assert_eq!(deleted.header("location"), "https://summit.example.org/uws-server/api/ocps/async");
    let capabilities = public.client().get("/api/ocps/capabilities").await;
    assert!(capabilities.text().contains(">https://summit.example.org/uws-server/api/ocps/async<"));
}

#[tokio::test]
async fn capabilities_name_the_standards_and_say_when_they_changed() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    let answer = client.get("/api/ocps/capabilities").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/xml; charset=utf-8"));
    is_valid(&daemon, answer.text());
    let modified = httpdate::parse_http_date(answer.header("last-modified")).expect("a date");
    assert!(modified.elapsed().expect("past").as_secs() < 60);
    let root = Element::parse(answer.text());
    let found: Vec<(&str, &str)> = root
        .children
        .iter()
        .map(|one| (one.attribute("standardID").expect("an id"), one.child("interface").value("accessURL")))
        .collect();
    let expected = [
        ("ivo://ivoa.net/std/VOSI#capabilities", "http://localhost/api/ocps/capabilities"),
        ("ivo://ivoa.net/std/VOSI#availability", "http://localhost/api/ocps/availability"),
        ("ivo://ivoa.net/std/UWS#rest-1.1", "http://localhost/api/ocps/async"),
        ("ivo://ivoa.net/std/DALI#examples", "http://localhost/api/ocps/examples"),
    ];
    assert_eq!(found, expected);
    for capability in root.children.iter().filter(|one| one.attribute("standardID") != Some(expected[2].0)) {
        let interface = capability.child("interface");
        assert_eq!(interface.names(), ["accessURL"], "no credentials are asked for");
        assert_eq!(interface.child("accessURL").attribute("use"), Some("full"));
    }
    for (_, url) in expected {
        assert_eq!(client.get(url.strip_prefix("http://localhost").expect("ours")).await.status, 200, "{url}");
    }
    assert_eq!(client.get("/api/nobody/capabilities").await.status, 404);
    assert_eq!(client.send("POST", "/api/ocps/capabilities", &[], "").await.status, 405);
}

/// The UWS capability, which describes itself where limits are advisory, and since when the capabilities are so.
async fn uws_capability(daemon: &Daemon) -> (Element, SystemTime) {
    let answer = daemon.client().get("/api/ocps/capabilities").await;
    is_valid(daemon, answer.text());
    let modified = httpdate::parse_http_date(answer.header("last-modified")).expect("a date");
    let mut all = Element::parse(answer.text()).children;
    let is_uws = |one: &Element| one.attribute("standardID") == Some("ivo://ivoa.net/std/UWS#rest-1.1");
    let place = all.iter().position(is_uws).expect("there");
    let uws = all.remove(place);
    assert!(all.iter().all(|other| other.names() == ["interface"]), "{}", answer.text());
    (uws, modified)
}

#[tokio::test]
async fn capabilities_say_which_limits_are_advisory_and_that_this_changed() {
    let mut bed = Bed::new();
    bed.engine_answers = false;
    let daemon = bed.start().await;
    let (unknown, at_start) = uws_capability(&daemon).await;
    assert_eq!(unknown.names(), ["interface"]);
    daemon.clock.advance(Duration::from_secs(3600));
    daemon.engine.make_limits_advisory();
    daemon.engine.set_silent(false);
    let (told, modified) = eventually("the engine to tell", || async {
        let (uws, modified) = uws_capability(&daemon).await;
        (uws.names() == ["description", "interface"]).then_some((uws, modified))
    })
    .await;
    let sentence = "limits are advisory: the fake engine cannot limit memory & processes";
    assert_eq!(told.value("description"), sentence);
    assert!(modified.duration_since(at_start).expect("later").as_secs() >= 3600, "{modified:?}");
    assert_eq!(uws_capability(&daemon).await.1, modified, "it has not changed again");
}

#[tokio::test]
async fn capabilities_say_where_the_limit_of_the_output_is_advisory() {
    for (max_output, told) in [(Some(1 << 20), true), (None, false)] {
        let mut bed = Bed::new();
        bed.engine.hide_files();
        bed.config.services.get_mut("ocps").expect("there").max_output = max_output;
        let (uws, _) = uws_capability(&bed.start().await).await;
        assert_eq!(uws.names().contains(&"description"), told);
        if told {
            let sentence = "limits are advisory: what a job's files take cannot be seen while it runs";
            assert_eq!(uws.value("description"), sentence);
        }
    }
}
