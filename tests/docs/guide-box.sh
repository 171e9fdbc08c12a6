# The host on which a reader of the operator's guide works, and the world around it; runs in the box, before the guide.
#
# What is real: systemd, apt, Docker, Podman, nginx, Apache, certbot, sshd, git. What stands in for something else, since the box has
# no network and the kernel of a test machine may have no NFS:
#   deb.debian.org           a repository of the packages that tests/package/root.sh downloaded, by apt's method `copy:`
#   a registry               the image is there already, under the name that the guide gives it
#   Let's Encrypt            pebble, Debian's ACME server for tests, named to certbot by its cli.ini in the home
#   the DNS, other hosts     /etc/hosts: all of them are this box
#   mount.nfs4               bindfs (FUSE): the guide's line of fstab, `mount` and units are in force, the server is a folder here
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

echo 'deb [trusted=yes] copy:/var/cache/apt/archives ./' >/etc/apt/sources.list
# What packages recommend would triple what has to be downloaded; the guide names what it needs.
echo 'APT::Install-Recommends "false";' >/etc/apt/apt.conf.d/99guide
apt-get -qq update
apt-get -qq install -y bindfs curl docker.io git openssh-client pebble </dev/null >/srv/apt.log 2>&1 || {
    cat /srv/apt.log
    exit 1
}
echo '127.0.0.1 summit.example.org git.example.org nfs.example.org' >>/etc/hosts

# The image of the site, and data that its services mount.
docker load --quiet </packages/image.tar >/dev/null
docker tag uwsd-job:latest ghcr.io/lsst/scipipe:al9-w_2031_10
docker rmi uwsd-job:latest >/dev/null
mkdir -p /data/lsstdata/bin
touch /data/lsstdata/data-repos.yaml
echo 'echo "cutout at $1 $2"' >/data/lsstdata/bin/cutout.sh

# A git server.
git init -q -b main /srv/scripts
echo 'echo "reduced by $(git -C "$JOB_SOURCE_DIR" log -1 --format=%s)"' >/srv/scripts/reduce.sh
git -C /srv/scripts add .
git -C /srv/scripts -c user.name=guide -c user.email=guide@localhost commit -qm "the site's script"
git clone -q --bare /srv/scripts /srv/git/scripts.git
systemd-run --quiet --unit git-server "$(git --exec-path)/git-daemon" --base-path=/srv/git --export-all --listen=127.0.0.1 /srv/git

# The certificate authority. It validates at the real ports, and its root is trusted here as Let's Encrypt's is elsewhere.
mkdir /srv/pebble
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout /srv/pebble/key.pem -out /srv/pebble/cert.pem 2>/dev/null
cat >/srv/pebble/config.json <<'CONFIG'
{ "pebble": { "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "certificate": "/srv/pebble/cert.pem",
  "privateKey": "/srv/pebble/key.pem", "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "" } }
CONFIG
systemd-run --quiet --unit pebble --setenv PEBBLE_VA_NOSLEEP=1 --setenv PEBBLE_WFE_NONCEREJECT=0 pebble -config /srv/pebble/config.json
for _ in $(seq 100); do
    if curl -ksSf https://127.0.0.1:15000/roots/0 >/usr/local/share/ca-certificates/pebble.crt 2>/dev/null; then break; fi
    sleep 0.1
done
update-ca-certificates >/dev/null 2>&1
mkdir -p ~/.config/letsencrypt
printf 'server = https://localhost:14000/dir\nno-verify-ssl = true\nno-random-sleep-on-renew = true\n' >~/.config/letsencrypt/cli.ini

# Keys of the people, and the machine that they come from: this one.
mkdir -p -m 700 ~/.ssh /srv/reader
printf 'StrictHostKeyChecking accept-new\nBatchMode yes\nIdentityFile ~/.ssh/%%r\n' >~/.ssh/config
for person in ada grace; do
    ssh-keygen -q -t ed25519 -N '' -C "$person" -f ~/.ssh/"$person"
    cp ~/.ssh/"$person.pub" /srv/reader/
done

# Podman, where the machine of the test has hybrid cgroups and no CAP_SYS_RESOURCE.
mkdir -p /etc/containers
cat >/etc/containers/containers.conf <<'CONFIG'
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
CONFIG

# The helper that `mount -t nfs4` calls: DEVICE DIR -o OPTIONS. The package nfs-common puts its own beside it.
dpkg-divert --quiet --local --rename --divert /sbin/mount.nfs4.nfs-common --add /sbin/mount.nfs4 2>/dev/null
cat >/sbin/mount.nfs4 <<'HELPER'
#!/bin/sh
[ "$1" = nfs.example.org:/export/uwsd-jobs ] || exit 32
chown uwsd:uwsd /srv/server/export/uwsd-jobs # for its number, as the guide has it done on the server
exec bindfs -o allow_other,fsname="$1" "/srv/server${1#*:}" "$2"
HELPER
chmod +x /sbin/mount.nfs4
mkdir -p /srv/server/export/uwsd-jobs
