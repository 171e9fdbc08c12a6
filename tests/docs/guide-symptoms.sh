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
    damaged_database
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
