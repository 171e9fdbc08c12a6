//! Methods: what a resource has, and 405 with `Allow` for the rest.

use crate::bed::Bed;

const READ_ONLY: &str = "GET, HEAD, OPTIONS";

#[tokio::test]
async fn every_resource_names_its_methods() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("write x 1").await;
    daemon.reaches(&id, "completed").await;
    let client = daemon.client();
    let resources = [
        ("/api/v1/job".to_owned(), "GET, HEAD, PUT, OPTIONS"),
        ("/api/v1/job/".to_owned(), "GET, HEAD, PUT, OPTIONS"),
        (format!("/api/v1/job/{id}"), "GET, HEAD, DELETE, OPTIONS"),
        (format!("/api/v1/job/{id}/phase"), READ_ONLY),
        (format!("/api/v1/job/{id}/results"), READ_ONLY),
        (format!("/api/v1/job/{id}/parameters"), READ_ONLY),
        (format!("/api/v1/job/{id}/stdout"), READ_ONLY),
        (format!("/api/v1/job/{id}/stderr"), READ_ONLY),
        (format!("/api/v1/job/result/{id}/0"), READ_ONLY),
        ("/api/v1/openapi.json".to_owned(), READ_ONLY),
        ("/api/ocps/availability".to_owned(), READ_ONLY),
        ("/".to_owned(), READ_ONLY),
        ("/healthz".to_owned(), READ_ONLY),
        ("/readyz".to_owned(), READ_ONLY),
    ];
    for (path, allowed) in &resources {
        let options = client.send("OPTIONS", path, &[], "").await;
        assert_eq!((options.status, options.header("allow"), options.body.len()), (204, *allowed, 0), "{path}");
        for method in ["PUT", "POST", "DELETE", "PATCH", "TRACE", "BREW"] {
            if allowed.split(", ").any(|known| known == method) {
                continue;
            }
            let answer = client.send(method, path, &[], "").await;
            assert_eq!((answer.status, answer.header("allow")), (405, *allowed), "{method} {path}");
        }
        let (get, head) = (client.get(path).await, client.send("HEAD", path, &[], "").await);
        assert_eq!((get.status, head.status, head.body.len()), (200, 200, 0), "{path}");
        for header in ["content-type", "content-length", "etag", "content-disposition"] {
            assert_eq!(get.header(header), head.header(header), "{header} of {path}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_whatever_the_method() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    for path in
        ["/api", "/api/v1", "/v1/job", "/api/v2/job", "/api/nope/availability", "/api/v1/job/a/b/c", "/healthz/x"]
    {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"] {
            assert_eq!(client.send(method, path, &[], "").await.status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_page_for_people_leads_to_the_jobs_of_every_service() {
    for base in ["/uws-server/api", ""] {
        let mut bed = Bed::new();
        bed.config.server.base_path = base.to_owned();
        bed.config.server.instance = "summit <1>".to_owned();
        let daemon = bed.start().await;
        let answer = daemon.client().get("/").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"));
        let page = answer.text();
        assert!(
            page.contains("<h1>uwsd at summit &lt;1&gt;</h1>") && page.contains("accepts jobs and runs them"),
            "{page}"
        );
        let links: Vec<&str> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() >= 4, "{links:?}");
        for link in links {
            let path = format!("/{}", link.replace("&amp;", "&"));
            assert_eq!(daemon.client().get(&path).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn who_forgets_the_base_path_is_told_it() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    let told = "there is nothing at this address; the addresses of the API begin with /api/";
    for path in ["/v1/job", "/apis", "/healthz/x"] {
        assert_eq!(client.get(path).await.text().trim_end(), told, "{path}");
    }
    for path in ["/api", "/api/v2/job"] {
        assert_eq!(client.get(path).await.text().trim_end(), "there is nothing at this address", "{path}");
    }
}

#[tokio::test]
async fn another_base_path_moves_everything_below_it() {
    for (base, job) in [("/uws-server/api", "/uws-server/api/v1/job"), ("", "/v1/job")] {
        let mut bed = Bed::new();
        bed.config.server.base_path = base.to_owned();
        let daemon = bed.start().await;
        assert_eq!(daemon.client().get(job).await.text(), "[]");
        assert_eq!(daemon.client().get("/api/v1/job").await.status, 404);
        assert_eq!(daemon.client().get("/healthz").await.text(), "ok");
    }
}
