# Symptoms brought about, to see that the page of symptoms quotes what is really said. To be sourced by operators-guide.sh.

# The page has $1, and so has what a command printed (in "$bed/symptom").
quoted() {
    grep -qF -- "$1" docs/troubleshooting.md || fail "docs/troubleshooting.md does not quote: $1"
    grep -qF -- "$1" "$bed/symptom" || fail "wanted \"$1\", got: $(cat "$bed/symptom")"
    note "$1"
}

# What a job's end says; the arguments are those of uwsctl submit.
ends() {
    local id
    id=$(in_box uwsctl submit "$@" 2>"$bed/symptom") || fail "$(cat "$bed/symptom")"
    in_box uwsctl wait "$id" >/dev/null 2>&1 || true
    in_box uwsctl show "$id" >"$bed/symptom"
}

box_shows_symptoms() {
    say "symptoms, brought about"
    write /etc/uwsd/conf.d/95-symptoms.toml <<<$'[service.ocps]\nmemory = "64MiB"\nkill_grace = "1s"\nexecution_duration = "3s"'
    in_box systemctl reload uwsd
    # tail keeps what it reads, as it waits for the end of a line that never comes.
    ends 'tail /dev/zero'
    quoted 'ran out of its memory limit of'
    ends 'kill -SEGV $$'
    quoted 'killed by signal'
    ends 'sleep 100'
    quoted 'the execution limit of'
    ends --source git://git.example.org/scripts.git --ref nowhere true
    quoted 'has no branch, tag or commit'
    ends --source git://git.example.org/none.git true
    quoted 'could not be cloned'
    removed_container
    no_image
    wrong_configuration
    no_permission
    drained
    taken_port
    no_engine
    refused_requests
    read_only_places
    locked_database
    taken_socket
    mount_is_away
    damaged_database
    begun_anew
}

removed_container() {
    local id
    id=$(in_box uwsctl submit 'sleep 1000' 2>/dev/null)
    await 30 "the job" is_in_phase "$id" EXECUTING
    in_box docker rm --force "uwsd-$id" >/dev/null
    in_box uwsctl wait "$id" >/dev/null 2>&1 || true
    in_box uwsctl show "$id" >"$bed/symptom"
    quoted 'its run vanished without a trace'
}

no_image() {
    write /etc/uwsd/conf.d/96-image.toml <<<$'[service.ocps]\nimage = "nowhere/none:1"\npull = "never"'
    in_box systemctl reload uwsd
    ends true
    quoted 'it is not on the host, and pull = "never"'
    in_box rm /etc/uwsd/conf.d/96-image.toml
    in_box systemctl reload uwsd
}

wrong_configuration() {
    write /etc/uwsd/conf.d/96-mistake.toml <<<$'[queue]\nmax_runing = 3'
    ! in_box uwsd reload >"$bed/symptom" 2>&1 || fail "a mistake was accepted"
    quoted 'the old configuration stays in force'
    quoted 'is no key; did you mean'
    in_box rm /etc/uwsd/conf.d/96-mistake.toml
}

no_permission() {
    ! in_box runuser -u nobody -- uwsd status >"$bed/symptom" 2>&1 || fail "anybody is an operator"
    quoted 'no daemon answers at'
    quoted 'may this user use its socket (root and group uwsd)'
}

drained() {
    in_box uwsd drain >/dev/null
    in_box curl --silent http://127.0.0.1:8080/readyz >"$bed/symptom"
    quoted 'drained by an operator since'
    in_box uwsd undrain >/dev/null
}

# Waits until the log since the last call of `from_now` has it.
from_now() { since=$(in_box date '+%Y-%m-%d %H:%M:%S'); }
logged() {
    in_box journalctl --unit "$2" --no-pager --output cat --since "$since" >"$bed/symptom"
    grep -qF -- "$1" "$bed/symptom"
}

taken_port() {
    write /etc/uwsd/second.toml <<<$'[[server.listener]]\naddress = "127.0.0.1:8080"'
    from_now
    in_box systemctl start --no-block uwsd@second
    await 15 "the refusal" logged 'cannot listen on' uwsd@second
    quoted 'another program listens there; stop it or choose another port'
    in_box systemctl stop uwsd@second
}

no_engine() {
    in_box systemctl stop --quiet docker.socket docker.service 2>/dev/null
    await 60 "the daemon to notice" is_not_ready
    in_box curl --silent http://127.0.0.1:8080/readyz >"$bed/symptom"
    quoted 'cannot be reached while'
    quoted 'start the engine, or set backend.docker.host'
    in_box systemctl start docker.socket docker.service
    await 60 "the daemon to be ready" is_ready
}

is_not_ready() { [ "$(get /readyz)" = 503 ]; }

