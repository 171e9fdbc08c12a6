//! An engine that is reached over TCP, by TLS with certificates on both sides: `stunnel` in front of the tests' engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use uwsd::config;
use uwsd::ports::{Backend, BackendError, Ending, How};

use super::{DockerBed, adapter, own};
use crate::suite::{Bed, clean, live, stdout_of, until};

/// A proxy that lets in only who shows a certificate of its authority; gone when this is dropped.
struct TlsProxy {
    stunnel: Child,
    port: u16,
    dir: TempDir,
}

impl TlsProxy {
    fn before(engine: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for authority in ["ca", "other-ca"] {
            make_authority(dir.path(), authority);
        }
        make_certificate(dir.path(), "ca", "server", "subjectAltName = DNS:localhost, IP:127.0.0.1");
        make_certificate(dir.path(), "ca", "client", "extendedKeyUsage = clientAuth");
        make_certificate(dir.path(), "other-ca", "stranger", "extendedKeyUsage = clientAuth");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let (at, engine) = (dir.path().display(), engine.display());
        let config = format!(
            "foreground = yes\npid =\nsyslog = no\noutput = {at}/stunnel.log\n[docker]\naccept = 127.0.0.1:{port}\n\
             connect = {engine}\ncert = {at}/server.pem\nkey = {at}/server.key\nCAfile = {at}/ca.pem\nverifyChain = yes\n"
        );
        fs::write(dir.path().join("stunnel.conf"), config).expect("written");
        let stunnel = Command::new("stunnel4")
            .arg(dir.path().join("stunnel.conf"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("stunnel4 is there (package stunnel4)");
        Self { stunnel, port, dir }
    }

    async fn answers(&self) {
        until("stunnel listens", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()).await;
    }

    /// The settings of a daemon that trusts `authority` and shows the certificate of `client`, if any.
    fn settings(&self, bed: &DockerBed, authority: &str, client: Option<&str>) -> config::Docker {
        let file = |name: &str, ending: &str| -> Option<PathBuf> {
            client.is_some().then(|| self.dir.path().join(format!("{name}.{ending}")))
        };
        let client = client.unwrap_or_default();
        config::Docker {
            host: format!("tcp://localhost:{}", self.port),
            tls_ca: file(authority, "pem"),
            tls_cert: file(client, "pem"),
            tls_key: file(client, "key"),
            ..bed.settings.clone()
        }
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        let _ = self.stunnel.kill();
        let _ = self.stunnel.wait();
    }
}

fn openssl(dir: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").current_dir(dir).args(arguments).output().expect("openssl is there");
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn make_authority(dir: &Path, name: &str) {
    let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    let output = ["-keyout", &key, "-out", &certificate, "-subj", &subject, "-days", "2"];
    openssl(dir, &[&["req", "-x509"][..], &NEW_KEY, &output].concat());
}

fn make_certificate(dir: &Path, authority: &str, name: &str, extension: &str) {
    let [key, request, certificate, extensions] = ["key", "csr", "pem", "ext"].map(|end| format!("{name}.{end}"));
    let (ca, ca_key, subject) = (format!("{authority}.pem"), format!("{authority}.key"), format!("/CN={name}"));
    fs::write(dir.join(&extensions), extension).expect("written");
    openssl(dir, &[&["req"][..], &NEW_KEY, &["-keyout", &key, "-out", &request, "-subj", &subject]].concat());
    let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2"];
    let what = ["-in", &request, "-out", &certificate, "-extfile", &extensions];
    openssl(dir, &[&["x509", "-req"][..], &by, &what].concat());
}

async fn unreachable(backend: Arc<dyn Backend>) -> String {
    match backend.probe().await {
        Err(BackendError::Unreachable { why, .. }) => {
            eprintln!("{why}");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_on_an_engine_behind_tls() {
    for shared_state in [true, false] {
        let Some(bed) = DockerBed::of(own(), shared_state).await else { return };
        let proxy = TlsProxy::before(&bed.socket());
        proxy.answers().await;
        let backend = adapter(&proxy.settings(&bed, "ca", Some("client")), &bed.instance);
        let spec = bed.spec("echo here; echo there > $JOB_OUTPUT_DIR/file; exit 3");
        let ending = live(&*backend, &spec).await;
        assert!(matches!(ending, Ending { how: How::Exited(3), .. }), "{ending:?}");
        assert_eq!(stdout_of(&spec), "here\n");
        assert_eq!(fs::read_to_string(spec.dirs.output().join("file")).expect("it came back"), "there\n");
        clean(&*backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_certificates_an_engine_behind_tls_is_unreachable() {
    let Some(bed) = DockerBed::of(own(), true).await else { return };
    let proxy = TlsProxy::before(&bed.socket());
    proxy.answers().await;
    let address = format!("tcp://localhost:{}", proxy.port);
    for (authority, client, words, advice) in [
        ("ca", None, "", "an engine that speaks TLS needs tls_ca, tls_cert and tls_key"),
        ("ca", Some("stranger"), "", "the engine must accept tls_cert"),
        ("other-ca", Some("client"), "invalid peer certificate", "tls_ca must have signed the engine's certificate"),
    ] {
        let why = unreachable(adapter(&proxy.settings(&bed, authority, client), &bed.instance)).await;
        assert!(why.contains(&address) && why.contains(words) && why.contains(advice), "{why}");
    }
}
