# Outputs on a real NFS with root_squash: the operator's guide, docs/storage.md, block by block, and what it promises.
# Needs: package image guide:storage
# Limit: 420
. /hand/lib.sh
. /hand/jobs.sh

say "a server of NFS 4.2 for this host, where root is nobody"
systemctl start docker
docker import /hand/image.tar uwsd-job:latest >/dev/null
apt install /hand/uwsd.deb
write /etc/uwsd/conf.d/jobs.toml <<'END_OF_FILE'
[service.ocps]
image = "uwsd-job:latest"
pull = "never"
END_OF_FILE
systemctl restart uwsd
await 60 "the daemon to be ready" is_ready
run 'echo before > $JOB_OUTPUT_DIR/before.txt' COMPLETED ok
before=$id

echo '127.0.0.1 nfs.example.org summit.example.org' >>/etc/hosts
# As the guide says of the server.
echo '/export/uwsd-jobs summit.example.org(rw,sync,no_subtree_check,root_squash)' >/etc/exports
install -d -m 711 -o uwsd -g uwsd /export/uwsd-jobs
# After a start it waits for the clients that it had, by default for 90 s.
write /etc/nfs.conf.d/test.conf <<<$'[nfsd]\ngrace-time=10\nlease-time=10'
systemctl start nfs-server
exportfs -v

say "the guide's blocks, up to the way back"
python3 - <<'PYTHON'
text = open("/hand/storage.sh").read()
parts = text.split("block='")
# The last block leads back to the local disk; between the two, this test looks at what there is.
head, blocks = parts[0], parts[1:]
assert "uwsd drain" in blocks[-1] and "cp -ru" in blocks[-1], blocks[-1]
open("there.sh", "w").write("block='".join([head] + blocks[:-1]))
open("back.sh", "w").write("block='".join([head] + blocks[-1:]))
PYTHON
bash there.sh
mount | grep ' /srv/uwsd-jobs ' | grep -E 'type nfs4 .*vers=4' || fail "it is not NFS 4"
! touch /srv/uwsd-jobs/probe 2>/dev/null || fail "root is not nobody there"

say "doctor and check, on NFS"
uwsd doctor >/tmp/doctor || { cat /tmp/doctor; fail "doctor finds something wrong"; }
cat /tmp/doctor
[ "$(uwsctl get "$before" before.txt -o -)" = before ] || fail "what was copied is not served"
output=$(find /export/uwsd-jobs -name night.txt)
[ "$(stat --format %U "$output")" = uwsd ] || fail "the output is $(stat --format %U "$output")'s"

say "jobs there: a failing one, one that is ended, one over a restart, and its files removed"
run 'echo partial > $JOB_OUTPUT_DIR/partial.txt; exit 3' ERROR nonzero
[ "$(uwsctl get "$id" partial.txt -o -)" = partial ] || fail "its partial result is not served"
id=$(uwsctl submit 'echo $$ > $JOB_OUTPUT_DIR/pid; sleep 20; echo done > $JOB_OUTPUT_DIR/late.txt')
await 60 "the job" is_in_phase "$id" EXECUTING
systemctl restart uwsd
ends "$id" COMPLETED ok
[ "$(uwsctl get "$id" late.txt -o -)" = done ] || fail "its result is not served"
uwsctl delete "$id" >/dev/null
await 30 "its files to be removed" test ! -e "/export/uwsd-jobs/$id"

say "the database is refused there"
install -d -o uwsd -g uwsd /export/uwsd-jobs/store
! runuser -u uwsd -- uwsd serve --state-dir /srv/uwsd-jobs/store --listen 127.0.0.1:9999 --config /dev/null >/tmp/refused 2>&1 || fail "it started"
grep -iE 'nfs|network' /tmp/refused || { cat /tmp/refused; fail "it does not say why"; }

say "the server is away for a while: jobs wait, the daemon answers, nothing is lost"
id=$(uwsctl submit 'sleep 2; echo through > $JOB_OUTPUT_DIR/through.txt')
await 60 "the job" is_in_phase "$id" EXECUTING
systemctl stop nfs-server
curl -fsS --max-time 10 http://127.0.0.1:8080/api/v1/job >/dev/null || fail "the list is not answered"
sleep 5
is_in_phase "$id" EXECUTING || note "meanwhile it is $(uwsctl phase "$id")"
systemctl start nfs-server
ends "$id" COMPLETED ok
[ "$(uwsctl get "$id" through.txt -o -)" = through ] || fail "its result is not served"

say "the guide's way back to the local disk"
bash back.sh
[ "$(uwsctl get "$id" through.txt -o -)" = through ] || fail "its result did not come along"
