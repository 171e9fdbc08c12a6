#!/usr/bin/env bash
# Makes of a package the one of the version before it, V~before, with another /etc/uwsd/uwsd.toml: a comment line that the new one lacks,
# so that an upgrade meets a configuration file that has changed.
#
#   tests/package/before.sh PACKAGE
#
# The result lies beside PACKAGE; its path is printed. The programs are the same ones.
set -euo pipefail

package=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dpkg-deb --raw-extract "$package" "$work/tree"
version=$(dpkg-deb --field "$package" Version)
sed -i "s/^Version: .*/Version: $version~before/" "$work/tree/DEBIAN/control"
echo '# This line is of the version before.' >>"$work/tree/etc/uwsd/uwsd.toml"
# What a configuration file is checked by is dpkg's own note of the installed one, never md5sums.
if grep etc/uwsd "$work/tree/DEBIAN/md5sums" >&2; then exit 1; fi
grep -qx /etc/uwsd/uwsd.toml "$work/tree/DEBIAN/conffiles"
before=$(dirname "$package")/uwsd_$version~before_$(dpkg-deb --field "$package" Architecture).deb
dpkg-deb --root-owner-group -Zgzip --build "$work/tree" "$before" >/dev/null
printf '%s\n' "$before"
