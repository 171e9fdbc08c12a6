# What scripts of tests say, and how they wait; to be sourced.

say() { printf '\n== %s\n' "$*"; }
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
