# The parts of tools/packages. Uses: target, out, binary, version, triple.

say() { printf '%s\n' "$*"; }
need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: $2, or run tools/packages $what --install"; }

install_for() {
  case $1 in
    deb) packages="dpkg-dev gzip" tools="cargo-deb cargo-cyclonedx" ;;
    static) packages="musl-tools" tools="" ;;
    image) packages="buildah musl-tools" tools="" ;;
    sbom) packages="" tools="cargo-cyclonedx" ;;
    check) packages="lintian systemd" tools="cargo-deny" ;;
  esac
  if [ -n "$packages" ]; then
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $packages
  fi
  # shellcheck disable=SC2086
  [ -z "$tools" ] || cargo install --locked $tools
  case $1 in
    static | image) rustup target add "$triple" ;;
    check)
      python3 -m venv "$target/packages/venv"
      "$target/packages/venv/bin/pip" install --quiet --requirement tools/packages.d/requirements.txt
      ;;
  esac
}

# What is printed by the binary itself, and so is about it: completions and manual pages.
make_generated() { # BINARY DIRECTORY
  mkdir -p "$2"
  "$1" completions bash >"$2/evener.bash"
  "$1" completions zsh >"$2/_evener"
  "$1" completions fish >"$2/evener.fish"
  rm -f "$2"/*.1 "$2"/*.1.gz
  "$1" man >"$2/evener.1"
  # Each of them is named on the page about all.
  for command in $(sed -n 's/^evener\\-\([a-z]*\)(1)$/\1/p' "$2/evener.1"); do
    "$1" man "$command" >"$2/evener-$command.1"
  done
}

make_sbom() { # DIRECTORY
  need cargo-cyclonedx "cargo install cargo-cyclonedx"
  mkdir -p "$1"
  # It writes beside Cargo.toml.
  cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$(rustc -vV | sed -n 's/^host: //p')" \
    --override-filename evener.cdx
  mv evener.cdx.json "$1/"
}

make_deb() {
  need cargo-deb "cargo install cargo-deb"
  if [ -n "$binary" ]; then
    mkdir -p "$target/release"
    # Not written into the file that is there: cargo has another name for it, and would take it for its own.
    [ "$binary" -ef "$target/release/evener" ] || cp --remove-destination "$binary" "$target/release/evener"
  else
    cargo build --release --locked --bin evener
  fi
  local packaged=$target/release/packaged
  make_generated "$target/release/evener" "$packaged"
  make_sbom "$packaged"
  install -m 755 "$target/release/evener" "$packaged/evener"
  strip --strip-unneeded "$packaged/evener"
  gzip -n9f "$packaged"/*.1
  gzip -n9c CHANGELOG.md >"$packaged/changelog.gz"
  cp tools/deploy/debian/lintian-overrides "$packaged/lintian-overrides"
  cargo deb --quiet --no-build --locked --output "$out/" >/dev/null
  say "$out/evener_$version-1_$(dpkg --print-architecture).deb"
}

static_binary() {
  if [ -n "$binary" ]; then
    say "$binary"
    return
  fi
  need musl-gcc "apt-get install musl-tools"
  rustup target list --installed | grep -qx "$triple" || fail "rustup target add $triple"
  cargo build --release --locked --bin evener --target "$triple" >&2
  say "$target/$triple/release/evener"
}

make_static() {
  local built name stage
  built=$(static_binary)
  name=evener-$version-$triple
  stage=$out/$name
  rm -rf "$stage"
  mkdir -p "$stage/completions" "$stage/man"
  make_generated "$built" "$stage/completions"
  mv "$stage/completions/"*.1 "$stage/man/"
  install -m 755 "$built" "$stage/evener"
  strip --strip-debug "$stage/evener"
  install -m 644 tools/deploy/debian/conf.yaml README.md CHANGELOG.md LICENSE-* "$stage/"
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$out" -c "$name" |
    gzip -n9 >"$out/$name.tar.gz"
  (cd "$out" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
  say "$out/$name.tar.gz"
}

make_image() {
  need buildah "apt-get install buildah"
  local built root
  built=$(static_binary)
  root=$out/image
  rm -rf "$root"
  mkdir -p "$root/usr/bin" "$root/etc/evener" "$root/etc/ssl/certs" "$root/tmp"
  chmod 1777 "$root/tmp"
  install -m 755 "$built" "$root/usr/bin/evener"
  strip --strip-debug "$root/usr/bin/evener"
  install -m 644 tools/deploy/container/conf.yaml "$root/etc/evener/"
  # Without them, endpoints with https:// need `ca`.
  install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'evener:x:65532:65532:Evener:/:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'evener:x:65532:\n' >"$root/etc/group"
  # The format of Docker: that of OCI has no HEALTHCHECK. Nothing is run, so no isolation is needed.
  buildah --storage-driver vfs build --quiet --network none --format docker --timestamp "$SOURCE_DATE_EPOCH" \
    --build-arg "VERSION=$version" --build-arg "COMMIT=$(git rev-parse HEAD 2>/dev/null || true)" \
    --file tools/deploy/container/Dockerfile.static --tag "evener:$version" "$root" >/dev/null
  rm -f "$out/evener-$version-image.tar"
  buildah --storage-driver vfs push --quiet "evener:$version" "docker-archive:$out/evener-$version-image.tar:evener:$version"
  say "$out/evener-$version-image.tar"
}

# One line for each check; what cannot be checked here is said, and is no failure.
failed=0
checked() { # NAME COMMAND...
  local name=$1
  shift
  if "$@" >"$out/check.log" 2>&1; then
    say "ok       $name"
  else
    failed=1
    say "FAILED   $name"
    sed 's/^/         /' "$out/check.log"
  fi
}
unchecked() { say "skipped  $1: $2"; }

systemd_version() { systemd-analyze --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p'; }

# The unit as it is installed, with programs that exist here, and edited by a script of sed.
verify_unit() { # [EDIT]
  local unit=$out/unit/evener.service
  mkdir -p "$out/unit"
  sed 's,^\(Exec[A-Za-z]*=\)[^ ]*,\1/bin/true,; s/^Documentation=.*//; '"${1:-}" tools/deploy/systemd/evener.service >"$unit"
  local said
  said=$(systemd-analyze verify --man=no "$unit" 2>&1 | grep evener.service || true)
  [ -z "$said" ] || { say "$said"; return 1; }
}

