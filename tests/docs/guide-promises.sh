# What a reader of each page is promised; looked at right after the page was run. To be sourced by operators-guide.sh.

promised_by_operating() {
    saw 'the butler index is /data/data-repos.yaml'
    saw '600 /run/secrets/pgpass'
    saw 'cutout at 10.68 41.27'
    saw '/etc/uwsd/conf.d/50-site.toml'
    saw 'queue.max_running = 3'
    saw 'the command exited with code 3'
    saw 'uwsd_ready 1'
    saw 'accepts jobs and runs them'
    saw_no 'not-a-real-password'
    # The journal knows fields, and each search found entries of its own.
    local field job
    job=$(in_box uwsctl list | awk 'NR == 2 { print $1 }')
    [[ $job =~ ^[0-9a-f]{32}$ ]] || fail "no job is listed: $(in_box uwsctl list)"
    for field in JOB_ID="$job" SERVICE=cutout JOB_REASON=nonzero INSTANCE=summit; do
        in_box journalctl --unit uwsd --no-pager --lines 1 "$field" >"$bed/entries"
        grep -q uwsd "$bed/entries" || fail "the journal has no entry with $field: $(cat "$bed/entries")"
        ! grep -q 'No entries' "$bed/entries" || fail "the journal has no entry with $field"
    done
    in_box curl --silent --fail --output /dev/null http://127.0.0.1:8080/healthz || fail "the port is not the package's again"
    sandbox_is_as_told
    host_is_well
    prometheus_takes_its_file
    # As docs/backup.md has it for an instance; its configuration names no state directory.
    in_box sh -c 'uwsd backup --config /etc/uwsd/test.toml --state-dir /var/lib/uwsd-test /srv/test.db &&
        uwsd db check --config /etc/uwsd/test.toml --state-dir /var/lib/uwsd-test' >"$bed/instance" || fail "$(cat "$bed/instance")"
    grep -q 'backed up /var/lib/uwsd-test/uwsd.db' "$bed/instance" || fail "of the instance: $(cat "$bed/instance")"
}

# The page names what systemd says of the unit.
sandbox_is_as_told() {
    local told found
    told=$(sed -nE 's/^`systemd-analyze security uwsd\.service` says ([0-9.]+) .*/\1/p' docs/operating.md)
    found=$(in_box systemd-analyze security --no-pager uwsd.service | sed -nE 's/.*exposure level for uwsd\.service: ([0-9.]+) .*/\1/p')
    { [ -n "$told" ] && [ "$found" = "$told" ]; } || fail "the sandbox is told to be at \"$told\", and is at \"$found\""
}

# After the page nothing is wrong. What only somebody should know is legitimate here: nothing in a box sets its clock, no registry is
# reached (the images are there), restarts of Docker end jobs (live-restore comes with the next page).
host_is_well() {
    in_box uwsd doctor >"$bed/doctor" || fail "the doctor finds something wrong: $(cat "$bed/doctor")"
    ! grep '^FAIL' "$bed/doctor" || fail "the doctor finds something wrong"
    grep -q '^ok ' "$bed/doctor" || fail "the doctor looked at nothing: $(cat "$bed/doctor")"
    note "the doctor: $(tail -n 1 "$bed/doctor")"
    sed -n 's/^warn/      warn/p' "$bed/doctor"
}

# By the host's promtool: the file as the page has it, with the alerts where they lie here.
prometheus_takes_its_file() {
    if ! command -v promtool >/dev/null; then
        note "SKIPPED: there is no promtool to look at prometheus.yml; tests/run installs the package prometheus"
        return
    fi
    in_box cat /usr/share/doc/uwsd/examples/uwsd.rules.yml >"$bed/uwsd.rules.yml" || fail "the alerts are not where the page says"
    in_box sed "s|/usr/share/doc/uwsd/examples/uwsd.rules.yml|$bed/uwsd.rules.yml|" /etc/prometheus/prometheus.yml >"$bed/prometheus.yml"
    promtool check config "$bed/prometheus.yml" >"$bed/promtool" 2>&1 || fail "$(cat "$bed/promtool")"
    grep -q '1 rule files found' "$bed/promtool" || fail "prometheus.yml names no file of alerts: $(cat "$bed/promtool")"
}

