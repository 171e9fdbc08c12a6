# What is in the package, without a system to install it on.

content() { # PACKAGE
    local tree=$bed/tree page
    dpkg-deb --extract "$1" "$tree"
    for page in man1/uwsctl.1 man5/uwsd.toml.5 man8/uwsd.8; do
        MANWIDTH=100 man --warnings --local-file "$tree/usr/share/man/$page.gz" >"$bed/page" 2>"$bed/complaints" || fail "no $page"
        [ ! -s "$bed/complaints" ] || fail "$page: $(cat "$bed/complaints")"
        [ "$(wc -l <"$bed/page")" -gt 100 ] || fail "$page says next to nothing"
    done
    completes "$tree" uwsctl su 'submit suspend'
    completes "$tree" uwsd undr undrain
    for page in bin/uwsd bin/uwsctl lib/sysusers.d/uwsd.conf lib/tmpfiles.d/uwsd.conf share/doc/uwsd/changelog.gz \
        share/doc/uwsd/copyright share/zsh/vendor-completions/_uwsctl share/fish/vendor_completions.d/uwsctl.fish; do
        [ -s "$tree/usr/$page" ] || fail "no /usr/$page"
    done
    for page in uwsd.service uwsd.socket uwsd@.service; do
        [ -s "$tree/usr/lib/systemd/system/$page" ] || [ -s "$tree/lib/systemd/system/$page" ] || fail "no $page"
    done
    grep -qw git <<<"$(dpkg-deb --field "$1" Depends)" || fail "git is no dependency"
    grep -q 'bubblewrap.*docker.io | docker-ce | podman' <<<"$(dpkg-deb --field "$1" Recommends)" || fail "no engine is recommended"
    rm -r "$tree"
}

completes() { # TREE PROGRAM BEGUN WORDS
    local words
    words=$(bash -c 'source "$1/usr/share/bash-completion/completions/$2"
        COMP_WORDS=("$2" "$3") COMP_CWORD=1
        "_$2" "$2" "$3" "$2"
        printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd " "' bash "$1" "$2" "$3")
    [ "$words" = "$4" ] || fail "$2 $3 is completed to: $words"
}
