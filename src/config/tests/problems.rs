//! What is said of a configuration that does not do.

use super::fixture::site;

/// What is printed for a main file with this text, without the first line and indentation.
fn problems_of(text: &str) -> Vec<String> {
    let printed = site().main(text).problems();
    printed.lines().skip(1).map(|line| line.trim_start().to_owned()).collect()
}

#[test]
fn all_problems_of_all_layers_are_printed_at_once() {
    let mut wrong = site()
        .main("[queue]\nmax_running = -1\n[server]\nbase_paht = \"/x\"\n")
        .file("conf.d/a.toml", "[queue]\nmax_running = \"two\"\n")
        .variable("UWSD_BACKEND_DOCKER_HOST", "foo");
    wrong.request.listen = vec!["nowhere".into()];
    assert_eq!(
        wrong.problems(),
        "config: 5 problems\n  \
         queue.max_running in DIR/uwsd.toml: is -1; give a whole number from 0 to 10000\n  \
         server.base_paht in DIR/uwsd.toml: is no key; did you mean server.base_path?\n  \
         queue.max_running in DIR/conf.d/a.toml: is \"two\"; give a whole number from 0 to 10000\n  \
         server.listener[0].address from --listen: is \"nowhere\"; give ADDRESS:PORT (an IP address or localhost) or \
         unix:/PATH\n  \
         backend.docker.host from UWSD_BACKEND_DOCKER_HOST: is \"foo\"; give unix:///PATH or tcp://HOST:PORT"
    );
}

