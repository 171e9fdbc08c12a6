#!/usr/bin/env bash
# Makes the root directory of a Debian with systemd and, in apt's cache, what is installed there later without a network.
#
#   tests/package/root.sh SUITE DIR
#
# As root. Made once: a DIR that is there is left as it is; remove it for a newer one.
set -euo pipefail

suite=$1 dir=$2
[ ! -d "$dir" ] || exit 0
part=$dir.part
rm -rf --one-file-system "$part"
mkdir -p "$(dirname "$part")"
log=$part.log
{
    debootstrap --variant=minbase --include=ca-certificates,dbus,iproute2,procps,systemd,systemd-sysv "$suite" "$part" \
        http://deb.debian.org/debian &&
        chroot "$part" apt-get -q -y -o Acquire::Retries=3 update &&
        chroot "$part" apt-get -q -y -o Acquire::Retries=3 --download-only install bubblewrap docker.io git iptables
} >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    echo "root.sh: no root of $suite" >&2
    exit 1
}
rm "$log"
mv "$part" "$dir"
