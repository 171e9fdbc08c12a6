#!/usr/bin/env bash
# Runs every command block of the operator's guide in a Debian 12 with a systemd of its own, as a reader would, and then looks whether
# what it promises is there: the proxies' links, certificates, tunnels, files, and the messages that its page of symptoms quotes.
#
#   tests/docs/operators-guide.sh [--packages DIR]
#
# DIR has the package uwsd_V_ARCH.deb and one of the version V~before; else both are built. As root, on Debian 12 or 13. How a systemd
# boots in a container: tests/package/README.md; what stands in for the world around it: guide-box.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/package/boxes.sh
. tests/package/life.sh
. tests/docs/guide-symptoms.sh
exec </dev/null

packages=''
case ${1:-} in
    '') ;;
    --packages) packages=$(realpath "$2") ;;
    *) echo "usage: tests/docs/operators-guide.sh [--packages DIR]" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "must run as root"

pages=(operating engines access storage maintenance troubleshooting)
bed=$(mktemp -d)
box='' started=$SECONDS
end() {
    local code=$?
    trap - EXIT INT TERM
    if [ "$code" != 0 ] && [ -n "$box" ]; then
        say "what $box says"
        in_box sh -c 'systemctl --no-pager --failed; journalctl --no-pager --unit uwsd --lines 40' 2>&1 | tail -n 60 || true
    fi
    if [ -d "$bed/docker" ]; then
        docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null || code=1
        tests/bed/dockerd.sh --stop "$bed/docker" || code=1
    fi
    rm -rf --one-file-system "$bed" || code=1
    exit "$code"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "every message that the guide quotes is one of the program's"
python3 tests/docs/messages.py src $(printf "docs/%s.md " "${pages[@]}")

say "packages that the test needs"
tests/bed/packages.sh curl debootstrap docker.io dpkg-dev iproute2 python3 runc util-linux
mkdir "$bed/packages"
if [ -n "$packages" ]; then
    cp "$packages"/uwsd_*.deb "$bed/packages/"
else
    tests/bed/packages.sh debhelper man-db
    package=$(packaging/build-deb.sh --output "$bed/packages")
    tests/package/before.sh "$package" >/dev/null
fi
packages=$bed/packages
before=$(find "$packages" -name 'uwsd_*~before_*.deb')
package=$(find "$packages" -name 'uwsd_*.deb' ! -name '*~before_*')
{ [ -f "$before" ] && [ -f "$package" ]; } || fail "two packages are needed: $(ls "$packages")"

say "a Debian 12 with the world around it"
roots=${CARGO_TARGET_DIR:-target}/test-roots
tests/package/root.sh bookworm "$roots/bookworm"
mkdir "$bed/docker"
DOCKER_HOST=unix://$(tests/bed/dockerd.sh "$bed/docker")
export DOCKER_HOST
packaging/job-image.sh uwsd-job:latest --host "$DOCKER_HOST"
docker save uwsd-job:latest >"$packages/image.tar"
tar -C "$roots/bookworm" -cf - . | docker import - uwsd-bookworm:latest >/dev/null
boot summit uwsd-bookworm:latest --device /dev/fuse --volume /var/lib/containers
in_box bash <tests/docs/guide-box.sh

# A page is one shell of a reader who has the newest package in the current folder; the first install is of the older one.
read_page() { # NAME
    say "docs/$1.md"
    python3 tests/docs/blocks.py "docs/$1.md" >"$bed/$1.sh"
    { echo 'cd /srv/reader; export DEBIAN_FRONTEND=noninteractive'; cat "$bed/$1.sh"; } | write "/srv/$1.sh"
    local code=0
    in_box bash "/srv/$1.sh" >"$bed/said" 2>&1 || code=$?
    cat "$bed/said" >>"$bed/all"
    if [ $code != 0 ]; then
        tail -n 40 "$bed/said"
        fail "docs/$1.md"
    fi
    note "$(tail -n 1 "$bed/said"), at $((SECONDS - started)) s"
    "promised_by_$1"
}

# What the reader of this page is promised to see.
saw() {
    grep -qF -- "$1" "$bed/said" || { cat "$bed/said"; fail "the commands never printed: $1"; }
}
saw_no() {
    ! grep -qF -- "$1" "$bed/said" || { cat "$bed/said"; fail "the commands printed: $1"; }
}

. tests/docs/guide-promises.sh

in_box cp "/packages/${before##*/}" /srv/reader/
for page in "${pages[@]}"; do
    if [ "$page" = maintenance ]; then
        in_box sh -c 'rm /srv/reader/uwsd_*.deb && cp "/packages/$1" /srv/reader/' sh "${package##*/}"
    fi
    read_page "$page"
done
box_shows_symptoms
say "passed: the operator's guide, in $((SECONDS - started)) s"
