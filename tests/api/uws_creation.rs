//! Creating jobs (UWS 1.1 §2.2.3.1; contract §4).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uwsd::config::ListenAddress;

use crate::bed::Bed;
use crate::uws::{FORM, LIST, create, document, ended, job, listed, location, post, posted, reaches, scalar};

#[tokio::test]
async fn a_new_job_is_pending_and_its_document_is_whole_and_valid() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=print+1&RUNID=my+run").await;
    let job = job(&daemon, &id).await;
    assert_eq!((job.name.as_str(), job.attribute("version")), ("uws:job", Some("1.1")));
    let names = [
        "uws:jobId",
        "uws:runId",
        "uws:ownerId",
        "uws:phase",
        "uws:quote",
        "uws:creationTime",
        "uws:startTime",
        "uws:endTime",
        "uws:executionDuration",
        "uws:destruction",
        "uws:parameters",
        "uws:results",
    ];
    assert_eq!(job.names(), names);
    assert_eq!((job.value("uws:jobId"), job.value("uws:runId")), (id.as_str(), "my run"));
    assert_eq!((job.value("uws:phase"), job.value("uws:executionDuration")), ("PENDING", "3600"));
    for nil in ["uws:ownerId", "uws:quote", "uws:startTime", "uws:endTime"] {
        assert!(job.is_nil(nil), "{nil}");
    }
    for instant in ["uws:creationTime", "uws:destruction"] {
        let text = job.value(instant);
        assert!(text.len() == 24 && text.ends_with('Z') && text.as_bytes()[19] == b'.', "{instant}: {text}");
    }
    assert_eq!(scalar(&daemon, &format!("/{id}/phase")).await, "PENDING");
}

#[tokio::test]
async fn phase_run_starts_it_at_once_in_body_or_query_in_any_case() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    for (query, form) in [
        ("", "COMMAND=print+1&PHASE=RUN"),
        ("", "phase=run&command=print+1"),
        ("?PHASE=RUN", "COMMAND=print+1"),
        ("?Phase=Run", "Command=print+1"),
        ("?PHASE=RUN&COMMAND=print+1", ""),
    ] {
        let answer = client.send("POST", &format!("{LIST}{query}"), &[FORM], form).await;
        let location = location(&answer, form);
        reaches(&daemon, location.rsplit('/').next().expect("an id"), "COMPLETED").await;
    }
}

#[tokio::test]
async fn parameters_reach_the_job_and_unknown_ones_are_kept_in_order() {
    let daemon = Bed::without_runs().start().await;
    let form = "REQUEST=doQuery&COMMAND=print+%3Cb%3E+%26+%C3%A4&url=https%3A%2F%2Fu%3Apw%40h%2Fr&Commit_Ref=main\
                &ENVIRONMENT=A%3D1%3D2&ENVIRONMENT=B%3D&REPLICAS=2&LANG=ADQL&request=again&EXECUTIONDURATION=60\
                &DESTRUCTION=2999-01-01T00%3A00%3A00Z&RUNID=r-1";
    let id = create(&daemon, form).await;
    let shown = job(&daemon, &id).await;
    let parameters: Vec<(&str, &str)> = shown
        .child("uws:parameters")
        .children
        .iter()
        .map(|parameter| (parameter.attribute("id").expect("an id"), parameter.text.as_str()))
        .collect();
    let expected = [
        ("COMMAND", "print <b> & ä"),
        ("URL", "https://h/r"),
        ("COMMIT_REF", "main"),
        ("ENVIRONMENT", "A=1=2"),
        ("ENVIRONMENT", "B="),
        ("REPLICAS", "2"),
        ("REQUEST", "doQuery"),
        ("LANG", "ADQL"),
        ("request", "again"),
    ];
    assert_eq!(parameters, expected);
    assert_eq!((shown.value("uws:executionDuration"), shown.value("uws:runId")), ("60", "r-1"));
    assert_eq!(shown.value("uws:destruction"), "2999-01-01T00:00:00.000Z");
    let same = daemon.job(&id).await;
    assert_eq!((&same["runId"], &same["phase"]), (&"r-1".into(), &"pending".into()));
    assert_eq!(same["parameters"]["command"][2], "print <b> & ä");
}

