#!/usr/bin/env bash
# Makes the Debian package uwsd_VERSION_ARCH.deb, on Debian 12 or 13 with a Rust toolchain, as any user.
#
#   packaging/build-deb.sh [--version VERSION] [--output DIR] [--skip-build]
#
#   --version     the package's version; else that of Cargo.toml
#   --output      where the package goes; else target/debian
#   --skip-build  take the programs and manual pages that were built before
#
# Prints the path of the package. debhelper and lintian's like are installed where they are missing, for which an ordinary user
# needs sudo. A package runs on the release that it was built on and later ones: build it on the oldest.
# DEBFULLNAME and DEBEMAIL name its maintainer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
    printf 'build-deb.sh: %s\n' "$*" >&2
    exit "${code:-1}"
}

usage() {
    code=2 die "usage: build-deb.sh [--version VERSION] [--output DIR] [--skip-build]"
}

version=$(sed -nE '/^\[package\]/,/^\[dep/s/^version = "(.*)"$/\1/p' Cargo.toml)
target=${CARGO_TARGET_DIR:-target} output='' build=true
while [ $# -gt 0 ]; do
    case $1 in
        --version) [ $# -ge 2 ] || usage; version=$2; shift ;;
        --output) [ $# -ge 2 ] || usage; output=$2; shift ;;
        --skip-build) build=false ;;
        *) usage ;;
    esac
    shift
done
[[ $version =~ ^[0-9][A-Za-z0-9.+~-]*$ ]] || code=2 die "\"$version\" is no version of a package"
output=${output:-$target/debian}
mkdir -p "$output"
output=$(cd "$output" && pwd)

tests/bed/packages.sh debhelper dpkg-dev gcc libc6-dev man-db >&2
if $build; then
    cargo build --locked --release >&2
    # With the library as the tests have it, so that it is built once for both.
    cargo run --locked --features test-support --example manual -- "$target/manual" >&2
fi
for file in "$target"/release/{uwsd,uwsctl} "$target/manual/uwsd.8"; do
    [ -f "$file" ] || die "$file is missing: start again without --skip-build"
done
# A build for tests dies where a variable of the environment says so.
for file in "$target"/release/{uwsd,uwsctl}; do
    ! grep -aq UWSD_TEST_CRASH "$file" ||
        die "$file was built with the feature test-support, which is for tests: start again without --skip-build"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
tree=$work/uwsd
mkdir -p "$tree"/{bin,man,completions/bash,systemd,docs,monitoring}
cp "$target"/release/{uwsd,uwsctl} "$tree/bin/"
cp "$target"/manual/{uwsd.8,uwsctl.1,uwsd.toml.5} "$tree/man/"
cp "$target"/manual/{_uwsd,_uwsctl,uwsd.fish,uwsctl.fish} "$tree/completions/"
for name in uwsd uwsctl; do cp "$target/manual/$name.bash" "$tree/completions/bash/$name"; done
cp systemd/*.conf "$tree/systemd/"
cp packaging/prometheus/uwsd.rules.yml "$tree/monitoring/"
# Only Grafana reads it there: without the space between its parts it is half as large.
sed 's/^ *//' packaging/grafana/uwsd.json | tr -d '\n' >"$tree/monitoring/uwsd.json"
cp README.md "$tree/"
cp docs/*.md "$tree/docs/"

# A page with mistakes is shown all the same, and looks it.
for page in "$tree"/man/*; do
    warnings=$(man --warnings=w -E UTF-8 -l "$page" 2>&1 >/dev/null)
    [ -z "$warnings" ] || die "$page: $warnings"
done

# The units, where debhelper looks for them; what bounds an instance is what bounds the first.
cp -r packaging/debian "$tree/debian"
sandbox() { sed -n '/^# Sandbox/,/^\[Install\]/p' "$1"; }
if [ -z "$(sandbox systemd/uwsd.service)" ] || [ "$(sandbox systemd/uwsd.service)" != "$(sandbox systemd/uwsd@.service)" ]; then
    die "the sandboxes of systemd/uwsd.service and systemd/uwsd@.service differ"
fi
cp systemd/uwsd.socket systemd/uwsd.service systemd/uwsd.sysusers systemd/uwsd.tmpfiles "$tree/debian/"
cp systemd/uwsd@.service "$tree/debian/uwsd@.service"
cp systemd/uwsd-jobs.service "$tree/debian/uwsd.uwsd-jobs.service"

# The sample, with two keys in force so that commands of root find the daemon.
sed -e 's|^#state_dir = ""$|state_dir = "/var/lib/uwsd"|' \
    -e 's|^#admin_socket = ""$|admin_socket = "/run/uwsd/uwsd.sock"|' \
    -e 's|^#\[\[server\.listener\]\]$|# In this package systemd listens: "systemctl edit uwsd.socket" is the place for another port.\n&|' \
    config/uwsd.toml >"$tree/uwsd.toml"
set_keys=$(grep -vE '^(#|\[|$)' "$tree/uwsd.toml")
[ "$set_keys" = $'state_dir = "/var/lib/uwsd"\nadmin_socket = "/run/uwsd/uwsd.sock"' ] ||
    die "config/uwsd.toml is not what is expected; these keys would be in force: $set_keys"
grep -q '^# In this package systemd listens' "$tree/uwsd.toml" || die "config/uwsd.toml has no [[server.listener]]"

# debian/changelog, from the newest part of CHANGELOG.md.
maintainer="${DEBFULLNAME:-uwsd developers} <${DEBEMAIL:-uwsd@packages.invalid}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
{
    printf 'uwsd (%s) unstable; urgency=medium\n\n' "$version"
    # The items of the first section: "- " begins one, what is indented goes on with it. No line, with the indentation that
    # a folded one gets, is longer than 80.
    awk '/^## / { if (seen++) exit } seen && /^- / { print "  *" substr($0, 2) } seen && /^  / { print "  " $0 }' CHANGELOG.md | fold -s -w 76 |
        sed -E 's/^([^ ])/    \1/; s/ +$//'
    printf '\n -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -R -u -d "@$SOURCE_DATE_EPOCH")"
} >"$tree/debian/changelog"
license=$(sed -e '1,/^Copyright/d' -e 's/^$/./' -e 's/^/ /' LICENSE-MIT | sed 1d)
copyright=$(sed -n 's/^Copyright (c) //p' LICENSE-MIT)
awk -v license="$license" -v holders="$copyright" '
    $0 == "@MIT@" { print license; next }
    /^Copyright: / { print "Copyright: " holders; next }
    { print }' packaging/debian/copyright >"$tree/debian/copyright"
sed -i "s|@MAINTAINER@|$maintainer|" "$tree/debian/control"

(cd "$tree" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps) >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    die "dpkg-buildpackage failed"
}
package=$(cd "$work" && echo uwsd_*.deb)
cp "$work/$package" "$output/"
printf '%s\n' "$output/$package"