unit_exposure() {
  systemd-analyze security --offline=true --no-pager --threshold=20 "$out/unit/evener.service"
}

check_systemd() {
  if ! command -v systemd-analyze >/dev/null; then
    unchecked "unit" "systemd-analyze is missing"
  elif [ "$(systemd_version)" -lt 253 ]; then
    checked "systemd-analyze verify, as Type=notify: systemd $(systemd_version) does not know notify-reload" \
      verify_unit 's,^Type=notify-reload$,Type=notify,'
    checked "systemd-analyze security: 2.0 at most" unit_exposure
  else
    checked "systemd-analyze verify" verify_unit
    checked "systemd-analyze security: 2.0 at most" unit_exposure
  fi
}

check_deb() {
  local package
  package=$(find "$out" -maxdepth 1 -name 'evener_*.deb' | sort | tail -1)
  if [ -z "$package" ]; then
    unchecked "lintian" "there is no package: tools/packages deb"
  elif ! command -v lintian >/dev/null; then
    unchecked "lintian" "it is missing"
  else
    checked "lintian $(basename "$package")" lintian --allow-root --fail-on error --suppress-tags bad-distribution-in-changes-file "$package"
  fi
}

check_manifests() {
  local python=$out/venv/bin/python
  [ -x "$python" ] || python=python3
  if ! "$python" -c 'import kubernetes_validate' 2>/dev/null; then
    unchecked "Kubernetes" "kubernetes-validate is missing"
    return
  fi
  checked "Kubernetes manifests" "$python" -B tools/packages.d/manifests.py tools/deploy/kubernetes
}

check_dependencies() {
  if ! command -v cargo-deny >/dev/null; then
    unchecked "cargo deny" "cargo-deny is missing"
    return
  fi
  # Those of other systems as well, of which cargo deny reads what they are.
  cargo fetch --quiet --locked || true
  checked "cargo deny: bans, licences, sources" cargo deny --offline check --hide-inclusion-graph bans licenses sources
  # Advisories come from a database on the network.
  if cargo deny fetch db >/dev/null 2>&1; then
    checked "cargo deny: advisories" cargo deny check advisories
  else
    unchecked "cargo deny: advisories" "their database cannot be reached"
  fi
}

check_all() {
  mkdir -p "$out"
  check_systemd
  check_deb
  check_manifests
  check_dependencies
  [ "$failed" = 0 ]
}
