#!/usr/bin/env bash
# From a checkout to a finished job, on a fresh Debian 12 or 13 with a Rust toolchain, as root or with sudo (for packages only).
#
#   packaging/quickstart.sh [--docker | --process] [--keep]
#
#   --docker    first installs a Docker Engine (docker.io) and starts it
#   --process   runs the job in the embedded backend (bubblewrap), even where an engine is there
#   --keep      leaves the daemon running, with its files, and says how to end it
#
# Everything that it makes lies in a temporary directory, but for the build and, with an engine, one image of about 20 MB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
image='uwsd-quickstart:latest'

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
step() { printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '    %s\n' "$@"; }
stop() { # CODE LINE...
    printf '\n' >&2 && printf '%s\n' "${@:2}" >&2
    exit "$1"
}

keep=false docker=false process=false
for argument in "$@"; do
    case $argument in
        --docker) docker=true ;;
        --process) process=true ;;
        --keep) keep=true ;;
        *) stop 2 "usage: packaging/quickstart.sh [--docker | --process] [--keep]" ;;
    esac
done
if $docker && $process; then stop 2 "--docker and --process exclude each other"; fi
as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi

step "Rust toolchain and packages"
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin
needed=$(sed -nE 's/^rust-version *= *"([0-9.]+)".*/\1/p' Cargo.toml)
found=$({ cargo --version && rustc --version; } 2>/dev/null | sed -nE 's/^rustc ([0-9.]+).*/\1/p') || true
if [ -z "$found" ] || [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
    stop 2 "uwsd needs Rust $needed or newer with cargo; here is ${found:-none}. Get it in one of these ways and start again:" \
        "    apt-get install curl; curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh      (see https://rustup.rs)" \
        "    apt-get install rustup && rustup default stable                                  (Debian 13)" \
        "rustup belongs to one user: start this script as that user, not by sudo; it asks for sudo itself."
fi
note "rustc $found (needed: $needed)"
tests/bed/packages.sh gcc libc6-dev git curl ca-certificates bubblewrap
note "gcc libc6-dev git curl ca-certificates bubblewrap"

# Everything started here ends by its pid. On success nothing is left; after a failure the files stay for a look.
work=$(mktemp -d) base='' job='' pids=() engine_pid=''
await() { # SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
job_over() { ! grep -qE 'queued|executing' <<<"$(curl -sS -m 5 "$base/job/$job/phase")"; }
cleanup() {
    local code=$? pid
    trap - EXIT INT TERM
    if ! { [ "$code" = 0 ] && $keep; }; then
        # A job still running would outlive the daemon, as it should: so it is ended first, and its end awaited.
        if [ -n "$job" ] && curl -sS -m 10 -o /dev/null -X DELETE "$base/job/$job"; then await 20 job_over || true; fi
        for pid in "${pids[@]}"; do
            kill -TERM "$pid" 2>/dev/null || continue
            await 10 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
        done
        if [ -n "$engine_pid" ]; then
            "${as_root[@]}" sh -c "kill -TERM $engine_pid" || true
            await 20 test ! -d "/proc/$engine_pid" || true
        fi
        if [ "$code" = 0 ] || [ -z "$base" ]; then rm -rf "$work"; else printf '\nfiles for a look: %s\n' "$work" >&2; fi
    fi
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ping() { [ "$("$@" curl -fsS -m 5 --unix-socket "$socket" http://localhost/_ping 2>/dev/null)" = OK ]; }
if $docker; then
    step "Docker Engine"
    socket=/var/run/docker.sock
    if ! ping "${as_root[@]}"; then
        tests/bed/packages.sh docker.io
        if [ -d /run/systemd/system ]; then
            "${as_root[@]}" systemctl --quiet enable --now docker.service
        elif ! ping "${as_root[@]}"; then
            note "no systemd here: dockerd is started by hand, and ends with this script unless --keep is given"
            # shellcheck disable=SC2016 # $! is the inner shell's
            engine_pid=$("${as_root[@]}" sh -c 'setsid dockerd </dev/null >"$0" 2>&1 & echo $!' "$work/dockerd.log")
        fi
        await 60 ping "${as_root[@]}" || stop 1 "the engine does not answer:" "$(tail -n 20 "$work/dockerd.log" 2>/dev/null)"
    fi
    note "answers at $socket"
    if ! ping && [ -n "${as_root[*]}" ] && [ -z "${UWSD_QUICKSTART_AGAIN:-}" ]; then
        # For this run sudo lends the group that the socket belongs to; the account stays as it is.
        note "this user is not in group docker: going on with that group, by sudo, for this run only"
        code=0
        sudo --preserve-env -u "$(id -un)" -g docker env PATH="$PATH" UWSD_QUICKSTART_AGAIN=1 bash packaging/quickstart.sh "$@" || code=$?
        exit "$code"
    fi
fi

step "Build"
note "$ cargo build --release --locked"
# Cargo itself says where the programs are, whatever target directory is configured.
messages=$(cargo build --release --locked --message-format=json-render-diagnostics)
program() { grep -oE "\"executable\":\"[^\"]*/$1\"" <<<"$messages" | cut -d'"' -f4 | sed -n 1p; }
uwsd=$(program uwsd) uwsctl=$(program uwsctl)
note "$uwsd"

step "Where jobs run"
kind=process
if ! $process; then
    for socket in "${DOCKER_HOST:-}" /var/run/docker.sock /run/podman/podman.sock "${XDG_RUNTIME_DIR:-}/podman/podman.sock"; do
        socket=${socket#unix://}
        [ -S "$socket" ] || continue
        if ping; then kind=docker && break; fi
        note "$socket: no engine answers there, or you may not use it"
    done
fi
engine() { curl -sS -m 30 --unix-socket "$socket" "${@:2}" "http://localhost$1"; }
# Whether the engine sees this machine's files, as one in another container or machine does not.
sees_files() {
    local id
    id=$(engine /containers/create -X POST -H Content-Type:application/json -d "{\"Image\": \"$image\", \"HostConfig\":
        {\"Mounts\": [{\"Type\": \"bind\", \"Source\": \"$work\", \"Target\": \"/mnt\"}]}}" | sed -nE 's/.*"Id":"([0-9a-f]+)".*/\1/p')
    [ -n "$id" ] && engine "/containers/$id" -X DELETE
}
if [ $kind = docker ]; then
    note "in the container engine at $socket, in an image made from this machine's own files:"
    note "$ packaging/job-image.sh $image --host unix://$socket"
    packaging/job-image.sh "$image" --host "unix://$socket" | sed 's/^/    /'
else
    note "in the embedded backend \"process\" (bubblewrap, no containers); --docker installs an engine"
fi
{
    printf '# made by packaging/quickstart.sh\n[backend]\nkind = "%s"\n' "$kind"
    if [ $kind = docker ]; then
        printf '\n[backend.docker]\nhost = "unix://%s"\n' "$socket"
        if ! sees_files; then echo 'shared_state = false'; fi
    fi
    printf '\n[service.ocps]\nmemory = "256MiB"\n'
    if [ $kind = docker ]; then
        printf 'image = "%s"\npull = "never"\nnetwork = "none"\n' "$image"
        # In a rootless engine root is the very user that runs it, and the job's files become that user's.
        if grep -qE '"name=rootless"' <<<"$(engine /info)"; then echo 'user = "0:0"'; fi
    fi
} >"$work/uwsd.toml"
if grep -q '^shared_state' "$work/uwsd.toml"; then note "that engine does not see this machine's files: they are copied"; fi

free_port() {
    local port
    # Below the ports that the kernel gives to clients; free is where nobody answers.
    while port=$((20000 + RANDOM % 12000)); do (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break; done
    echo "$port"
}

step "A git repository with the job's script, served on loopback"
mkdir -p "$work/git/scripts/bin"
cat >"$work/git/scripts/bin/job.sh" <<'END'
#!/bin/bash
set -eu
echo "job $JOB_ID runs $SRC_GIT_URL at $GIT_COMMIT_REF"
sleep 1 # long enough to be seen running
{
    echo "$GREETING"
    echo "uid $(id -u) on $(uname -s) $(uname -m), $(date -u +%FT%TZ)"
    find "$JOB_SOURCE_DIR" -path '*/.git' -prune -o -type f -exec sha256sum {} +
} >"$JOB_OUTPUT_DIR/report.txt"
echo "wrote $JOB_OUTPUT_DIR/report.txt"
END
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 # nothing of the user's own: hooks, signing, templates
git init -q -b main "$work/git/scripts"
git -C "$work/git/scripts" add .
git -C "$work/git/scripts" -c user.name=quickstart -c user.email=quickstart@localhost commit -q -m "A job"
git_port=$(free_port)
# The program itself, since `git daemon` is a parent of it. setsid: Ctrl-C is for this script, which then ends things in order.
setsid "$(git --exec-path)/git-daemon" --listen=127.0.0.1 --port="$git_port" --base-path="$work/git" --export-all \
    </dev/null >"$work/git-daemon.log" 2>&1 &
pids=($!)
unset GIT_CONFIG_GLOBAL GIT_CONFIG_NOSYSTEM
note "git://127.0.0.1:$git_port/scripts"

step "The daemon"
port=$(free_port)
url=http://127.0.0.1:$port/api base=http://127.0.0.1:$port/api/v1
note "$ uwsd serve --config $work/uwsd.toml --listen 127.0.0.1:$port --state-dir $work/state"
setsid "$uwsd" serve --config "$work/uwsd.toml" --listen "127.0.0.1:$port" --state-dir "$work/state" \
    </dev/null >"$work/uwsd.log" 2>&1 &
pids=($! "${pids[@]}")
failed() { stop 1 "$1" "${@:2}" "--- the daemon's last lines:" "$(tail -n 30 "$work/uwsd.log")"; }
ready() { gone "${pids[0]}" || curl -fsS -m 5 -o /dev/null "http://127.0.0.1:$port/readyz" 2>/dev/null; }
await 30 ready || failed "the daemon is not ready after 30 s:" "$(curl -sS -m 5 "http://127.0.0.1:$port/readyz" 2>&1)"
if gone "${pids[0]}"; then failed "the daemon ended"; fi

step "A job"
cat >"$work/job.json" <<END
{
  "run_id": "1",
  "command": "cd \$JOB_SOURCE_DIR && bash bin/job.sh",
  "url": "git://127.0.0.1:$git_port/scripts",
  "commit_ref": "main",
  "environment": [{"name": "GREETING", "value": "Hello from the quick start"}]
}
END
sed 's/^/    /' "$work/job.json"
# Shows the command line of a curl and runs it; its answer goes to stdout, which may lead into a variable.
exec 3>&1
request() {
    printf '\n    $ curl%s\n' "$(printf ' %q' "$@")" >&3
    curl -sS -m 30 --fail-with-body "$@"
}
answer=$(request -X PUT -H Content-Type:application/json -d "@$work/job.json" "$base/job") || failed "the job was refused: $answer"
job=$(tr -d '\n' <<<"$answer" | sed -nE 's/.*"jobId" *: *"([0-9a-f]+)".*/\1/p')
[ -n "$job" ] || failed "no jobId in the answer: $answer"
note "$answer"

phase='' deadline=$((SECONDS + 120))
printf '\n    $ curl %s\n' "$base/job/$job/phase"
until [[ $phase =~ ^(completed|error|aborted)$ ]]; do
    [ $SECONDS -lt $deadline ] || failed "not completed within 120 s:" "$(curl -sS -m 10 "$base/job/$job")"
    now=$(curl -sS -m 10 "$base/job/$job/phase" | tr -d '"[:space:]') || failed "the daemon does not answer"
    if [ "$now" != "$phase" ]; then note "$now"; fi
    phase=$now
    sleep 0.1
done
ended=$job job='' # nothing left to end
[ "$phase" = completed ] || failed "the job did not complete:" "$(curl -sS -m 10 "$base/job/$ended")"

results=$(request "$base/job/$ended/results")
note "$results"
number=$(tr -d '\n' <<<"$results" | tr '}' '\n' | grep '/report\.txt"' | sed -nE 's/.*"id" *: *"?([0-9]+).*/\1/p')
[ -n "$number" ] || failed "report.txt is not among the results"
request -o "$work/report.txt" "$base/job/result/$ended/$number"
sed 's/^/    /' "$work/report.txt"
grep -qx 'Hello from the quick start' "$work/report.txt" || failed "the result file lacks its first line"
request "$base/job/$ended/stdout" | sed 's/^/    /'

step "Done: the job is COMPLETED and its result downloaded. To go on"
if $keep; then
    note "the daemon runs on: http://127.0.0.1:$port/   its log: $work/uwsd.log" "end it:  kill ${pids[*]} && rm -rf $work"
    if [ -n "$engine_pid" ]; then note "end the engine:  ${as_root[*]} sh -c 'kill $engine_pid'"; fi
    note "" "curl -X PUT -H Content-Type:application/json -d @$work/job.json $base/job" "export UWS_URL=$url"
else
    note "(all of this has ended and its files go; --keep leaves the daemon running)" \
        "mkdir -p ~/uwsd && cat >~/uwsd/uwsd.toml <<'END'"
    sed 's/^/    /' "$work/uwsd.toml"
    note "END" "$uwsd serve --config ~/uwsd/uwsd.toml --listen 127.0.0.1:$port --state-dir ~/uwsd/state" \
        "" "and in another terminal:" "export UWS_URL=$url"
fi
note "$uwsctl run 'echo hello | tee \$JOB_OUTPUT_DIR/hello.txt'" "$uwsctl list" "$uwsctl get ID" "curl $base/job"
