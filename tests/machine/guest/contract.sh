# The backend contract suite with cgroup version 2: on Docker with its systemd driver, which is Debian's there, and on bubblewrap; as
# root and as an ordinary user in the group docker.
# Needs: suite image
# Limit: 900
. /hand/lib.sh

say "an engine with the systemd driver"
systemctl start docker
docker import /hand/image.tar uwsd-test:latest >/dev/null
[ "$(docker info --format '{{.CgroupDriver}} {{.CgroupVersion}}')" = "systemd 2" ] || fail "$(docker info)"
install -m 0755 /hand/bin/{backend,uwsd} /srv/
export UWSD_TEST_DOCKER=unix:///run/docker.sock UWSD_TEST_IMAGE=uwsd-test:latest UWSD_TEST_UWSD=/srv/uwsd RUST_BACKTRACE=0

say "the suite, as root"
/srv/backend "$@" --nocapture || true

say "the suite, as an ordinary user in the group docker"
useradd --create-home --groups docker reader
cd /home/reader
runuser -u reader -- /srv/backend --nocapture