#[test]
fn of_a_service_with_a_refused_name_the_other_problems_are_told_too() {
    let told = problems_of("[service.healthz]\nmemory = 4\nnonsense = 1\n");
    let expected = [
        "service.healthz in DIR/uwsd.toml: is a name that the daemon's own paths have; give another",
        "service.healthz.memory in DIR/uwsd.toml: is 4;",
        "service.healthz.nonsense in DIR/uwsd.toml: is no key; leave it out",
    ];
    assert!(told.len() == 3 && told.iter().zip(expected).all(|(told, start)| told.starts_with(start)), "{told:#?}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_problem_names_its_key_and_what_would_do() {
    for (text, problem) in [
        ("queue = 3", "queue in DIR/uwsd.toml: is no table; give a table of keys"),
        ("qeue = {}", "qeue in DIR/uwsd.toml: is no key; did you mean queue?"),
        ("max_running = 3", "max_running in DIR/uwsd.toml: is no key; did you mean queue.max_running?"),
        ("xyzzy = 3", "xyzzy in DIR/uwsd.toml: is no key; leave it out"),
        ("service.a.imgae = \"x\"", "service.a.imgae in DIR/uwsd.toml: is no key; did you mean service.a.image?"),
        (
            "service.a.mounts = [{source = \"/a\", target = \"/b\", read_olny = true}]",
            "service.a.mounts[0].read_olny in DIR/uwsd.toml: is no key; did you mean service.a.mounts[0].read_only?",
        ),
        (
            "service.a.mounts = [{source = \"/a\"}]",
            "service.a.mounts[0].target in DIR/uwsd.toml: is missing; give a string",
        ),
        (
            "server.listener = [{trust = \"anonymous\"}]",
            "server.listener[0].address in DIR/uwsd.toml: is missing; give a string",
        ),
        ("service.a.env = {A = 1}", "service.a.env.A in DIR/uwsd.toml: is 1; give a string"),
        (
            "service.a.env = {JOB_ID = \"1\"}",
            "service.a.env.JOB_ID in DIR/uwsd.toml: is no name that can be set; give a name without \"=\" that does not \
             begin with JOB_",
        ),
        (
            "backend.docker = {host = \"tcp://127.0.0.1:1\", tls_ca = \"/a\"}",
            "backend.docker.tls_ca in DIR/uwsd.toml: is \"/a\"; give tls_cert and tls_key too: the engine asks who speaks \
             to it",
        ),
        (
            "sources.ssh_key = \"/keys/~ada\"",
            "sources.ssh_key in DIR/uwsd.toml: is \"/keys/~ada\"; ssh and git would read it as another path; give one \
             without quotes, '\\', '%', '$' and '~'",
        ),
        (
            "server.state_dir = \"/srv/uwsd%test\"",
            "server.state_dir in DIR/uwsd.toml: is \"/srv/uwsd%test\"; ssh and git would read it as another path; give one \
             without quotes, '\\', '%', '$' and '~'",
        ),
        (
            "service.healthz = {}",
            "service.healthz in DIR/uwsd.toml: is a name that the daemon's own paths have; give another",
        ),
        (
            "service.Big = {}",
            "service.Big in DIR/uwsd.toml: is no name for a service; give lower-case letters, digits, \"_\" and \"-\", \
             a letter first",
        ),
        (
            "service.a.command = [\"x\", \"{RA}\"]",
            "service.a.command in DIR/uwsd.toml: names {RA}, which is none of the service's parameters",
        ),
        (
            "service.a = {command = [\"x\"], shell = [\"sh\"]}",
            "service.a.shell in DIR/uwsd.toml: stands beside command; give one of the two",
        ),
        (
            "service.ocps.command = [\"x\"]",
            "service.ocps.command in DIR/uwsd.toml: cannot be given: the JSON API, which serves this service, sends \
             free commands; name the service otherwise",
        ),
        (
            "service.a.parameters = [{name = \"RA\"}]",
            "service.a.parameters in DIR/uwsd.toml: are of a service with a command; give command too",
        ),
        (
            "service.a = {command = [\"x\"], parameters = [{name = \"RA\"}, {name = \"ra\"}]}",
            "service.a.parameters[1].name in DIR/uwsd.toml: is \"ra\"; another parameter has it: give each name once, \
             whatever the case of its letters",
        ),
        (
            "service.a = {command = [\"x\"], parameters = [{name = \"phase\"}]}",
            "service.a.parameters[0].name in DIR/uwsd.toml: is \"phase\"; every service has that one already: give \
             another",
        ),
        (
            "service.a = {command = [\"x\"], parameters = [{name = \"Kill_Grace\"}]}",
            "service.a.parameters[0].name in DIR/uwsd.toml: is \"Kill_Grace\"; every service has that one already: give \
             another",
        ),
        (
            "service.a = {command = [\"x\"], parameters = [{name = \"N\", type = \"integer\", default = \"x\"}]}",
            "service.a.parameters[0].name in DIR/uwsd.toml: names a parameter that does not hold together: N is \"x\"; \
             give a whole number",
        ),
        (
            "service.a = {command = [\"x\"], parameters = [{name = \"N\", type = \"enum\"}]}",
            "service.a.parameters[0].type in DIR/uwsd.toml: is \"enum\"; give its words too, as values = [\"a\", \"b\"]",
        ),
        (
            "service.a = {command = [\"x\"], parameters = [{name = \"N\", pattern = \"(\"}]}",
            "service.a.parameters[0].pattern in DIR/uwsd.toml: is \"(\"; give a regular expression",
        ),
        (
            "service.a = {command = [\"x\"], examples = [{id = \"a\", name = \"A\", parameters = {RA = \"1\"}}]}",
            "service.a.examples[0].parameters.RA in DIR/uwsd.toml: is none of the service's parameters",
        ),
        (
            "server.listener = [{address = \"[::1]:80\", trusted_proxies = [\"proxy\"]}]",
            "server.listener[0].trusted_proxies in DIR/uwsd.toml: is [\"proxy\"]; give networks such as \"10.0.0.0/8\" or \
             \"fd00::/8\", or unix",
        ),
        (
            "backend.kind = \"kubernetes\"",
            "backend.kind in DIR/uwsd.toml: is \"kubernetes\", which is not in this build; give \"docker\" or \
             \"process\"",
        ),
        (
            "server.listener = [{address = \"unix:/x\", trust = \"basic\"}]",
            "server.listener[0].trust in DIR/uwsd.toml: is \"basic\", which is not in this build; give \"anonymous\"",
        ),
        (
            "server.listener = [{address = \"0.0.0.0:80\"}]",
            "server.listener[0].address in DIR/uwsd.toml: is \"0.0.0.0:80\"; other hosts reach it and its callers are \
             anonymous: give a loopback address or unix:/PATH, or set insecure = true in its [[server.listener]]",
        ),
        (
            "server.listener = [{address = \"[::1]:80\"}, {address = \"[::1]:80\"}]",
            "server.listener[1].address in DIR/uwsd.toml: is \"[::1]:80\"; it is listened on already: give each \
             address once",
        ),
        ("server.state_dir = \"state\"", "server.state_dir in DIR/uwsd.toml: is \"state\"; give an absolute path"),
        (
            "server.public_url = \"https://ada:pw@h/\"",
            "server.public_url in DIR/uwsd.toml: is \"https://***@h/\"; give http:// or https://, a host and perhaps a \
             path, without user, query and fragment",
        ),
        (
            "sources.proxy = \"http://ada:pass/word@proxy:3128\"",
            "sources.proxy in DIR/uwsd.toml: is \"http://***@proxy:3128\"; give a URL such as \"http://proxy:3128\"",
        ),
        (
            "sources.git_protocols = [\"https\", \"ext\"]",
            "sources.git_protocols in DIR/uwsd.toml: holds \"ext\"; give a list out of \"https\", \"http\", \"ssh\", \
             \"git\" or \"file\"",
        ),
        (
            "log.level = \"inof\"",
            "log.level in DIR/uwsd.toml: is \"inof\"; give off, error, warn, info, debug or trace, or a filter such as \
             \"info,uwsd::http=debug\"",
        ),
        (
            "service.a.cpus = 9",
            "service.a.cpus in DIR/uwsd.toml: is 9.0; give at most 8.0, which is all that queue.cpus gives out",
        ),
        (
            "queue.memory = \"1GiB\"\nservice.a.memory = \"2GiB\"",
            "service.a.memory in DIR/uwsd.toml: is \"2GiB\"; give at most 1GiB, which is all that queue.memory gives \
             out",
        ),
        (
            "service.a = {memory = \"2GiB\", max_memory = \"1GiB\"}",
            "service.a.max_memory in DIR/uwsd.toml: is \"1GiB\"; give at least memory, which is 2GiB, or \"0\"",
        ),
        (
            "service.a = {execution_duration = \"2h\", max_execution_duration = \"1h\"}",
            "service.a.execution_duration in DIR/uwsd.toml: is \"2h\"; give at most max_execution_duration, which is \
             1h",
        ),
        (
            "service.a = {kill_grace = \"2m\", max_kill_grace = \"1m\"}",
            "service.a.kill_grace in DIR/uwsd.toml: is \"2m\"; give at most max_kill_grace, which is 1m",
        ),
        (
            "service.a.mounts = [{source = \"/a\", target = \"/uws/x\"}]",
            "service.a.mounts[0].target in DIR/uwsd.toml: is \"/uws/x\"; give an absolute path outside /uws, without \
             \"..\"",
        ),
        (
            "service.a.mounts = [{source = \"/data/{owner}\", target = \"/x\"}]",
            "service.a.mounts[0].source in DIR/uwsd.toml: is \"/data/{owner}\"; {owner} needs callers with names, which \
             are not in this build: give a fixed path",
        ),
        (
            "service.a.secrets = [{name = \"A\", file = \"/etc/hostname\", target = \"run\"}]",
            "service.a.secrets[0].target in DIR/uwsd.toml: is \"run\"; give an absolute path outside /uws, without \
             \"..\"",
        ),
        (
            "backend.docker = {host = \"tcp://127.0.0.1:1\", tls_cert = \"/c\", tls_ca = \"/a\"}",
            "backend.docker.tls_cert in DIR/uwsd.toml: is \"/c\"; give tls_cert and tls_key together",
        ),
    ] {
        assert_eq!(problems_of(text), [problem], "{text}");
    }
}

#[test]
fn a_text_that_is_no_toml_is_told_by_line_and_without_its_content() {
    let problems = problems_of("[queue]\nmax_running = 1\nproxy = http://u:s3cret@h\n");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("DIR/uwsd.toml: line 3: "), "{problems:?}");
    assert!(!problems[0].contains("s3cret"), "{problems:?}");
    let twice = problems_of("[queue]\nmax_running = 1\nmax_running = 2\n");
    assert_eq!(twice, ["DIR/uwsd.toml: line 3: duplicate key; give TOML"]);
}

