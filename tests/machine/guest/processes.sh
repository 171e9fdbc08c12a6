# The process backend under the package's unit with its drop-in: jobs have groups of their own, which limit them, also over restarts.
# Needs: package
# Limit: 420
. /hand/lib.sh
. /hand/jobs.sh

say "installed, with the drop-in of the process backend"
apt install /hand/uwsd.deb
mkdir -p /etc/systemd/system/uwsd.service.d
cp /usr/share/doc/uwsd/examples/process-backend.conf /etc/systemd/system/uwsd.service.d/
write /etc/uwsd/conf.d/jobs.toml <<'END_OF_FILE'
[backend]
kind = "process"
[queue]
cpus = 4
[service.ocps]
memory = "64MiB"
pids = 64
END_OF_FILE
systemctl daemon-reload
systemctl restart uwsd
await 60 "the daemon to be ready" is_ready
uwsd doctor >/tmp/doctor || { cat /tmp/doctor; fail "doctor finds something wrong"; }
grep -i 'delegated' /tmp/doctor || { cat /tmp/doctor; fail "doctor does not see the delegation"; }

say "a job has a group of its own"
run 'cat /proc/self/cgroup' COMPLETED ok
[ -z "$(fact "$id" limits)" ] || fail "its limits are $(fact "$id" limits)"
[[ $(uwsctl logs "$id") == 0::/*uwsd-$id ]] || fail "it is in $(uwsctl logs "$id")"

tell_endings

say "a job is left alone by restarts, and held by its group after them"
id=$(uwsctl submit 'exec sleep 4321')
await 60 "the job" is_in_phase "$id" EXECUTING
await 10 "its command" pgrep -f '^sleep 4321' >/dev/null
process=$(pgrep -f '^sleep 4321')
for _ in 1 2 3; do systemctl restart uwsd || { systemctl status uwsd; journalctl -n 20 -u uwsd; fail "it does not start again"; }; done
is_in_phase "$id" EXECUTING || fail "it is $(uwsctl phase "$id")"
[ "$(pgrep -f '^sleep 4321')" = "$process" ] || fail "it is another process"
grep -q "$id" "/proc/$process/cgroup" || fail "it is in $(cat /proc/$process/cgroup)"
other=$id
tell_endings
[ -z "$(fact "$id" limits)" ] || fail "after restarts limits are $(fact "$id" limits)"
uwsctl abort "$other" >/dev/null
ends "$other" ABORTED aborted

say "no group of a job is left"
await 10 "the groups to go" bash -c '[ "$(cd /sys/fs/cgroup/system.slice/uwsd-jobs.service && echo */)" = holder/ ]'

say "purged while a job runs, nothing of it is left, and systemd remembers no failure"
id=$(uwsctl submit 'trap "" TERM; while :; do sleep 4321; done')
await 60 "the job" is_in_phase "$id" EXECUTING
await 10 "its command" pgrep -f '^sleep 4321' >/dev/null
apt purge uwsd
! pgrep -f 'sleep 4321' >/dev/null || fail "the job runs on"
left=$(systemctl list-units --no-legend --plain 'uwsd*')
[ -z "$left" ] || fail "systemd remembers units: $left"
await 10 "the groups to go" test ! -e /sys/fs/cgroup/system.slice/uwsd-jobs.service