promised_by_engines() {
    saw 'a job in Podman'
    saw 'Podman 4.'
    saw 'a job in Docker'
    saw 'a job as a process'
    saw 'root:uwsd 660'
    saw 'root:root 755'
    saw "reduced by the site's script"
    [ "$(in_box docker info --format '{{.LiveRestoreEnabled}}')" = true ] || fail "live-restore is not in force"
    # Out of the folder that was carried over, not from elsewhere.
    in_box grep -q 'Filename:.*uwsd_' /srv/bundle/Packages || fail "the folder does not list the package"
    in_box sh -c 'ls /srv/bundle/docker.io_*.deb /srv/bundle/libc6_*.deb' >/dev/null || fail "the folder is not complete"
    in_box sh -c 'apt-cache policy bubblewrap | grep -q "file:/srv/bundle"' || fail "apt does not know the folder"
    in_box test -d /var/lib/uwsd/git/mirrors || fail "nothing was fetched before it was needed"
    podman_after_a_boot
}

# A boot empties /run, and what Podman's package has systemd do then closes the directory of its socket. The page leaves the socket enabled.
podman_after_a_boot() {
    in_box systemctl is-enabled --quiet podman.socket || fail "a boot would not start Podman's socket"
    in_box sh -c 'systemctl stop podman.socket podman.service && rm -rf /run/podman &&
        systemd-tmpfiles --boot --create podman.conf' || fail "no boot can be played"
    [ "$(in_box stat --format %a /run/podman)" = 700 ] || fail "Podman's package does not close the directory any more: the drop-in may go"
    in_box systemctl start podman.socket
    in_box runuser -u uwsd -- curl --silent --fail --max-time 30 --unix-socket /run/podman/podman.sock http://d/_ping >"$bed/ping" ||
        fail "after a boot the daemon does not get to Podman: $(in_box sh -c 'ls -ld /run/podman /run/podman/podman.sock')"
    grep -qx OK "$bed/ping" || fail "Podman says $(cat "$bed/ping")"
}

promised_by_access() {
    saw 'through the tunnel'
    saw 'ready: Docker Engine'
    saw 'without a password: 401'
    local home='its link: https://summit.example.org/api/ocps/async/'
    [ "$(grep -cF -- "$home" "$bed/said")" = 2 ] || fail "not every proxy's links lead back through it: $(grep -F 'its link' "$bed/said")"
    grep -qiF 'location: https://summit.example.org/api/ocps/async/' "$bed/said" || fail "public_url is not in force"
    saw '/results/night/one.txt"'
    saw 'seen'
    saw '/results/day/two.txt"'
    [ "$(grep -c '^5000000$' "$bed/said")" = 2 ] || fail "an upload did not come through whole"
    [ "$(grep -c 'Congratulations, all simulated renewals succeeded' "$bed/said")" = 2 ] || fail "a proxy's certificate is not renewed"
    saw 'certbot.timer'
    # Real certificates at the real port, from whom certbot had them; http leads to https; what is not /api/ is not served.
    in_box sh -c 'curl --silent --verbose --output /dev/null https://summit.example.org/ 2>&1' >"$bed/tls"
    grep -q 'issuer: CN=Pebble Intermediate CA' "$bed/tls" || fail "$(cat "$bed/tls")"
    grep -qi '< Server: Apache' "$bed/tls" || fail "it is not Apache that answers"
    in_box curl --silent --output /dev/null --write-out '%{redirect_url}' http://summit.example.org/api/ocps/async >"$bed/tls"
    grep -q '^https://summit.example.org/api/ocps/async' "$bed/tls" || fail "http is not redirected: $(cat "$bed/tls")"
    ! in_box curl --silent --fail --output /dev/null https://summit.example.org/metrics || fail "metrics are open to the world"
    # A renewal that is due, not only a rehearsal of one.
    local serial
    serial=$(in_box openssl x509 -noout -serial -in /etc/letsencrypt/live/summit.example.org/cert.pem)
    in_box certbot renew --force-renewal --quiet >"$bed/renewal" 2>&1 || fail "the renewal: $(cat "$bed/renewal")"
    [ "$(in_box openssl x509 -noout -serial -in /etc/letsencrypt/live/summit.example.org/cert.pem)" != "$serial" ] ||
        fail "the certificate is the old one"
    # public_url has let in its own host name, and no other.
    ! in_box sh -c 'curl --silent --max-time 5 --header "Host: other.example.org" --fail http://127.0.0.1:8080/api/v1/job' ||
        fail "any Host is answered"
    # The account of the tunnel may not do more.
    ! in_box ssh ada@summit.example.org true 2>/dev/null || fail "the tunnel's account has a shell"
    [ "$(in_box stat --format %a /srv/reader/ada.password)" = 600 ] || fail "others can read the password"
    links_lead_back
}

