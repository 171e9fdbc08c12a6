#!/usr/bin/env bash
# A Docker Engine of the tests' own, beside whatever engine the host has and without touching it.
#
#   tests/bed/dockerd.sh DIR [--group NAME|GID]   starts it, waits until it answers, prints the path of its socket
#   tests/bed/dockerd.sh --stop DIR               ends it and everything that it still runs; DIR's files stay
#   tests/bed/dockerd.sh --crash DIR              kills dockerd alone, as a crash of it would
#   tests/bed/dockerd.sh --power-off DIR          kills it and everything that it runs at once, as a loss of power would
#   tests/bed/dockerd.sh --again DIR              starts dockerd again beside what --crash left
#
# Everything of it lies in DIR (made if need be): docker.sock, dockerd.pid, dockerd.log, its data and its own containerd.
# Started again on the same DIR, it finds its images and containers again. What DIR/dockerd.conf says holds, if it is there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

die() {
    printf 'dockerd.sh: %s\n' "$*" >&2
    exit "${code:-1}"
}

usage() {
    code=2 die "usage: dockerd.sh DIR [--group NAME|GID] | dockerd.sh --stop|--crash|--power-off|--again DIR"
}

# dockerd, containerd and iptables live in sbin, which an ordinary user's PATH lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

deed=start group='' dir=''
while [ $# -gt 0 ]; do
    case $1 in
        --stop | --crash | --power-off | --again) deed=${1#--} ;;
        --group) [ $# -ge 2 ] || usage; group=$2; shift ;;
        -*) usage ;;
        *) [ -z "$dir" ] || usage; dir=$1 ;;
    esac
    shift
done
[ -n "$dir" ] || usage
[ "$(id -u)" = 0 ] || code=2 die "must run as root"
if [ "$deed" = start ]; then mkdir -p "$dir"; fi
dir=$(cd "$dir" && pwd -P)
# A Unix socket's path ends at 107 bytes; the longest here is DIR/containerd.sock.ttrpc.
[ ${#dir} -le 80 ] || code=2 die "$dir is too long a path for sockets in it"

# The process in DIR/$1.pid; its command line names this DIR.
pid_of() {
    process_of "$dir/$1.pid" "$dir/$1.conf"
}

# Ends the process in DIR/$1.pid: TERM, and after $2 seconds KILL; KILL at once if that is 0.
end() {
    local pid i
    pid=$(pid_of "$1") || return 0
    if [ "$2" != 0 ]; then kill -TERM "$pid" 2>/dev/null || true; fi
    for ((i = 0; i < $2 * 10; i++)); do
        alive "$pid" || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    while alive "$pid"; do sleep 0.1; done
}

# The containerd-shims of this engine; they name its containerd's socket in their arguments.
shims() {
    local proc
    for proc in /proc/[0-9]*; do
        if grep -qs '^containerd-shim' "$proc/comm" &&
            grep -qszFx -- "$dir/containerd.sock" "$proc/cmdline"; then
            echo "${proc#/proc/}"
        fi
    done
}

# $1 and $2: how many seconds dockerd and containerd have to end by themselves.
stop_engine() {
    local pid container mount
    end dockerd "$1"
    # What is left after a dockerd that was killed: containers (children of their shims) first, so that none is orphaned.
    for pid in $(shims); do
        cat "/proc/$pid/task/"*/children 2>/dev/null | tr ' ' '\n' | while read -r container; do
            kill -KILL "$container" 2>/dev/null || true
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    end containerd "$2"
    # Deepest mount first; the kernel writes a space in a path as \040.
    awk -v dir="${dir// /\\\\040}/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do
        umount -l "$(printf '%b' "${mount//\\0/\\00}")" 2>/dev/null || true
    done
    rm -f "$dir"/{dockerd,containerd}.pid "$dir"/{docker,containerd}.sock "$dir/containerd.sock.ttrpc"
}

case $deed in
    stop) stop_engine 25 10; exit 0 ;;
    power-off) stop_engine 0 0; exit 0 ;;
    crash) end dockerd 0; rm -f "$dir/dockerd.pid"; exit 0 ;; # a pid file would keep it from starting while nobody reaps it
esac

pid_of dockerd >/dev/null && die "an engine runs in $dir already"
for tool in dockerd containerd runc curl unshare ip; do
    command -v "$tool" >/dev/null || die "$tool is missing: apt-get install docker.io curl util-linux iproute2"
done
if [ "$deed" = start ]; then stop_engine 25 10; fi # what an engine that was killed left behind
chmod 0711 "$dir" # others may pass through to the socket, if its group lets them

# overlay2 where an overlay can be mounted on this disk (not on another overlay, for one), else plain copies.
driver=vfs
rm -rf "$dir/probe"
mkdir -p "$dir"/probe/{lower,upper,work,merged}
if (cd "$dir/probe" && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged) 2>/dev/null; then
    umount "$dir/probe/merged"
    driver=overlay2
fi
rm -rf "$dir/probe"

# A containerd of its own: given none, dockerd would use the host's where one runs.
cat >"$dir/containerd.conf" <<END
version = 2
root = "$dir/containerd"
state = "$dir/containerd-run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$dir/containerd-opt"
END
# A configuration of its own, so that the host's /etc/docker/daemon.json is not read.
[ -f "$dir/dockerd.conf" ] || echo '{}' >"$dir/dockerd.conf"

fail() {
    tail -n 20 "$dir/$1.log" | sed "s/^/  $1: /" >&2 || true
    kill -KILL "$pid" 2>/dev/null || true
    stop_engine 25 10
    die "$2; the whole log is $dir/$1.log"
}

# Waits until command $2… succeeds while the process $pid of log $1 lives.
await() {
    local what=$1 i
    shift
    for ((i = 0; i < 600; i++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        alive "$pid" || fail "$what" "$what ended while starting"
        sleep 0.1
    done
    fail "$what" "$what did not answer within 60 s"
}

# Sessions of their own, so that Ctrl-C in a terminal reaches the caller and not them: the caller stops them in order.
if ! pid_of containerd >/dev/null; then
    setsid containerd --config "$dir/containerd.conf" </dev/null >>"$dir/containerd.log" 2>&1 &
    pid=$!
    echo "$pid" >"$dir/containerd.pid"
    await containerd test -S "$dir/containerd.sock"
fi

# A network namespace of its own: a second dockerd beside the host's would delete the first one's docker0 bridge.
# (`ip netns exec` would hide the cgroups.) dockerd writes its own pid file.
options=(--config-file "$dir/dockerd.conf" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid"
    --host "unix://$dir/docker.sock" --containerd "$dir/containerd.sock" --storage-driver "$driver")
if [ -n "$group" ]; then options+=(--group "$group"); fi
setsid unshare --net -- sh -c 'ip link set lo up; exec dockerd "$@"' sh "${options[@]}" \
    </dev/null >>"$dir/dockerd.log" 2>&1 &
pid=$!
await dockerd curl -fsS --max-time 5 --unix-socket "$dir/docker.sock" http://localhost/_ping
printf '%s\n' "$dir/docker.sock"
