# What a person types, in an empty Debian. `install` is the part that needs a network, `run` the rest.
set -eu
cd /trial
# Whatever was started here would hold the transcript open.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# Shows a command as it is typed, and what it says.
step() { printf '\n# %s  [%s s]\n' "$1" "$(($(date +%s) - START))"; }
typed() {
  printf '$ %s\n' "$*"
  eval "$*"
}
# Until a command succeeds, for so many seconds.
until_so() { # SECONDS COMMAND
  for _ in $(seq "$(($1 * 2))"); do
    if eval "$2" >/dev/null 2>&1; then return 0; fi
    sleep 0.5
  done
  echo "not within $1 s: $2"
  return 1
}

install_all() {
  . /etc/os-release
  step "an empty $PRETTY_NAME: $(dpkg --list | grep -c '^ii') packages"
  typed 'apt-get update -qq'
  step "Evener, Prometheus, and what the commands below need"
  typed 'apt-get install -y -qq --no-install-recommends ./evener.deb prometheus curl openssl ca-certificates jq >apt.log 2>&1 || { tail -20 apt.log; exit 1; }'
  typed 'evener --version'
  typed 'id evener'
}

run_all() {
  step "two endpoints, and what the package answers until it has them"
  typed 'evener origin --listen 127.0.0.1:3001 --name one >one.log 2>&1 & one=$!'
  typed 'evener origin --listen 127.0.0.1:3002 --name two >two.log 2>&1 &'
  # There is no systemd in this container; with it, the package has started the service.
  typed 'mkdir -p /var/log/evener && chown evener /var/log/evener'
  typed 'evener -c /etc/evener/conf.yaml --user evener >evener.log 2>&1 & first=$!'
  until_so 10 'evener health'
  typed 'curl -s http://127.0.0.1:8080/'

  step "a certificate, as a certificate authority would give one"
  typed "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=example.com -addext 'subjectAltName=DNS:example.com' -keyout /etc/evener/example.com.key -out /etc/evener/example.com.pem 2>/dev/null"
  typed 'chgrp evener /etc/evener/example.com.key && chmod 640 /etc/evener/example.com.key'

  step "HTTPS with two endpoints"
  cat >/etc/evener/conf.yaml <<'END'
version: 1
listen: ["127.0.0.1:80"]
listen_tls: ["127.0.0.1:443"]
certificates: [{cert: /etc/evener/example.com.pem, key: /etc/evener/example.com.key}]
redirect_https: true
admin: 127.0.0.1:9901
access_log: /var/log/evener/access.log
upstreams:
  - {name: app, endpoints: ["127.0.0.1:3001", "127.0.0.1:3002"], check: "http:/"}
routes:
  - {prefix: /, upstream: app}
END
  typed 'cat /etc/evener/conf.yaml'
  typed 'evener -t -c /etc/evener/conf.yaml'
  # Ports that only root may bind are bound at a start, not at a reload: with systemd `systemctl reload` does.
  typed 'kill $first; wait $first 2>/dev/null'
  typed 'evener -c /etc/evener/conf.yaml --user evener >evener.log 2>&1 &'
  until_so 10 'evener health'
  typed 'evener health'
  typed 'for n in 1 2 3 4; do curl -s --cacert /etc/evener/example.com.pem --resolve example.com:443:127.0.0.1 https://example.com/; done | sort | uniq -c'
  typed "curl -s -o /dev/null -w '%{http_code} %{redirect_url}\n' -H 'Host: example.com' http://127.0.0.1/"

  step "a dashboard: the live page, and Prometheus"
  typed "curl -s http://127.0.0.1:9901/ | grep -o '<title>.*</title>'"
  cat >prometheus.yml <<'END'
global: {scrape_interval: 5s, evaluation_interval: 5s}
rule_files: [/trial/evener.rules.yml]
scrape_configs:
  - job_name: evener
    static_configs: [{targets: ["127.0.0.1:9901"]}]
END
  typed 'cat prometheus.yml'
  typed 'promtool check config prometheus.yml'
  typed 'prometheus --config.file=prometheus.yml --storage.tsdb.path=/trial/tsdb --web.listen-address=127.0.0.1:9090 >prometheus.log 2>&1 &'
  query() { curl -sG http://127.0.0.1:9090/api/v1/query --data-urlencode "query=$1" | jq -r '.data.result[] | [.metric.alertname // .metric.upstream // .metric.job, .value[1]] | @tsv'; }
  until_so 30 '[ "$(query up | cut -f2)" = 1 ]'
  typed "query 'up'"
  ( while sleep 0.2; do curl -s -o /dev/null --cacert /etc/evener/example.com.pem --resolve example.com:443:127.0.0.1 https://example.com/ || echo failed >>requests.log; done ) >/dev/null 2>&1 &

  step "an alert: an endpoint dies, clients do not notice, Prometheus does"
  typed 'kill $one'
  firing() { curl -s http://127.0.0.1:9090/api/v1/alerts | jq -r '.data.alerts[] | [.state, .labels.alertname, .annotations.summary] | @tsv'; }
  until_so 420 'firing | grep -q ^firing'
  typed 'firing'
  typed 'ls requests.log 2>/dev/null || echo "no request has failed"'
  [ ! -e requests.log ]
  step "done: from nothing to HTTPS, a dashboard and an alert"
}

case $1 in
  install) install_all ;;
  run) run_all ;;
esac
