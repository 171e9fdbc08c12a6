#!/usr/bin/env bash
# Installs the Debian packages given, those that are missing only; says nothing and asks nothing when all are there.
#
#   tests/bed/packages.sh PACKAGE...
#
# As root, or with sudo for apt-get alone. Exit 2 when packages are missing and cannot be installed from here.
set -euo pipefail

missing=()
for package in "$@"; do
    # A package that was removed but left its configuration still has an entry, so the state matters.
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || true
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
for tool in apt-get "${as_root[@]}"; do
    command -v "$tool" >/dev/null || {
        printf 'missing packages: %s\nno %s here: install them by hand, and start again\n' "${missing[*]}" "$tool" >&2
        exit 2
    }
done

printf 'installing: %s\n' "${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# apt-get's own words only matter when it fails. Another apt (a machine's first boot) may hold the lock for a while.
quietly() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null >"$log" 2>&1 || {
        cat "$log" >&2
        printf 'apt-get %s failed\n' "$*" >&2
        exit 2
    }
}
quietly update
quietly install -y --no-install-recommends "${missing[@]}"