# What the page has instead of public_url: links lead back by the way of the request. What a client makes up of the port goes nowhere.
links_lead_back() {
    in_box sed -i 's|^public_url = .*|allowed_hosts = ["summit.example.org"]|' /etc/uwsd/conf.d/60-proxy.toml
    in_box systemctl reload uwsd
    local at
    for at in http://127.0.0.1:8080 https://summit.example.org; do
        in_box sh -c 'curl --silent --output /dev/null --write-out "%{redirect_url}" --user "ada:$(cat /srv/reader/ada.password)" \
            --header "X-Forwarded-Port: 9" --data COMMAND=true "$1/api/ocps/async"' sh "$at" >"$bed/link"
        case $at in
            # Who speaks to the daemon itself on this host is as good as the proxy.
            http:*) grep -q '^http://127.0.0.1[:0-9]*/api/ocps/async/' "$bed/link" ;;
            *) grep -q '^https://summit.example.org/api/ocps/async/' "$bed/link" ;;
        esac || fail "asked at $at, the link is $(cat "$bed/link")"
    done
    in_box sed -i 's|^allowed_hosts = .*|public_url = "https://summit.example.org/api"|' /etc/uwsd/conf.d/60-proxy.toml
    in_box systemctl reload uwsd
}

promised_by_storage() {
    saw 'night.txt'
    saw 'on the server'
    grep -q '/export/uwsd-jobs .* /srv/uwsd-jobs$' "$bed/said" || fail "jobs_dir is not on the server"
    # It came there by the daemon, not by a mount of the engine's.
    grep -qE '^-rw.* uwsd +uwsd .* night.txt$' "$bed/said" || fail "the output is not the daemon's"
    # What is local again is not on the server any more, and the other way round while it was there; the job has its file.
    in_box sh -c 'find /srv/server/export/uwsd-jobs -mindepth 1' >"$bed/found"
    [ ! -s "$bed/found" ] || fail "copies are left on the server: $(cat "$bed/found")"
    in_box sh -c 'find /var/lib/uwsd/jobs -name night.txt | grep -q .' || fail "the output did not come back"
    # The other disk, there and back.
    saw 'on the other disk'
    grep -qx 'uwsd.db' "$bed/said" || fail "the database was not on the other disk"
    in_box sh -c '[ ! -e /data/uwsd ] && [ -f /var/lib/uwsd/uwsd.db ]' || fail "the database did not come back"
    ! in_box findmnt /srv/uwsd-jobs >/dev/null || fail "it is still mounted"
    in_box uwsd status >/dev/null || fail "the daemon does not run on the local disk again"
}

promised_by_maintenance() {
    saw 'drained: no job is accepted or started until uwsd undrain'
    saw 'etc/uwsd/conf.d/50-site.toml'
    [ "$(in_box stat --format %a /srv/reader/uwsd-configuration.tar.gz)" = 600 ] || fail "others can read the passwords in the archive"
    in_box sh -c 'ls /var/backups/uwsd/uwsd-*.db' >/dev/null || fail "there is no backup"
    saw 'what it replaces is kept as'
    saw 'it is sound'
    # Up, and back down: what dpkg has now is what the guide installed first.
    grep -qE 'Unpacking uwsd .* over ' "$bed/said" || fail "nothing was upgraded"
    [ "$(in_box dpkg-query --show --showformat '${Version}' uwsd)" = "$(dpkg-deb --field "$before" Version)" ] || fail "it did not go back"
    # A file that nobody edited follows the package, and no question of dpkg's was answered by leaving two.
    in_box grep -q 'the version before' /etc/uwsd/uwsd.toml || fail "the configuration did not go back"
    [ -z "$(in_box find /etc/uwsd -name '*.dpkg-*')" ] || fail "dpkg left $(in_box find /etc/uwsd -name '*.dpkg-*')"
    in_box apt-get -qq install -y "/packages/${package##*/}" >"$bed/apt" 2>&1 || fail "$(cat "$bed/apt")"
}

promised_by_troubleshooting() {
    saw 'uwsd:uwsd 660 /run/uwsd/uwsd.sock'
    saw 'this service does not answer to the Host name'
    saw '403'
}
