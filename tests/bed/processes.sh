# What the scripts here need to know of processes; to be sourced.

# The process whose number stands in the file $1, if it is still ours: a pid is given out again, so its command line must have
# the word $2.
process_of() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 1
    if grep -qszFx -- "$2" "/proc/${pid:-0}/cmdline"; then echo "$pid"; else return 1; fi
}

# A zombie counts as gone: in a container nobody may be there to reap it.
alive() {
    [ -r "/proc/$1/stat" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}
