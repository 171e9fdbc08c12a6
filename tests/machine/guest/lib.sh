# What scripts in the machine have in common; to be sourced: `. /hand/lib.sh`. /hand is what the test handed in, read-only.
set -Eeuo pipefail
trap 'echo "FAILED: $BASH_COMMAND (line $LINENO of ${BASH_SOURCE[0]})"' ERR

# With the seconds since the machine's start.
say() { printf '\n== %s (at %s s)\n' "$*" "$(cut -d. -f1 /proc/uptime)"; }
note() { printf '   %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Until a condition is true: SECONDS WHAT COMMAND…
await() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "waited for $what in vain"
        sleep 0.1
    done
}

# apt-get, without a network: out of the cache. Its words only matter when it fails.
apt() {
    apt-get -q -y --no-install-recommends "$@" </dev/null >/tmp/apt.log 2>&1 || {
        cat /tmp/apt.log
        fail "apt-get $*"
    }
}
