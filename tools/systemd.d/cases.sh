# The cases of tools/systemd. Uses: leader, root, target.

inside() { nsenter -t "$leader" -a env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
shown() { inside systemctl show evener --property "$1" --value; }
journal() { inside journalctl --unit evener --output cat --no-pager --lines "${1:-20}"; }
# From the network of the machine, with the curl and ab of this one.
outside() { nsenter -t "$leader" -n "$@"; }

failures=0
holds() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$target/systemd/case.log" 2>&1; then
    echo "ok       $what"
  else
    failures=$((failures + 1))
    echo "FAILED   $what"
    { cat "$target/systemd/case.log"; journal 12; } | sed 's/^/         /'
  fi
}
is() { [ "$1" = "$2" ] || { echo "$1, not $2"; return 1; }; }
within() { # SECONDS COMMAND...
  local tries=$(($1 * 5))
  shift
  for _ in $(seq "$tries"); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  "$@"
}

installed() {
  inside dpkg --install /evener.deb || return
  within 10 is_active
}
is_active() { inside systemctl --quiet is-active evener; }
is_inactive() { ! is_active; }
healthy() { inside evener health; }
explains_itself() { outside curl -s http://127.0.0.1:8080/ | grep -q "no endpoints are configured"; }
runs_as_evener() { is "$(inside stat -c %U "/proc/$(inside systemctl show evener -p MainPID --value)")" evener; }
conf() { inside sed -i "$@" /etc/evener/conf.yaml; }

reloads() {
  conf 's/no endpoints are configured/nothing is configured/'
  inside systemctl reload evener
  within 5 says_so
}
says_so() { outside curl -s http://127.0.0.1:8080/ | grep -q "nothing is configured"; }
refuses_a_mistake() {
  conf '$a bogus: 1'
  ! inside systemctl reload evener || return
  journal | grep -q 'unknown key "bogus"' || return
  conf /bogus/d
  healthy
}

# What a package does: a new file in place of the old one.
replace_binary() { inside sh -c 'cp -p /usr/bin/evener /usr/bin/evener.new && mv /usr/bin/evener.new /usr/bin/evener'; }
upgrades_under_load() {
  local before after load
  before=$(shown MainPID)
  replace_binary
  outside ab -q -k -n 60000 -c 16 http://127.0.0.1:8080/ >"$target/systemd/ab.log" 2>&1 &
  load=$!
  sleep 0.5
  inside systemctl reload evener || return
  after=$(shown MainPID)
  wait "$load" || return
  [ "$before" != "$after" ] || { echo "still process $before"; return 1; }
  grep -E "^(Complete|Failed|Non-2xx)" "$target/systemd/ab.log"
  grep -q "^Complete requests: *60000" "$target/systemd/ab.log" && grep -q "^Failed requests: *0" "$target/systemd/ab.log" &&
    ! grep -q Non-2xx "$target/systemd/ab.log"
}
# Of a process that is not its child, systemd would not await the end.
is_a_child() { is "$(inside sed -n 's/^PPid:\t//p' "/proc/$(shown MainPID)/status")" 1; }
# Longer than WatchdogSec=.
feeds_the_watchdog() {
  local before
  before=$(shown MainPID)
  sleep 12
  is "$(shown MainPID) $(shown NRestarts)" "$before 0"
}
comes_back() {
  inside sh -c "kill -KILL $(shown MainPID)"
  within 5 healthy && is "$(shown NRestarts)" 1
}
is_not_tried_again() {
  conf '$a bogus: 1'
  ! inside systemctl restart evener || return
  sleep 3
  is "$(shown ActiveState) $(shown NRestarts)" "failed 0" || return
  conf /bogus/d
  inside systemctl start evener && healthy
}

with_token() {
  inside sh -c 'umask 077; echo secret >/etc/evener/admin-token; mkdir -p /etc/systemd/system/evener.service.d
    printf "[Service]\nLoadCredential=admin-token:/etc/evener/admin-token\n" >/etc/systemd/system/evener.service.d/token.conf
    systemctl daemon-reload'
  # shellcheck disable=SC2016
  conf 's,^admin: .*,&\nadmin_token_file: ${CREDENTIALS_DIRECTORY:-/run/credentials/evener.service}/admin-token,'
  inside systemctl restart evener && needs_token
}
status_of() { outside curl -s -o /dev/null -w '%{http_code}' "$@" http://127.0.0.1:9901/metrics; }
needs_token() {
  is "$(status_of)" 401 && is "$(status_of -H 'Authorization: Bearer secret')" 200
}
keeps_token() {
  local before
  for _ in 1 2; do
    before=$(shown MainPID)
    replace_binary
    inside systemctl reload evener || return
    [ "$(shown MainPID)" != "$before" ] || return
    needs_token || return
  done
  inside systemctl reload evener
}

rotates() {
  inside sh -c 'mv /var/log/evener/access.log /var/log/evener/access.log.1
    systemctl kill --kill-whom=main --signal=USR1 evener.service'
  within 5 inside test -e /var/log/evener/access.log
}
# Of a request that is in progress, to the process that has taken over.
drains() {
  replace_binary
  inside systemctl reload evener || return
  inside sh -c 'evener origin --listen 127.0.0.1:3001 --name slow >/dev/null 2>&1 & sleep 1'
  conf 's,^routes:,routes:\n  - {prefix: /slow\, endpoints: ["127.0.0.1:3001"]},'
  inside systemctl reload evener || return
  outside curl -s --max-time 20 "http://127.0.0.1:8080/slow?delay=3s" >"$target/systemd/slow.log" &
  local client=$!
  sleep 1
  ends || return
  wait "$client" && grep -q slow "$target/systemd/slow.log"
}
ends() { inside systemctl stop evener && is_inactive && is "$(shown Result)" success; }
leaves_nothing() {
  inside rm -r /etc/evener/admin-token /etc/systemd/system/evener.service.d/token.conf
  inside dpkg --purge evener || return
  ! inside sh -c 'ls /etc/evener /var/log/evener /usr/bin/evener /usr/lib/systemd/system/evener.service 2>/dev/null | grep .'
}

run_cases() {
  echo "$(inside systemctl --version | head -1), $(inside sed -n 's/^PRETTY_NAME=//p' /etc/os-release)"
  holds "the package is installed, and the service runs" installed
  holds "evener health" healthy
  holds "it explains itself" explains_itself
  holds "it runs as evener" runs_as_evener
  holds "a reload is in force" reloads
  holds "a reload with a mistake fails, says why, and changes nothing" refuses_a_mistake
  holds "a reload after the binary was replaced is an upgrade: 60000 requests, none lost" upgrades_under_load
  holds "the new process is a child of systemd" is_a_child
  holds "the watchdog is fed after the upgrade" feeds_the_watchdog
  holds "after a crash it is started again" comes_back
  holds "after a mistake it is not" is_not_tried_again
  holds "a token from LoadCredential=" with_token
  holds "it is there after upgrades, too" keeps_token
  holds "log files are opened again" rotates
  holds "a stop after an upgrade finishes what is in progress" drains
  holds "a purge leaves nothing" leaves_nothing
  [ "$failures" = 0 ]
}