#[test]
fn a_named_file_has_to_exist() {
    let mut named = site();
    named.request.config = Some(named.path("none.toml"));
    assert_eq!(named.problems(), "config: 1 problem\n  DIR/none.toml: does not exist; give a file that does");
}

#[test]
fn without_a_home_a_state_directory_has_to_be_given() {
    let mut homeless = site();
    homeless.request.environment.clear();
    assert_eq!(
        homeless.problems(),
        "config: 1 problem\n  server.state_dir by default: is not set, and there is no home directory; give --state-dir \
         DIR"
    );
}

#[test]
fn a_variable_that_does_not_do_is_named() {
    for (name, value, problem) in [
        (
            "UWSD_QUEUE_MAX_RUNING",
            "1",
            "UWSD_QUEUE_MAX_RUNING: is the variable of no key; did you mean UWSD_QUEUE_MAX_RUNNING?",
        ),
        (
            "UWSD_SERVICE_NIGHTLY_IMAGE",
            "x",
            "UWSD_SERVICE_NIGHTLY_IMAGE: is for no service that is configured; those are \"ocps\"",
        ),
        (
            "UWSD_SERVICE_OCPS_MEMORY",
            "4 gigs",
            "service.ocps.memory from UWSD_SERVICE_OCPS_MEMORY: is \"4 gigs\"; give bytes, or a size such as \"4GiB\" \
             (KiB, MiB, GiB, TiB), at least 6MiB",
        ),
        ("UWSD_BACKEND", "podman", "backend.kind from UWSD_BACKEND: is \"podman\"; give \"docker\" or \"process\""),
    ] {
        let printed = site().variable(name, value).problems();
        assert_eq!(printed, format!("config: 1 problem\n  {problem}"));
    }
}