#[tokio::test]
async fn a_multipart_body_as_stilts_sends_it_is_read() {
    let daemon = Bed::without_runs().start().await;
    let line = "--<<<--------------MULTIPART-BOUNDARY------->>>";
    let part = |name: &str, value: &str| {
        format!("{line}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = format!("\r\n{}{}{line}--\r\n", part("COMMAND", "print \"a\"\r\nprint b"), part("LANG", "x"));
    let ListenAddress::Tcp(address) = &daemon.addresses[0] else { panic!("TCP") };
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "POST {LIST} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: multipart/form-data; boundary=\"<<<--------------MULTIPART-BOUNDARY------->>>\"\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    for chunk in body.as_bytes().chunks(50) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.expect("sent");
        stream.write_all(chunk).await.expect("sent");
        stream.write_all(b"\r\n").await.expect("sent");
    }
    stream.write_all(b"0\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    let ids = listed(&daemon, "").await;
    let job = job(&daemon, &ids[0]).await;
    let command = &job.child("uws:parameters").children[0];
    assert_eq!(command.text, "print \"a\"\r\nprint b", "byte for byte, through XML too");
}

#[tokio::test]
async fn a_refused_creation_makes_nothing() {
    let daemon = Bed::without_runs().start().await;
    let long = "x".repeat(140_000);
    let big_name = "n".repeat(300);
    for (form, word) in [
        ("COMMAND=x&PHASE=ABORT", "PHASE"),
        ("COMMAND=x&PHASE=", "PHASE"),
        ("COMMAND=x&PHASE=RUN&phase=RUN", "PHASE"),
        ("PHASE=RUN", "COMMAND"),
        ("COMMAND=+&PHASE=RUN", "COMMAND"),
        ("COMMAND=a&command=b", "COMMAND"),
        ("COMMAND=a%00b", "COMMAND"),
        ("COMMAND=%ff", "COMMAND"),
        (&format!("COMMAND={long}"), "COMMAND"),
        ("COMMAND=x&URL=a&URL=b", "URL"),
        ("COMMAND=x&URL=ext%3A%3Ash+-c+id", "url"),
        ("COMMAND=x&COMMIT_REF=a&COMMIT_REF=b", "COMMIT_REF"),
        ("COMMAND=x&ENVIRONMENT=novalue", "ENVIRONMENT 1"),
        ("COMMAND=x&ENVIRONMENT=A%3D1&ENVIRONMENT=JOB_ID%3D1", "JOB_ID"),
        ("COMMAND=x&ENVIRONMENT=%3D1", "ENVIRONMENT"),
        ("COMMAND=x&ENVIRONMENT=A%3D%00", "A"),
        ("COMMAND=x&REPLICAS=0", "replicas"),
        ("COMMAND=x&REPLICAS=5", "replicas"),
        ("COMMAND=x&REPLICAS=-1", "REPLICAS"),
        ("COMMAND=x&REPLICAS=%2B1", "REPLICAS"),
        ("COMMAND=x&REPLICAS=99999999999999999999", "REPLICAS"),
        ("COMMAND=x&REPLICAS=1&REPLICAS=1", "REPLICAS"),
        (&format!("COMMAND=x&RUNID={}", "r".repeat(65)), "RUNID"),
        ("COMMAND=x&RUNID=a%1Bb", "RUNID"),
        ("COMMAND=x&RUNID=a&RUNID=b", "RUNID"),
        ("COMMAND=x&EXECUTIONDURATION=-1", "EXECUTIONDURATION"),
        ("COMMAND=x&EXECUTIONDURATION=1.5", "EXECUTIONDURATION"),
        ("COMMAND=x&EXECUTIONDURATION=", "EXECUTIONDURATION"),
        ("COMMAND=x&EXECUTIONDURATION=1&EXECUTIONDURATION=1", "EXECUTIONDURATION"),
        ("COMMAND=x&DESTRUCTION=tomorrow", "DESTRUCTION"),
        ("COMMAND=x&DESTRUCTION=2031-01-01T00:00:00%2B02:00", "DESTRUCTION"),
        ("COMMAND=x&=1", "name"),
        ("COMMAND=x&a%01b=1", "name"),
        ("COMMAND=x&a%0Ab=1", "name"),
        (&format!("COMMAND=x&{big_name}=1"), "name"),
    ] {
        let answer = post(&daemon, "", form).await;
        assert_eq!(answer.status, 400, "{form:.80}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain"), "{form:.80}");
        assert!(answer.text().contains(word) && !answer.text().contains('\n'), "{form:.80}: {}", answer.text());
    }
    let client = daemon.client();
    for (kind, body, status) in [
        ("application/json", "{\"COMMAND\": \"x\"}", 415),
        ("text/xml", "<job/>", 415),
        ("multipart/form-data", "--x", 400),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"COMMAND\"\r\n\r\n1", 400),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", 400),
    ] {
        let answer = client.send("POST", LIST, &[("content-type", kind)], body).await;
        assert_eq!(answer.status, status, "{kind}: {}", answer.text());
    }
    let huge = format!("COMMAND=x&OTHER={}", "y".repeat(2 << 20));
    assert_eq!(post(&daemon, "", &huge).await.status, 413);
    assert!(listed(&daemon, "").await.is_empty());
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn a_full_queue_is_503_with_retry_after_and_makes_nothing() {
    let mut bed = Bed::without_runs();
    bed.config.queue.max_queued = 1;
    let daemon = bed.start().await;
    create(&daemon, "COMMAND=print+1&PHASE=RUN").await;
    let answer = post(&daemon, "", "COMMAND=print+1&PHASE=RUN").await;
    assert_eq!(answer.status, 503);
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(listed(&daemon, "").await.len(), 1);
}

