# The package with Debian's engine, on cgroup version 2 with its systemd driver: the daemon is the user uwsd. What jobs are told.
# Needs: package image
# Limit: 420
. /hand/lib.sh
. /hand/jobs.sh

say "installed, with an engine"
systemctl start docker
docker import /hand/image.tar uwsd-job:latest >/dev/null
apt install /hand/uwsd.deb
write /etc/uwsd/conf.d/jobs.toml <<'END_OF_FILE'
[service.ocps]
image = "uwsd-job:latest"
pull = "never"
memory = "64MiB"
pids = 64
END_OF_FILE
systemctl restart uwsd
await 60 "the daemon to be ready" is_ready

say "doctor tells the version, the driver, and how memory gets known"
uwsd doctor >/tmp/doctor || { cat /tmp/doctor; fail "doctor finds something wrong"; }
grep -i 'version 2 and the driver systemd' /tmp/doctor || { cat /tmp/doctor; fail "doctor does not name them"; }

say "a job by the JSON API and one by UWS"
id=$(curl -fsS -X PUT -H 'Content-Type: application/json' -d '{"run_id": "1", "command": "cat /proc/self/cgroup; echo hi"}' \
    http://127.0.0.1:8080/api/v1/job | grep -oE '[0-9a-f]{32}' | sed -n 1p)
ends "$id" COMPLETED ok
place=$(curl -fsS -D - -o /tmp/answer -F COMMAND='echo by UWS' -F PHASE=RUN http://127.0.0.1:8080/api/ocps/async | sed -n 's/^[Ll]ocation: //p' | tr -d '\r')
ends "${place##*/}" COMPLETED ok

tell_endings
note "peak of it: $(fact "$id" peakMemory)"

say "a job is left alone by restarts"
id=$(uwsctl submit 'sleep 1000')
await 60 "the job" is_in_phase "$id" EXECUTING
started=$(docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Pid}}' "uwsd-$id")
for _ in 1 2 3; do systemctl restart uwsd; done
is_in_phase "$id" EXECUTING || fail "it is $(uwsctl phase "$id")"
[ "$(docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Pid}}' "uwsd-$id")" = "$started" ] || fail "it is another container"
uwsctl abort "$id" >/dev/null
ends "$id" ABORTED aborted
