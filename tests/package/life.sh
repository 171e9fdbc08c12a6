# The life of the package on Debian 12, up to the watchdog; to be sourced by tests/package/run.

life() {
    install
    check_units
    start_by_socket
    run_jobs
    restart
    upgrade
    change_configuration
    change_port
    trip_watchdog
    run_processes
}

install() {
    say "installed without an engine, it answers and says what is missing"
    apt install --no-install-recommends "/packages/${before##*/}"
    in_box uwsctl list >/dev/null || fail "it does not answer"
    is_ready && fail "it is ready without an engine"
    for unit in uwsd.service uwsd.socket; do
        [ "$(property $unit UnitFileState)" = enabled ] || fail "$unit does not start at boot"
    done

    say "an engine that is installed later is found, and the daemon gets access to it"
    apt install --no-install-recommends docker.io
    await 30 "the daemon to be ready" is_ready
    in_box id -nG uwsd | grep -w docker >"$bed/groups" || fail "uwsd is not in the group docker"
}

is_ready() { [ "$(get /readyz)" = 200 ]; }

# The status of an answer, from outside the box but in its network.
get() {
    in_net curl --silent --max-time 60 --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:8080$1" || true
}

# A command of the host in the box's network.
in_net() {
    nsenter --net="$(network)" -- "$@"
}

network() { echo "/proc/$(docker inspect --format '{{.State.Pid}}' "$box")/ns/net"; }

log() { in_box journalctl --unit uwsd.service --no-pager; }

check_units() {
    say "systemd finds nothing wrong with the units, and the sandbox tight"
    local wrong
    wrong=$(in_box systemd-analyze verify --man=no uwsd.service uwsd.socket uwsd@x.service 2>&1) || fail "$wrong"
    [ -z "$wrong" ] || fail "$wrong"
    for unit in uwsd.service uwsd@x.service; do
        in_box systemd-analyze security --no-pager --threshold=20 "$unit" >"$bed/security" || fail "$(cat "$bed/security")"
        note "$(tail -n 1 "$bed/security")"
    done
    is_watched uwsd.service
}

# What systemd itself makes of a unit of the package's that runs, before a test shortens anything. (Of one that does not it tells no watchdog.)
is_watched() { # UNIT
    local is
    is=$(in_box systemctl show "$1" --property=Type,WatchdogUSec,Restart | sort | tr '\n' ' ')
    [ "$is" = "Restart=always Type=notify WatchdogUSec=30s " ] || fail "$1 has $is"
}

start_by_socket() {
    say "the first client starts it, by the socket"
    in_box systemctl stop --quiet uwsd.service 2>"$bed/errors"
    [ "$(property uwsd.socket ActiveState)" = active ] || fail "the socket went with the service"
    [ "$(get /healthz)" = 200 ] || fail "nobody answered"
    [ "$(property uwsd.service ActiveState)" = active ] || fail "the service is not active"
    in_box test -S /run/uwsd/uwsd.sock || fail "there is no administration socket"
    [ "$(in_box stat --format %U:%G:%a /run/uwsd/uwsd.sock)" = uwsd:uwsd:660 ] || fail "the administration socket is not the group's"
}

run_jobs() {
    say "a job from a git repository runs in the engine"
    prepare_jobs
    write /srv/repository.sh <<'END'
mkdir -p /srv/git/scripts && cd /srv/git/scripts && git init -q -b main .
echo 'echo "from $SRC_GIT_URL" | tee "$JOB_OUTPUT_DIR/report.txt"' >run.sh
git add . && git -c user.name=test -c user.email=test@localhost commit -q -m "a job"
systemd-run --quiet --unit git "$(git --exec-path)/git-daemon" --base-path=/srv/git --export-all --listen=127.0.0.1
END
    in_box sh /srv/repository.sh
    in_box systemctl restart uwsd
    await 10 "the git server" in_box git ls-remote -q git://127.0.0.1/scripts >/dev/null
    run_ok --source git://127.0.0.1/scripts --ref main -- 'bash $JOB_SOURCE_DIR/run.sh'
    [ "$words" = "from git://127.0.0.1/scripts" ] || fail "its output is: $words"
}

# Runs a job to its end; what it printed is in $words.
run_ok() {
    local code=0
    words=$(in_box uwsctl run "$@" 2>"$bed/errors") || code=$?
    [ $code = 0 ] || fail "uwsctl run ended with $code: $words $(cat "$bed/errors")"
}

begin_polling() {
    (exec nsenter --net="$(network)" -- python3 tests/package/poll.py "http://127.0.0.1:8080/api/v1/job/$job" executing) >"$bed/polls" 2>&1 &
    poller=$!
}

end_polling() {
    kill -TERM "$poller"
    local code=0
    wait "$poller" || code=$?
    poller=''
    sed 's/^/   /' "$bed/polls"
    [ $code = 0 ] || fail "polls failed"
}