damaged_database() {
    in_box systemctl stop --quiet uwsd.socket uwsd.service 2>/dev/null
    in_box sh -c 'cp -p /var/lib/uwsd/uwsd.db /srv/kept.db && rm -f /var/lib/uwsd/uwsd.db-*
        head -c 4096 /dev/urandom | dd of=/var/lib/uwsd/uwsd.db conv=notrunc status=none'
    from_now
    in_box systemctl start --no-block uwsd.socket uwsd.service
    await 15 "the refusal" logged 'is damaged or is no database' uwsd.service
    quoted 'restore a backup'
    in_box sh -c 'cp -p /srv/kept.db /var/lib/uwsd/uwsd.db'
    await 30 "the daemon to be ready" is_ready
}

refused_requests() {
    local id key=(--header 'Idempotency-Key: night')
    asked() { in_box curl --silent "$@" >"$bed/symptom"; }
    asked http://127.0.0.1:8080/api/ocps/async/00000000000000000000000000000000
    quoted 'there is no such job'
    id=$(in_box uwsctl submit true 2>/dev/null)
    in_box uwsctl wait "$id" >/dev/null
    asked "http://127.0.0.1:8080/api/v1/job/result/$id/99"
    quoted 'Result file not found.'
    in_box uwsctl delete "$id" >/dev/null
    asked "http://127.0.0.1:8080/api/ocps/async/$id"
    quoted 'this job was destroyed at'
    in_box sh -c 'head -c 17000000 /dev/zero >/tmp/large'
    asked --data-binary @/tmp/large http://127.0.0.1:8080/api/ocps/async
    quoted 'the request body is larger than'
    asked "${key[@]}" --data COMMAND=true http://127.0.0.1:8080/api/ocps/async
    asked "${key[@]}" --data COMMAND=false http://127.0.0.1:8080/api/ocps/async
    quoted 'the Idempotency-Key was used for another request, which made job'
    write /etc/uwsd/conf.d/96-one.toml <<<$'[service.ocps]\none_at_a_time = true'
    in_box systemctl reload uwsd
    id=$(in_box uwsctl submit 'sleep 1000' 2>/dev/null)
    asked --data PHASE=RUN --data COMMAND=true http://127.0.0.1:8080/api/ocps/async
    quoted 'is on its way, and this service takes one job at a time'
    in_box uwsctl abort "$id" >/dev/null
    in_box rm /etc/uwsd/conf.d/96-one.toml
    write /etc/uwsd/conf.d/96-archive.toml <<<$'[service.ocps]\narchive = "1d"'
    in_box systemctl reload uwsd
    id=$(in_box uwsctl submit true 2>/dev/null)
    in_box uwsctl wait "$id" >/dev/null
    asked --data DESTRUCTION=2000-01-01 "http://127.0.0.1:8080/api/ocps/async/$id/destruction"
    await 30 "the destruction of $id" is_archived "$id"
    asked "http://127.0.0.1:8080/api/ocps/async/$id/results/stdout"
    quoted 'this job was destroyed: its files went at'
    in_box rm /etc/uwsd/conf.d/96-archive.toml
    in_box systemctl reload uwsd
}

is_archived() { [ "$(in_box uwsctl phase "$1")" = ARCHIVED ]; }

# Places outside of the state directory, which the unit may not write.
read_only_places() {
    in_box install -d -o uwsd -g uwsd /srv/elsewhere
    write /etc/uwsd/conf.d/96-place.toml <<<$'[server]\njobs_dir = "/srv/elsewhere"'
    in_box systemctl restart uwsd
    await 30 "the daemon to be ready" is_ready
    ends true
    quoted 'file operation failed while'
    quoted 'Read-only file system'
    refused_place '[server]' 'jobs_dir = "/srv/nowhere"' 'make it writable for this user or set server.state_dir'
    refused_place '[store]' 'path = "/srv/nowhere/uwsd.db"' 'for the job database'
    refused_place '[store]' 'path = "/srv/elsewhere/uwsd.db"' 'cannot open the job database'
    quoted 'unable to open database file'
    in_box rm /etc/uwsd/conf.d/96-place.toml
    await 30 "the daemon to be ready" is_ready
}

refused_place() { # SECTION KEY WORDS
    printf '%s\n%s\n' "$1" "$2" | write /etc/uwsd/conf.d/96-place.toml
    from_now
    in_box systemctl restart --no-block uwsd
    await 30 "the refusal" logged "$3" uwsd
    quoted "$3"
}

