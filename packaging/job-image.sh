#!/usr/bin/env bash
# Makes a small image for jobs out of this machine's own files: no registry, no download, a few seconds.
#
#   packaging/job-image.sh NAME:TAG [--host unix:///path/docker.sock]
#   packaging/job-image.sh --output FILE.tar          to be imported by hand: docker import FILE.tar NAME:TAG
#
# The image has bash, coreutils, find, grep, sed, awk, tar, gzip and, where this machine has them, git, ps and setsid, with the
# libraries that they need. It suits any uid: nothing in it belongs to anyone but root, and /tmp is open to all.
# The engine (Docker or Podman, by its Docker API) is --host, else DOCKER_HOST, else /var/run/docker.sock.
set -euo pipefail

die() {
    printf 'job-image.sh: %s\n' "$*" >&2
    exit "${code:-1}"
}

usage() {
    code=2 die "usage: job-image.sh NAME:TAG [--host unix:///path/docker.sock] | job-image.sh --output FILE.tar"
}

image='' output='' host=${DOCKER_HOST:-unix:///var/run/docker.sock}
while [ $# -gt 0 ]; do
    case $1 in
        --host) [ $# -ge 2 ] || usage; host=$2; shift ;;
        --output) [ $# -ge 2 ] || usage; output=$2; shift ;;
        -*) usage ;;
        *) [ -z "$image" ] || usage; image=$1 ;;
    esac
    shift
done
if [ -z "$image" ] && [ -z "$output" ]; then usage; fi
if [ -n "$image" ] && [ -n "$output" ]; then usage; fi
# The name goes into a URL as it is, so only what needs no escaping there.
[ -n "$output" ] || [[ $image =~ ^[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9_][A-Za-z0-9._-]*$ ]] || code=2 die "the image must be given as NAME:TAG, not \"$image\""
[ -n "$output" ] || [[ $host = unix:///* ]] || code=2 die "the engine must be a Unix socket (unix:///path/docker.sock), not \"$host\""
socket=${host#unix://}

# A request to the engine: method, path, further arguments of curl.
engine() {
    local method=$1 path=$2
    shift 2
    curl -sS --fail-with-body --unix-socket "$socket" -X "$method" "$@" "http://localhost$path"
}
[ -n "$output" ] || engine GET /_ping --max-time 10 >/dev/null || die "no engine answers at $socket, or this user may not use it"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
trap 'exit 130' INT TERM

# Debian's layout: one /usr, and the old names as links to it.
mkdir -p "$root"/{usr/{bin,sbin,lib,lib64,share},etc,home,proc,root,run,sys,tmp,var/tmp}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
ln -s /run "$root/var/run"
chmod 0755 "$root"
chmod 1777 "$root/tmp" "$root/var/tmp"

# Programs: whole packages' worth, then single ones. The system's own directories first, since PATH may lead to private builds.
packages=(bash coreutils dash findutils grep gzip sed tar)
programs=(cmp diff free getent git hostname kill pgrep ps setsid xargs)
mapfile -t files < <(
    dpkg -L "${packages[@]}" | grep -E '^(/usr)?/bin/[^/]+$'
    for name in "${programs[@]}"; do
        PATH=/usr/bin:/bin type -P "$name" || true
    done
)
for file in "${files[@]}"; do
    # Links stay links when they lead to another program of the same directory, such as sh to dash.
    if [ -L "$file" ] && [[ $(readlink "$file") != */* ]]; then
        cp -P "$file" "$root/usr/bin/"
    elif [ -f "$file" ]; then
        cp -L "$file" "$root/usr/bin/"
    fi
done
[ -x "$root/usr/bin/bash" ] || die "no bash by dpkg: this makes images out of a Debian system only"
cp -L /usr/bin/awk "$root/usr/bin/awk" # by way of /etc/alternatives
if [ -x "$root/usr/bin/git" ] && [ -d /usr/share/git-core/templates ]; then
    # Enough for local repositories. The daemon fetches a job's source, so git's network helpers and their libraries stay out.
    mkdir -p "$root/usr/share/git-core"
    cp -rL /usr/share/git-core/templates "$root/usr/share/git-core/"
    rm -f "$root"/usr/share/git-core/templates/hooks/*
fi

# Libraries and the loader, as ldd names them: "libc.so.6 => /lib/…/libc.so.6 (0x…)" or "/lib64/ld-linux… (0x…)".
mapfile -t libraries < <(
    find "$root/usr/bin" -type f -exec ldd {} + 2>/dev/null | sed -nE 's/^(.*=>)?[[:space:]]+(\/[^ ]+) \(0x.*/\2/p' | sort -u
)
[ ${#libraries[@]} -gt 0 ] || die "ldd names no libraries"
for library in "${libraries[@]}"; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done

cat >"$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
END
cat >"$root/etc/group" <<'END'
root:x:0:
nogroup:x:65534:
END
printf '%s: files\n' passwd group shadow protocols services >"$root/etc/nsswitch.conf"
echo 'hosts: files dns' >>"$root/etc/nsswitch.conf"
grep -E '^(NAME|ID|VERSION_ID|PRETTY_NAME)=' /etc/os-release >"$root/etc/os-release"

# Everything root's, readable by all and with no set-uid bit, whoever runs this and with whatever umask.
find "$root" -mindepth 1 ! -type l ! -path "$root/tmp" ! -path "$root/var/tmp" -exec chmod u-s,g-s,u+rwX,go+rX,go-w {} +

pack() { tar -C "$root" --owner=0 --group=0 --numeric-owner --sort=name -cf - .; }
if [ -n "$output" ]; then
    pack >"$output"
    exit 0
fi

# The answer is a stream of JSON lines whose status is 200 even when the import failed: so look for the image afterwards.
answer=$(
    pack |
        engine POST "/images/create?fromSrc=-&repo=${image%:*}&tag=${image##*:}&changes=CMD%20%5B%22%2Fbin%2Fbash%22%5D" \
            -H 'Content-Type: application/x-tar' -T -
) || die "the engine refused the image: $answer"
if ! engine GET "/images/$image/json" >/dev/null 2>&1; then
    # Podman 4 imports without the name: give it afterwards.
    id=$(grep -oE 'sha256:[0-9a-f]{64}' <<<"$answer" | tail -n 1) || true
    [ -z "$id" ] || engine POST "/images/${id#sha256:}/tag?repo=${image%:*}&tag=${image##*:}" >/dev/null || true
fi
engine GET "/images/$image/json" >/dev/null || die "the engine did not make the image: $answer"
printf '%s (%s)\n' "$image" "$(du -sh "$root" | cut -f1)"