restart() {
    say "20 restarts, under clients that poll a running job"
    start_job 'sleep 1000'
    local i
    begin_polling
    for ((i = 0; i < 20; i++)); do
        in_box systemctl restart uwsd.service
    done
    job_is_untouched "20 restarts"
    end_polling
}

upgrade() {
    say "an upgrade, under the same clients, with an edited configuration and a second instance"
    in_box sed -i 's/^#max_running = 2$/max_running = 7/' /etc/uwsd/uwsd.toml
    write /etc/uwsd/beside.toml <<'END'
[[server.listener]]
address = "127.0.0.1:8081"
END
    in_box systemctl enable --now --quiet uwsd@beside
    in_box uwsctl --url http://127.0.0.1:8081/api list >/dev/null || fail "the second instance does not answer"
    is_watched uwsd@beside
    in_box systemctl enable --quiet uwsd@stopped
    leave_an_older_database
    local socket service second
    socket=$(property uwsd.socket ActiveEnterTimestampMonotonic)
    service=$(property uwsd.service MainPID) second=$(property uwsd@beside MainPID)
    begin_polling
    # As docs/maintenance.md has it for upgrades that nobody attends.
    apt install -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "/packages/${package##*/}"
    job_is_untouched "the upgrade"
    end_polling
    grep -q 'Package distributor has shipped an updated version' <<<"$words" || fail "the upgrade met no changed configuration: $words"
    in_box grep -q 'the version before' /etc/uwsd/uwsd.toml || fail "the edited configuration was replaced"
    in_box sh -c 'test -f /etc/uwsd/uwsd.toml.dpkg-dist && ! grep "the version before" /etc/uwsd/uwsd.toml.dpkg-dist' ||
        fail "the new configuration does not lie beside the edited one"
    older_database_is_served
    [ "$(in_box dpkg-query --show --showformat '${Version}' uwsd)" = "$(dpkg-deb --field "$package" Version)" ] ||
        fail "the version is not the new one"
    [ "$(property uwsd.service MainPID)" != "$service" ] || fail "the daemon was not restarted"
    [ "$(property uwsd@beside MainPID)" != "$second" ] || fail "the second instance was not restarted"
    [ "$(property uwsd@beside ActiveState)" = active ] || fail "the second instance does not run"
    [ "$(property uwsd@stopped ActiveState)" = inactive ] || fail "an instance that was stopped is $(property uwsd@stopped ActiveState)"
    in_box systemctl disable --quiet uwsd@stopped
    [ "$(property uwsd.socket ActiveEnterTimestampMonotonic)" = "$socket" ] || fail "the socket was closed"
    in_box uwsd check >"$bed/configuration" || fail "the configuration has mistakes"
    grep -qE '^max_running +=  *7 ' "$bed/configuration" || fail "the edited configuration is not in force"

    say "configured again, nothing changes"
    service=$(property uwsd.service MainPID)
    local i
    for i in 1 2; do in_box /var/lib/dpkg/info/uwsd.postinst triggered /usr/sbin/dockerd; done
    in_box dpkg-reconfigure uwsd 2>"$bed/errors" || fail "$(cat "$bed/errors")"
    in_box dpkg --audit
    job_is_untouched "another configuration"
}

# What an older daemon leaves to the upgrade of the second instance, which stops it and starts the new one: both packages have the same
# programs, so the database of an older schema comes when the unit has stopped.
leave_an_older_database() {
    rm -f "$bed/older.db"
    python3 - "$bed/older.db" <<'END'
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.executescript(open("tests/fixtures/schema-4.sql").read())
(served,) = database.execute("SELECT lower(hex(id)) FROM job WHERE run_id = 'completed'").fetchone()
open(sys.argv[1] + ".job", "w").write(served)
END
    write /var/lib/uwsd-beside/older.db <"$bed/older.db"
    in_box chown uwsd:uwsd /var/lib/uwsd-beside/older.db
    write /etc/systemd/system/uwsd@beside.service.d/older.conf <<'END'
[Service]
ExecStopPost=/bin/sh -ec 'cd /var/lib/uwsd-beside; rm -f uwsd.db-wal uwsd.db-shm; mv older.db uwsd.db'
END
    in_box systemctl daemon-reload
}

