# What is handed to a machine, as its script's line `# Needs: …` says; to be sourced by tests/machine/run. In /hand there are then
#
#   package     uwsd.deb
#   suite       bin/backend, the program of the backend contract suite, and bin/uwsd, the program that it tests
#   image       image.tar, an image for jobs: `docker import /hand/image.tar NAME:TAG`
#   guide:PAGE  PAGE.sh, the command blocks of docs/PAGE.md

hand_in() { # SCRIPT
    local need
    for need in $(sed -n 's/^# Needs: //p' "$1"); do
        case $need in
            package) hand_in_package ;;
            suite) hand_in_suite ;;
            image) packaging/job-image.sh --output "$bed/hand/image.tar" ;;
            guide:*) python3 tests/docs/blocks.py "docs/${need#guide:}.md" >"$bed/hand/${need#guide:}.sh" ;;
            *) fail "$1 needs $need, which is unknown" ;;
        esac
    done
}

hand_in_package() {
    [ ! -f "$bed/hand/uwsd.deb" ] || return 0
    if [ -z "$packages" ]; then
        packages=$bed/packages
        packaging/build-deb.sh --output "$packages" "${build[@]}" >/dev/null
    fi
    local found
    found=$(find "$packages" -name 'uwsd_*.deb' ! -name '*~before_*')
    [ -f "$found" ] || fail "one package is needed in $packages, not: $found"
    cp "$found" "$bed/hand/uwsd.deb"
}

hand_in_suite() {
    [ ! -d "$bed/hand/bin" ] || return 0
    local messages name
    messages=$(cargo test --locked --features test-support --test backend --no-run --message-format=json-render-diagnostics)
    program() { grep -oE "\"executable\":\"[^\"]*/$1\"" <<<"$messages" | cut -d'"' -f4 | tail -n 1 || true; }
    mkdir -p "$bed/hand/bin"
    if [ -n "${UWSD_TEST_WHOLE:-}" ]; then touch "$bed/hand/whole"; fi
    # Without what only debuggers read, which is most of it.
    strip -o "$bed/hand/bin/backend" "$(program 'backend-[0-9a-f]+')"
    strip -o "$bed/hand/bin/uwsd" "$(program uwsd)"
}
