# What scripts in the machine do with jobs; to be sourced after lib.sh.

write() { mkdir -p "$(dirname "$1")" && cat >"$1"; }
is_ready() { curl -fsS --max-time 10 http://127.0.0.1:8080/readyz >/dev/null 2>&1; }
is_in_phase() { [ "$(uwsctl phase "$1" 2>/dev/null)" = "$2" ]; }

# A fact of a job, as jobInfo has it: ID NAME
fact() {
    python3 - "$1" "$2" <<'PYTHON'
import sys, urllib.request, xml.etree.ElementTree as tree
job, name = sys.argv[1:]
with urllib.request.urlopen(f"http://127.0.0.1:8080/api/ocps/async/{job}") as answer:
    root = tree.fromstring(answer.read())
found = [element for element in root.iter() if element.tag.split("}")[-1] == name]
print("; ".join("".join(element.itertext()).strip() for element in found) if found else "")
PYTHON
}

# Waits for the end of a job, which must be this one: ID PHASE REASON
ends() {
    uwsctl wait "$1" >/dev/null 2>&1 || true
    local told
    told="$(uwsctl phase "$1") $(fact "$1" reason)"
    [ "$told" = "$2 $3" ] || { uwsctl show "$1"; uwsctl logs "$1" || true; fail "it ended as: $told, not: $2 $3"; }
}

# Submits a command, and waits for its end; its id is then in $id: COMMAND PHASE REASON
run() {
    id=$(uwsctl submit "$1")
    ends "$id" "$2" "$3"
}

# The limits of the service are 64 MiB and 64 processes.
tell_endings() {
    local glutton='x=$(head -c 300000000 /dev/zero | tr "\0" x); echo ${#x}' alive summary
    say "out of memory: the command itself, a child; and other kills are none"
    run "exec sh -c '$glutton'" ERROR oom
    summary=$(fact "$id" errorSummary)
    note "$summary"
    [[ $summary == *'limit of 64.0 MiB'* ]] || fail "the limit is not told"
    peak=$(fact "$id" peakMemory)
    [ "${peak%%[!0-9]*}" -gt $((60 << 20)) ] || fail "the peak is told as: $peak"
    run "($glutton) || exit 7" ERROR oom
    run 'kill -9 $$' ERROR signal

    say "a fork bomb stays within its processes"
    # The inner shell gives up when it can fork no more (bash would try again), and the outer one needs no process to wait on.
    run "sh -c 'i=0; while [ \$i -lt 200 ]; do (echo alive; exec sleep 30) & i=\$((i+1)); done; wait'; exec sleep 1" COMPLETED ok
    alive=$(uwsctl logs "$id" | grep -c '^alive') || uwsctl show "$id"
    note "$alive processes at once, of 64"
    [ "$alive" -le 64 ] && [ "$alive" -ge 20 ] || fail "not bounded"

    say "the peak of a job that used 32 MiB and went on"
    run 'x=$(head -c 16000000 /dev/zero | tr "\0" x); sleep 1; echo ${#x}' COMPLETED ok
    note "peak: $(fact "$id" peakMemory)"
}
