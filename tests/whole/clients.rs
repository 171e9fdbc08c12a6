//! What users have, against the built daemon: pyVO, STILTS and `uwsctl`.

use std::path::Path;
use std::process::{Command, Output};

use crate::bed::{Bed, Engine, everywhere};

/// The client as it was built.
const UWSCTL: &str = env!("CARGO_BIN_EXE_uwsctl");

/// Two services more: one with typed parameters and a file, one as a TAP service would be asked.
fn with_services(engine: &Engine) -> Bed {
    let image = match engine {
        Engine::Docker { image, .. } => format!("image = {image:?}\npull = \"never\"\nnetwork = \"none\"\n"),
        Engine::Process => String::new(),
    };
    let common = format!("{image}cpus = 0.5\nmemory = \"256MiB\"\n");
    Bed::new(
        engine,
        &format!(
            r#"
[service.cutout]
{common}
command = ["/bin/sh", "-c", '''
printf "%s %s\n" "$1" "$(printf %s "$UWS_PARAM_BAND" | tr "\n" ,)" > "$JOB_OUTPUT_DIR/result"
cat "$UWS_PARAM_CATALOG" >> "$JOB_OUTPUT_DIR/result"
''', "cutout", "{{RA}}"]
parameters = [
    {{ name = "RA", type = "real", required = true, min = 0, max = 360 }},
    {{ name = "BAND", type = "enum", values = ["g", "r"], multiple = true }},
    {{ name = "CATALOG", type = "file" }},
]
[service.tap]
{common}
command = ["/bin/sh", "-c", 'printf "%s\n" "$1" > "$JOB_OUTPUT_DIR/result"', "tap", "{{QUERY}}"]
parameters = [{{ name = "REQUEST" }}, {{ name = "LANG" }}, {{ name = "QUERY" }}]
"#
        ),
    )
}

/// Runs a client to its end, off the runtime.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("it can be started")).await.expect("it ran")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn pyvo_drives_jobs_to_their_ends(engine: &Engine) {
    let Some(python) = std::env::var_os("UWSD_TEST_PYTHON") else {
        eprintln!("SKIPPED: UWSD_TEST_PYTHON names no Python that has pyVO; tests/run makes one");
        return;
    };
    let bed = with_services(engine);
    let _daemon = bed.start(None).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pyvo_job.py");
    let mut command = Command::new(python);
    command.args(["-W", "ignore"]).arg(script).current_dir(bed.path());
    command.args(["ocps", "cutout"].map(|service| bed.url(&format!("/api/{service}/async"))));
    let output = run(command).await;
    assert!(output.status.success(), "{}\n{}", said(&output), bed.log());
    assert!(said(&output).contains("drove every job to its end"), "{}", said(&output));
}

async fn stilts_finds_no_fault(engine: &Engine) {
    let bed = with_services(engine);
    let _daemon = bed.start(None).await;
    let mut command = Command::new("stilts");
    command.args(["taplint", &format!("tapurl={}", bed.url("/api/tap")), "stages=CPV AVV UWS"]);
    let output = match tokio::task::spawn_blocking(move || command.output()).await.expect("it ran") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: stilts is not installed; tests/run installs it");
            return;
        }
        output => output.expect("it can be started"),
    };
    let text = said(&output);
    assert!(text.contains("Totals: Errors: 0; Warnings: 0;") && text.contains("Failures: 0"), "{text}");
    assert!(text.contains("UWS job document explicitly V1.1"), "{text}");
}

async fn uwsctl_runs_shows_fetches_and_orders(engine: &Engine) {
    let bed = with_services(engine);
    let _daemon = bed.start(None).await;
    let socket = bed.path().join("state/uwsd.sock");
    let uwsctl = async |arguments: &[&str]| {
        let mut command = Command::new(UWSCTL);
        command.args(["--url", &bed.url("/api"), "--admin-socket"]).arg(&socket).args(arguments);
        command.current_dir(bed.path());
        let output = run(command).await;
        (
            output.status.code().expect("an exit code"),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            said(&output),
        )
    };
    let (code, out, all) = uwsctl(&["run", "echo hello | tee $JOB_OUTPUT_DIR/hello.txt; exit 3"]).await;
    assert_eq!((code, out.as_str()), (3, "hello\n"), "{all}");
    assert!(all.contains("ended in ERROR: the command exited with code 3"), "{all}");

    let (_, id, _) = uwsctl(&["submit", "echo begin; while [ ! -e $HOME/x ]; do sleep 0.1; done"]).await;
    let id = id.trim();
    bed.until("it to run", async || uwsctl(&["logs", id]).await.1 == "begin\n").await;
    for (order, phase) in [("suspend", "SUSPENDED"), ("resume", "EXECUTING")] {
        let (code, out, all) = uwsctl(&[order, id]).await;
        assert_eq!((code, out), (0, format!("{id} is {phase}\n")), "{all}");
    }
    assert_eq!(uwsctl(&["hold", id]).await.0, 1);
    assert_eq!(uwsctl(&["abort", id]).await.0, 0);
    assert_eq!(uwsctl(&["wait", id]).await.0, 4);
    assert_eq!(uwsctl(&["list", "--phase", "aborted", "-n", "5"]).await.1.lines().count(), 2);

    let (_, id, all) = uwsctl(&["--service", "tap", "submit", "-p", "query=SELECT 1"]).await;
    let id = id.trim();
    assert_eq!(uwsctl(&["--service", "tap", "wait", id]).await.0, 0, "{all}");
    let (code, _, all) = uwsctl(&["--service", "tap", "get", id, "-o", "got/"]).await;
    assert_eq!(code, 0, "{all}");
    assert_eq!(std::fs::read_to_string(bed.path().join("got/result")).expect("fetched"), "SELECT 1\n");
    let got = std::fs::read_dir(bed.path().join("got")).expect("there").count();
    assert_eq!(got, 1, "the logs are no files that the job left");
    assert_eq!(uwsctl(&["--service", "tap", "delete", id]).await.0, 0);
    assert_eq!(uwsctl(&["--service", "tap", "show", id]).await.0, 1);
}

everywhere!(pyvo_drives_jobs_to_their_ends, stilts_finds_no_fault, uwsctl_runs_shows_fetches_and_orders);
