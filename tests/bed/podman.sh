#!/usr/bin/env bash
# A Podman of the tests' own that answers Docker's API, beside whatever the host has and without touching it.
#
#   tests/bed/podman.sh DIR          starts it, waits until it answers, prints the path of its socket
#   tests/bed/podman.sh --stop DIR   ends it and every container that it still has; DIR's images stay
#
# Everything of it lies in DIR (made if need be): podman.sock, podman.pid, podman.log, its images, its containers, its network
# namespace. As root it is rootful; as another user rootless, for which the user needs ranges in /etc/subuid and /etc/subgid.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

die() {
    printf 'podman.sh: %s\n' "$*" >&2
    exit "${code:-1}"
}

usage() {
    code=2 die "usage: podman.sh DIR | podman.sh --stop DIR"
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

deed=start dir=''
while [ $# -gt 0 ]; do
    case $1 in
        --stop) deed=stop ;;
        -*) usage ;;
        *) [ -z "$dir" ] || usage; dir=$1 ;;
    esac
    shift
done
[ -n "$dir" ] || usage
if [ "$deed" = start ]; then mkdir -p "$dir"; fi
dir=$(cd "$dir" && pwd -P)
# Podman makes sockets of its own below the directory, and a socket's path ends at 107 bytes.
[ ${#dir} -le 60 ] || code=2 die "$dir is too long a path for sockets in it"

# The tests' own settings, and none of the host's.
export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf CONTAINERS_REGISTRIES_CONF=$dir/registries.conf
export XDG_RUNTIME_DIR=$dir/xdg
unset CONTAINER_HOST CONTAINER_CONNECTION DOCKER_HOST

pid_of() {
    process_of "$dir/podman.pid" "unix://$dir/podman.sock"
}

# The monitors of this Podman's containers; they name its directory in their arguments.
monitors() {
    local proc
    for proc in /proc/[0-9]*; do
        if grep -qs '^conmon$' "$proc/comm" && grep -qszF -- "$dir/" "$proc/cmdline"; then
            echo "${proc#/proc/}"
        fi
    done
}

stop_engine() {
    local pid i mount
    if pid=$(pid_of); then
        # What its API would leave running: its containers know no daemon whose end would be theirs.
        for ((i = 0; i < 3; i++)); do
            in_its_network "$pid" timeout 30 podman rm --all --force --time 0 --volumes >/dev/null 2>&1 && break
        done
        kill -TERM "$pid" 2>/dev/null || true
        for ((i = 0; i < 100; i++)); do alive "$pid" || break; sleep 0.1; done
        if alive "$pid"; then kill -KILL "$pid" 2>/dev/null || true; fi
    fi
    for pid in $(monitors); do
        cat "/proc/$pid/task/"*/children 2>/dev/null | tr ' ' '\n' | while read -r container; do
            kill -KILL "$container" 2>/dev/null || true
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    if [ "$(id -u)" = 0 ]; then
        # Deepest mount first; the kernel writes a space in a path as \040.
        awk -v dir="${dir// /\\\\040}/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do
            umount -l "$(printf '%b' "${mount//\\0/\\00}")" 2>/dev/null || true
        done
    fi
    rm -rf "$dir"/{podman.pid,podman.sock,run,tmp}
}

in_its_network() {
    local pid=$1
    shift
    if [ "$(id -u)" = 0 ]; then nsenter --net="/proc/$pid/ns/net" -- "$@"; else "$@"; fi
}

if [ "$deed" = stop ]; then
    stop_engine
    exit 0
fi

pid_of >/dev/null && die "a Podman runs in $dir already"
for tool in podman conmon runc curl unshare ip docker-init; do
    command -v "$tool" >/dev/null || die "$tool is missing: apt-get install podman conmon runc docker.io curl util-linux iproute2"
done
stop_engine # what one that was killed left behind
chmod 0711 "$dir"
mkdir -p -m 0700 "$dir/xdg"

# overlay where an overlay can be mounted on this disk (not on another overlay, for one), else plain copies.
driver=vfs
if [ "$(id -u)" = 0 ]; then
    rm -rf "$dir/probe"
    mkdir -p "$dir"/probe/{lower,upper,work,merged}
    if (cd "$dir/probe" && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged) 2>/dev/null; then
        umount "$dir/probe/merged"
        driver=overlay
    fi
    rm -rf "$dir/probe"
fi

# runc, since crun refuses hybrid cgroups; ulimits that also a root without CAP_SYS_RESOURCE may set; an init that is there
# (Podman's own, catatonit, is only recommended by its package).
cat >"$dir/containers.conf" <<END
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
init_path = "$(command -v docker-init)"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
init_path = "$(command -v docker-init)"
static_dir = "$dir/store/libpod"
tmp_dir = "$dir/tmp"
volume_path = "$dir/store/volumes"
[network]
network_config_dir = "$dir/networks"
END
cat >"$dir/storage.conf" <<END
[storage]
driver = "$driver"
graphroot = "$dir/store"
runroot = "$dir/run"
rootless_storage_path = "$dir/store"
END
# Registries of tests speak plain http.
cat >"$dir/registries.conf" <<END
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "127.0.0.1"
insecure = true
END

# A network namespace of its own, as the tests' dockerd has; a rootless one has its own in any case.
before=(sh -c 'exec "$@"' sh)
if [ "$(id -u)" = 0 ]; then before=(unshare --net -- sh -c 'ip link set lo up; exec "$@"' sh); fi
cd "$dir" # conmon leaves a file where it was started when a container is out of memory
setsid "${before[@]}" podman --log-level=info system service --time 0 "unix://$dir/podman.sock" \
    </dev/null >>"$dir/podman.log" 2>&1 &
pid=$!
echo "$pid" >"$dir/podman.pid"
for ((i = 0; i < 300; i++)); do
    if curl -fsS --max-time 5 --unix-socket "$dir/podman.sock" http://localhost/_ping >/dev/null 2>&1; then
        printf '%s\n' "$dir/podman.sock"
        exit 0
    fi
    alive "$pid" || break
    sleep 0.1
done
tail -n 20 "$dir/podman.log" | sed 's/^/  podman: /' >&2
stop_engine
die "Podman did not answer; the whole log is $dir/podman.log"
