#!/usr/bin/env bash
# Makes the root directory of a Debian with systemd and, in apt's cache, what is installed there later without a network.
#
#   tests/package/root.sh SUITE DIR
#
# As root. Made once: a DIR that is there only gets what this script downloads now and did not then; remove it for newer ones.
# The apt cache is a repository (its Packages lists all of it), for those who install out of it by `copy:`.
set -euo pipefail

suite=$1 dir=$2
packages=(bubblewrap docker.io git iptables)
# What the operator's guide installs or its test needs (tests/docs/operators-guide.sh), without what these only recommend.
guide=()
if [ "$suite" = bookworm ]; then
    guide=(apache2 apache2-utils apt-utils bindfs catatonit certbot curl nfs-common nginx-light openssh-client openssh-server pebble
        podman python3-certbot-apache python3-certbot-nginx)
fi
wanted="${packages[*]} ${guide[*]}"
stamp=$dir.packages
if [ -d "$dir" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

mkdir -p "$(dirname "$dir")"
log=$dir.log part=$dir.part
# Whatever apt-get is given, in the root $1.
get() {
    local root=$1
    shift
    chroot "$root" apt-get -q -y -o Acquire::Retries=3 "$@"
}
download() {
    get "$1" update && get "$1" --download-only install "${packages[@]}" &&
        { [ ${#guide[@]} = 0 ] || get "$1" --download-only --no-install-recommends install "${guide[@]}"; } &&
        (cd "$1/var/cache/apt/archives" && dpkg-scanpackages --multiversion . >Packages)
}
make() {
    if [ ! -d "$dir" ]; then
        rm -rf --one-file-system "$part"
        debootstrap --variant=minbase --include=ca-certificates,dbus,iproute2,procps,systemd,systemd-sysv "$suite" "$part" \
            http://deb.debian.org/debian || return
        download "$part" && mv "$part" "$dir"
    else
        download "$dir"
    fi
}
make >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    echo "root.sh: no root of $suite" >&2
    exit 1
}
rm "$log"
printf '%s\n' "$wanted" >"$stamp"