#[tokio::test]
async fn a_job_of_one_api_is_the_same_job_in_the_other() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("print hello").await;
    daemon.reaches(&id, "completed").await;
    assert_eq!(listed(&daemon, "").await, std::slice::from_ref(&id));
    assert_eq!(job(&daemon, &id).await.value("uws:phase"), "COMPLETED");
    let (mine, _) = ended(&daemon, "print 2", "COMPLETED").await;
    assert_eq!(daemon.job(&mine).await["phase"], "completed");
    assert_eq!(daemon.listed().await, 2);
}

#[tokio::test]
async fn what_xml_cannot_carry_goes_by_reference() {
    let daemon = Bed::without_runs().start().await;
    let id = create(&daemon, "COMMAND=a%1Bb&ENVIRONMENT=A%3D1&ENVIRONMENT=B%3D%07&LANG=x").await;
    let all = document(&daemon, &format!("/{id}/parameters")).await;
    assert_eq!((all.name.as_str(), all.attribute("version")), ("uws:parameters", None));
    let parameters = &all.children;
    let url = format!("http://localhost/api/ocps/async/{id}/parameters");
    assert_eq!(parameters[0].text, format!("{url}/COMMAND"));
    assert_eq!(parameters[0].attribute("byReference"), Some("true"));
    assert_eq!((parameters[1].attribute("byReference"), parameters[1].text.as_str()), (None, "A=1"));
    assert_eq!(parameters[2].text, format!("{url}/ENVIRONMENT?VALUE=2"));
    assert_eq!(scalar(&daemon, &format!("/{id}/parameters/COMMAND")).await, "a\u{1b}b");
    assert_eq!(scalar(&daemon, &format!("/{id}/parameters/ENVIRONMENT?VALUE=2")).await, "B=\u{7}");
    posted(&daemon, &format!("/{id}/parameters"), "COMMAND=plain").await;
    assert_eq!(scalar(&daemon, &format!("/{id}/parameters/command")).await, "plain");
}