older_database_is_served() {
    local kept
    in_box rm -r /etc/systemd/system/uwsd@beside.service.d
    in_box systemctl daemon-reload
    in_box uwsctl --url http://127.0.0.1:8081/api list >"$bed/list" || fail "the second instance does not answer"
    [ "$(in_box uwsctl --url http://127.0.0.1:8081/api phase "$(cat "$bed/older.db.job")")" = COMPLETED ] ||
        fail "a job of the older database is not served: $(cat "$bed/list")"
    kept=$(in_box sh -c 'ls /var/lib/uwsd-beside/uwsd.db.schema-4-*') || fail "no backup of the older database"
    # The version stands in the header of a database.
    [ "$(in_box od -An -tu1 -j60 -N4 "$kept" | xargs)" = "0 0 0 4" ] || fail "$kept is not the older database"
    in_box env STATE_DIRECTORY=/var/lib/uwsd-beside uwsd db check --config /etc/uwsd/beside.toml >"$bed/check" || fail "$(cat "$bed/check")"
    ! grep -q 'the next start' "$bed/check" || fail "the database was not migrated: $(cat "$bed/check")"
    note "migrated: $(grep -m 1 schema "$bed/check" | xargs), and ${kept##*/}"
}

change_configuration() {
    say "a configuration with a mistake is refused by a reload, and the daemon goes on"
    local service
    service=$(property uwsd.service MainPID)
    write /etc/uwsd/conf.d/mistake.toml <<<$'[queue]\nmax_runing = 3'
    ! in_box systemctl reload uwsd 2>/dev/null || fail "the reload went well"
    [ "$(get /healthz)" = 200 ] || fail "it does not answer"
    [ "$(property uwsd.service MainPID)" = "$service" ] || fail "it is not the same process any more"
    log | grep 'max_runing' >"$bed/log" || fail "the log does not name the mistake"
    write /etc/uwsd/conf.d/mistake.toml <<<$'[queue]\nmax_running = 3'
    in_box systemctl reload uwsd || fail "a configuration without mistakes is refused"
    [ "$(property uwsd.service MainPID)" = "$service" ] || fail "a reload restarted it"
    in_box uwsd status >"$bed/status" || fail "it cannot run jobs: $(cat "$bed/status")"
    write /etc/uwsd/conf.d/mistake.toml <<<$'[queue]\nmax_runing = 3'
    job_is_untouched "a reload"

    say "with a restart it is down until the mistake is corrected, and a client that waits is then served"
    ! in_box systemctl restart uwsd 2>/dev/null || fail "it started with the mistake"
    in_box uwsctl list >"$bed/list" 2>&1 &
    local client=$! restarts
    restarts=$(property uwsd.service NRestarts)
    await 15 "two more tries" has_restarted $((restarts + 2))
    in_box rm /etc/uwsd/conf.d/mistake.toml
    wait "$client" || fail "the client that waited got: $(cat "$bed/list")"
    job_is_untouched "a start that failed"
}

has_restarted() { [ "$(property uwsd.service NRestarts)" -ge "$1" ]; }

change_port() {
    say "the port is changed in one place, the socket unit"
    write /etc/systemd/system/uwsd.socket.d/override.conf <<'END'
[Socket]
ListenStream=
ListenStream=127.0.0.1:9090
ListenStream=/run/uwsd/uwsd.sock
END
    apply_sockets
    in_box uwsctl --url http://127.0.0.1:9090/api list >/dev/null || fail "nobody answers at the new port"
    ! answers || fail "somebody answers at the old one"
    in_box uwsd status >/dev/null || fail "operators are not answered"
    in_box rm -r /etc/systemd/system/uwsd.socket.d
    apply_sockets
    answers || fail "nobody answers at the old port again"
    job_is_untouched "a change of the port"
}

# As docs/operating.md says.
apply_sockets() {
    in_box sh -c 'systemctl daemon-reload && systemctl stop --quiet uwsd.service 2>/dev/null && systemctl restart uwsd.socket &&
        systemctl start uwsd.service'
}

trip_watchdog() {
    say "a daemon that hangs is ended by the watchdog and started again, and goes on with the job"
    # The real unit allows 30 s.
    write /etc/systemd/system/uwsd.service.d/watchdog.conf <<<$'[Service]\nWatchdogSec=3'
    in_box systemctl daemon-reload
    in_box systemctl restart uwsd
    local pid restarts
    pid=$(property uwsd.service MainPID) restarts=$(property uwsd.service NRestarts)
    begin_polling
    in_box kill -STOP "$pid"
    await 60 "the watchdog" has_restarted $((restarts + 1))
    await 30 "the next daemon" answers
    [ "$(property uwsd.service MainPID)" != "$pid" ] || fail "it is the same process"
    log | grep 'Watchdog timeout' >"$bed/log" || fail "it was not the watchdog"
    job_is_untouched "the watchdog"
    stop_polling_of_a_crash
    in_box rm -r /etc/systemd/system/uwsd.service.d
    in_box systemctl daemon-reload
}

# What a process that was killed had accepted is lost with it, so a poll in flight may fail here; later ones may not.
stop_polling_of_a_crash() {
    kill -TERM "$poller"
    wait "$poller" || true
    poller=''
    sed 's/^/   /' "$bed/polls"
    [ -z "$(grep FAILED "$bed/polls" | grep -v -e 'RemoteDisconnected' -e 'ConnectionResetError')" ] || fail "polls were refused"
}
