# What scripts in the machine have in common; to be sourced: `. /hand/lib.sh`. /hand is what the test handed in, read-only.
set -Eeuo pipefail
trap 'echo "FAILED: $BASH_COMMAND (line $LINENO of ${BASH_SOURCE[0]})"' ERR

. /hand/words.sh

# With the seconds since the machine's start.
say() { printf '\n== %s (at %s s)\n' "$*" "$(cut -d. -f1 /proc/uptime)"; }

# apt-get, without a network: out of the cache. Its words only matter when it fails.
apt() {
    apt-get -q -y --no-install-recommends "$@" </dev/null >/tmp/apt.log 2>&1 || {
        cat /tmp/apt.log
        fail "apt-get $*"
    }
}