locked_database() {
    in_box systemd-run --quiet --unit holds-the-database python3 -c 'import sqlite3, time
database = sqlite3.connect("/var/lib/uwsd/uwsd.db", isolation_level=None)
database.execute("BEGIN IMMEDIATE")
time.sleep(1000)'
    await 60 "the daemon to notice" is_not_ready
    in_box curl --silent http://127.0.0.1:8080/readyz >"$bed/symptom"
    quoted 'the job database cannot be written while'
    in_box systemctl stop holds-the-database
    await 60 "the daemon to be ready" is_ready
}

# By another program, while the package's own socket unit would listen: it is systemd that cannot.
taken_socket() {
    in_box systemctl stop --quiet uwsd.socket uwsd.service 2>/dev/null
    in_box systemd-run --quiet --unit takes-the-port python3 -m http.server --bind 127.0.0.1 8080
    await 15 "the other program" port_is_taken
    from_now
    ! in_box systemctl start uwsd.socket uwsd.service 2>/dev/null || fail "the daemon started without its port"
    await 15 "the daemon's log" logged 'Dependency failed for uwsd.service' uwsd.service
    quoted 'Dependency failed for uwsd.service'
    # By the field, as the page has it: the process that says so is gone before the journal knows it as the unit's.
    await 15 "the socket's log" socket_says 'Failed to create listening socket'
    quoted 'Failed to create listening socket (127.0.0.1:8080): Address already in use'
    in_box systemctl stop takes-the-port
    sleep 5
    ! in_box systemctl is-active --quiet uwsd.service || fail "it is tried again, other than the page says"
    in_box systemctl start uwsd.socket uwsd.service
    await 30 "the daemon to be ready" is_ready
}

# The server of docs/storage.md, whose line is still in fstab.
mount_is_away() {
    in_box systemctl stop --quiet uwsd.socket uwsd.service 2>/dev/null
    in_box mv /srv/server/export /srv/server/away
    write /etc/systemd/system/uwsd.service.d/jobs.conf <<<$'[Unit]\nRequiresMountsFor=/srv/uwsd-jobs'
    in_box systemctl daemon-reload
    from_now
    in_box systemctl start uwsd.socket
    ! in_box systemctl start uwsd.service 2>/dev/null || fail "the daemon started without the mount"
    await 15 "the daemon's log" logged 'Dependency failed for uwsd.service' uwsd.service
    get /healthz >/dev/null || true
    await 15 "the socket's log" socket_says 'Trigger limit hit'
    quoted 'Trigger limit hit'
    in_box mv /srv/server/away /srv/server/export
    in_box sh -c "$(sed -n 's/^the server is back: `\([^`]*\)`\.$/\1/p' docs/storage.md)"
    await 30 "the daemon to be ready" is_ready
    in_box rm /etc/systemd/system/uwsd.service.d/jobs.conf
    in_box systemctl daemon-reload
    in_box systemctl restart uwsd
    in_box umount /srv/uwsd-jobs
}

socket_says() {
    in_box journalctl --no-pager --output cat --since "$since" UNIT=uwsd.socket >"$bed/symptom"
    grep -qF -- "$1" "$bed/symptom"
}

port_is_taken() { in_box sh -c "ss -lnt 'sport = :8080' | grep -q LISTEN"; }

# The steps of the page, one a line: `1. ` and a command in backquotes.
begun_anew() {
    local id old
    write /etc/uwsd/conf.d/95-symptoms.toml <<<$'[service.ocps]\nexecution_duration = "1000s"'
    in_box systemctl reload uwsd
    id=$(in_box uwsctl submit 'sleep 1000' 2>/dev/null)
    await 30 "the job" is_in_phase "$id" EXECUTING
    old=$(in_box sed -n 2p /var/lib/uwsd/engine)
    sed -n '/^### The database is damaged/,/^>.*schema version/s/^[0-9]\. `\([^`]*\)`.*/\1/p' docs/troubleshooting.md >"$bed/steps"
    [ "$(wc -l <"$bed/steps")" = 5 ] || fail "these are not the five steps: $(cat "$bed/steps")"
    { echo 'set -eu'; cat "$bed/steps"; } | in_box bash -s >"$bed/symptom" 2>&1 || fail "$(cat "$bed/symptom")"
    await 30 "the daemon to be ready" is_ready
    [ "$(in_box sed -n 2p /var/lib/uwsd/engine)" != "$old" ] || fail "it is no new database"
    [ -z "$(in_box docker ps --all --quiet --filter "label=org.uwsd.job=$id")" ] || fail "a job of the old database runs on"
    in_box test -s /var/lib/uwsd/damaged/uwsd.db || fail "the old database is not kept"
    grep -q 'a job of the new one' <<<"$(in_box uwsctl run 'echo a job of the new one' 2>/dev/null)" || fail "no job runs after it"
    note "the steps to begin anew"
}
