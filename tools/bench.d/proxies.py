"""The proxies and their settings, as an expert of each would choose them.

Every proxy keeps connections to the origin open, logs nothing, and has one thread, unless all cores
are used. Buffers, limits and checks are the proxy's defaults.
"""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Callable

from certificates import Certificates
from processes import Failed
from workloads import (
    H2, H2_BOTH, H2_TLS, HTTP, HTTP2, ROUTES, SPLICE, TCP, TLS, TLS_CLIENTS, TLS_ENDPOINTS, UNSPOOLED,
)

FOREVER = 1_000_000_000


@dataclass(frozen=True)
class Setup:
    """The setup a proxy is started with."""

    listen: int
    origin: int
    # An unused port, for a listener that is mandatory but not needed.
    spare: int
    needs: str
    routes: int
    all_cores: bool
    # Requests at a time, each of which may need a connection to the origin.
    connections: int
    descriptors: int
    # Those of proxies and origins that speak TLS, with the TLS version and the cipher of all of them.
    certificates: Certificates
    folder: str

    @property
    def connections_max(self):
        """Enough for both sides of the proxy: with many routes, most connections are idle."""
        return 8192 if self.routes else self.connections + 1024

    def write(self, name, text):
        """Writes a file into the directory of this proxy and returns its path."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


@dataclass(frozen=True)
class Proxy:
    """A proxy: what it can do, and the command that starts it."""

    name: str
    program: str
    command: Callable
    needs: frozenset
    version: Callable = field(default=lambda: "")
    # Measured only with workloads that name it.
    is_variant: bool = False
    # Why it does not support one of `needs` here.
    missing: dict = field(default_factory=dict)


def said(*command):
    """The output of a program, standard error included."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def takes(*command):
    """Whether a program takes these arguments."""
    try:
        return not subprocess.run(command, capture_output=True, timeout=20, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def first_line(*command):
    """The first line of that output."""
    return (said(*command).splitlines() or ["unknown"])[0]


# Evener.


def evener_command(program, setup):
    """Default settings, except one thread and no log."""
    threads = [] if setup.all_cores else ["--threads", "1"]
    origin = f"127.0.0.1:{setup.origin}"
    if setup.needs == TCP:
        # The HTTP listener receives no requests.
        listen = ["--tcp", f"127.0.0.1:{setup.listen}={origin}", "--listen", f"127.0.0.1:{setup.spare}"]
    elif setup.needs in TLS_CLIENTS:
        listen = ["--listen-tls", f"127.0.0.1:{setup.listen}"]
        listen += ["--cert", setup.certificates.chain, "--key", setup.certificates.key]
    else:
        listen = ["--listen", f"127.0.0.1:{setup.listen}"]
    if setup.needs == TLS_ENDPOINTS:
        origin = f"https://{origin}"
        listen += ["--upstream-ca", setup.certificates.authority, "--upstream-sni", "localhost"]
    if setup.needs == H2_BOTH:
        origin = f"h2c://{origin}"
    routes = [f"/r{i:04}" for i in range(setup.routes)] or ["/"]
    words = [word for route in routes for word in ("--route", f"{route}={origin}")]
    return [program, "--log-level", "warn", *threads, *listen, *words]


# The flags that a build must have, where older ones lack them.
EVENER_FLAGS = {
    TCP: "--tcp", TLS: "--listen-tls", TLS_ENDPOINTS: "--upstream-ca", H2: "--max-streams", H2_TLS: "--max-streams",
}


def evener(name, program):
    """A build of Evener."""
    flags = said(program, "--help").split()
    missing = {
        need: f"this build of Evener has no {flag}" for need, flag in EVENER_FLAGS.items() if flag not in flags
    }
    if not takes(program, "--test", "--route", "/=h2c://127.0.0.1:1"):
        missing[H2_BOTH] = "this build of Evener has no h2c:// endpoints"
    return Proxy(
        name, program, lambda setup: evener_command(program, setup),
        frozenset({HTTP, ROUTES, H2_BOTH, *EVENER_FLAGS} - missing.keys()),
        lambda: first_line(program, "--version"), missing=missing,
    )


# nginx.

NGINX = """{stream_module}user {user};
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; }}
{body}"""

NGINX_HTTP = """http {{
  access_log off;
  keepalive_requests {forever};
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  proxy_set_header Connection "";
{extra}{upstreams}
  server {{
    listen 127.0.0.1:{listen}{protocols} backlog=4096;
{locations}
  }}
}}
"""

NGINX_STREAM = """stream {{
  upstream origin {{ server 127.0.0.1:{origin}; }}
  server {{
    listen 127.0.0.1:{listen} backlog=4096;
    tcp_nodelay on;
    proxy_pass origin;
  }}
}}
"""

NGINX_UPSTREAM = """  upstream {name} {{
    server 127.0.0.1:{origin};
    keepalive {keepalive};
    keepalive_requests {forever};
  }}"""

# Bodies never touch a file: neither requests (nginx spools those over 16 KiB by default) nor responses
# to slower clients.
NGINX_UNSPOOLED = """  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
"""


NGINX_TLS = """  ssl_certificate {certificates.chain};
  ssl_certificate_key {certificates.key};
  ssl_protocols {certificates.version};
  ssl_conf_command Ciphersuites {certificates.cipher};
"""

NGINX_TLS_ENDPOINTS = """  proxy_ssl_protocols {certificates.version};
  proxy_ssl_conf_command Ciphersuites {certificates.cipher};
  proxy_ssl_trusted_certificate {certificates.authority};
  proxy_ssl_verify on;
  proxy_ssl_server_name on;
  proxy_ssl_name localhost;
"""


def nginx_http(setup, extra):
    """The http block. nginx allocates a pool when it starts: with many upstreams, smaller ones."""
    names = [f"r{i:04}" for i in range(setup.routes)] or ["origin"]
    keepalive = 64 if setup.routes else max(512, setup.connections)
    upstreams = [
        NGINX_UPSTREAM.format(name=name, origin=setup.origin, keepalive=keepalive, forever=FOREVER)
        for name in names
    ]
    paths = [f"/{name}/" for name in names] if setup.routes else ["/"]
    scheme = "https" if setup.needs == TLS_ENDPOINTS else "http"
    locations = [
        f"    location {path} {{ proxy_pass {scheme}://{name}; }}" for path, name in zip(paths, names)
    ]
    with_tls = NGINX_TLS if setup.needs in TLS_CLIENTS else ""
    with_tls = NGINX_TLS_ENDPOINTS if setup.needs == TLS_ENDPOINTS else with_tls
    extra += with_tls.format(certificates=setup.certificates)
    extra += f"  proxy_http_version {2 if setup.needs == H2_BOTH else 1.1};\n"
    # The parameter of all versions; those from 1.25.1 on warn that there is a directive now.
    protocols = (" ssl" if setup.needs in TLS_CLIENTS else "") + (" http2" if setup.needs in HTTP2 else "")
    return NGINX_HTTP.format(
        folder=setup.folder, forever=FOREVER, extra=extra, listen=setup.listen, protocols=protocols,
        upstreams="\n".join(upstreams), locations="\n".join(locations),
    )


def nginx_command(program, module, extra, setup):
    """Writes the configuration; the command."""
    if setup.needs == TCP:
        body = NGINX_STREAM.format(origin=setup.origin, listen=setup.listen)
    else:
        body = nginx_http(setup, extra)
    loaded = setup.needs == TCP and module
    text = NGINX.format(
        stream_module=f"load_module {module};\n" if loaded else "",
        user=nginx_user(),
        workers="auto" if setup.all_cores else 1,
        folder=setup.folder, descriptors=setup.descriptors, body=body,
        # Each takes memory from the start: just enough of them.
        connections=setup.connections_max,
    )
    path = setup.write("nginx.conf", text)
    return [program, "-p", setup.folder, "-e", "stderr", "-c", path]


def nginx_stream(program):
    """Whether nginx can relay TCP, and the module to load for it."""
    built = said(program, "-V")
    if re.search(r"--with-stream(?!\S)", built):
        return True, ""
    folder = re.search(r"--modules-path=(\S+)", built)
    path = os.path.join(folder[1], "ngx_stream_module.so") if folder else ""
    return os.path.exists(path), path


def nginx_version(program):
    """The version as numbers."""
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said(program, "-v"))
    return tuple(map(int, found.groups())) if found else (0, 0, 0)


def nginx(program):
    """nginx, and nginx without spooling of bodies."""
    has_stream, module = nginx_stream(program)
    missing = {} if has_stream else {TCP: "nginx has no stream module: tools/bench --install"}
    if "--with-http_v2_module" not in said(program, "-V"):
        missing |= dict.fromkeys((H2, H2_TLS), "this nginx was built without HTTP/2")
    if nginx_version(program) < (1, 29, 4):
        missing[H2_BOTH] = "nginx speaks HTTP/2 to endpoints from 1.29.4 on: name one with --nginx"
    needs = frozenset({HTTP, ROUTES, TCP, TLS, TLS_ENDPOINTS, *HTTP2} - missing.keys())

    def version():
        return first_line(program, "-v").replace("nginx version: ", "")

    def command(extra):
        return lambda setup: nginx_command(program, module, extra, setup)

    return [
        Proxy("nginx", program, command(""), needs, version, missing=missing),
        Proxy(UNSPOOLED, program, command(NGINX_UNSPOOLED), needs & {HTTP, TLS, H2, H2_TLS}, version, True),
    ]


NGINX_ORIGIN = """user {user};
worker_processes 1;
daemon off;
pid {folder}/origin.pid;
error_log stderr crit;
worker_rlimit_nofile {descriptors};
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests {forever};
  default_type application/octet-stream;
{tls}
  server {{
    listen 127.0.0.1:{port} {protocol} backlog=4096;
    location / {{ return 200 "{body}"; }}
  }}
}}
"""


def nginx_origin(program, port, body, certificates, descriptors, folder):
    """Writes the configuration of the origin that speaks TLS, or without certificates HTTP/2 in plain; the
    command."""
    path = os.path.join(folder, "origin.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(NGINX_ORIGIN.format(
            user=nginx_user(), folder=folder, descriptors=descriptors, forever=FOREVER, port=port,
            body=body, protocol="ssl" if certificates else "http2",
            tls=NGINX_TLS.format(certificates=certificates) if certificates else "",
        ))
    return [program, "-p", folder, "-e", "stderr", "-c", path]


def nginx_user():
    """Workers keep the user that has started the benchmark."""
    return "root" if os.geteuid() == 0 else "nobody"


# HAProxy.

# It reserves descriptors for all its pipes at once, by default a quarter of maxconn.
HAPROXY = """global
  maxconn {connections}
  maxpipes 512
{threads}
defaults
  mode {mode}
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  option splice-auto
{http}
frontend clients
  bind 127.0.0.1:{listen}{tls}
  {choice}
{backends}
"""

HAPROXY_HTTP = """  option http-keep-alive
  http-reuse always
  timeout http-request 10s
  timeout http-keep-alive 60s
"""


HAPROXY_TLS = (
    " ssl crt {certificates.bundle} ciphersuites {certificates.cipher} ssl-min-ver {certificates.version}"
)
HAPROXY_TLS_ENDPOINTS = (
    " ssl verify required ca-file {certificates.authority} sni str(localhost)"
    " ciphersuites {certificates.cipher} ssl-min-ver {certificates.version}"
)


def haproxy_command(program, setup):
    """Writes the configuration; the command."""
    names = [f"r{i:04}" for i in range(setup.routes)] or ["origin"]
    choice = "default_backend origin"
    if setup.routes:
        entries = "".join(f"/{name}/ {name}\n" for name in names)
        choice = f"use_backend %[path,map_beg({setup.write('routes.map', entries)})]"
    server = f"server s 127.0.0.1:{setup.origin}"
    if setup.needs == TLS_ENDPOINTS:
        server += HAPROXY_TLS_ENDPOINTS.format(certificates=setup.certificates)
    if setup.needs == H2_BOTH:
        server += " proto h2"
    tls = HAPROXY_TLS.format(certificates=setup.certificates) if setup.needs in TLS_CLIENTS else ""
    tls += {H2: " proto h2", H2_BOTH: " proto h2", H2_TLS: " alpn h2"}.get(setup.needs, "")
    backends = [f"backend {name}\n  {server}" for name in names]
    text = HAPROXY.format(
        connections=min(setup.connections_max, (setup.descriptors - 1500) // 2),
        threads="" if setup.all_cores else "  nbthread 1\n",
        mode="tcp" if setup.needs == TCP else "http",
        http="" if setup.needs == TCP else HAPROXY_HTTP,
        listen=setup.listen, tls=tls, choice=choice, backends="\n".join(backends),
    )
    return [program, "-db", "-f", setup.write("haproxy.cfg", text)]


def haproxy(program):
    """HAProxy."""
    return Proxy(
        "haproxy", program, lambda setup: haproxy_command(program, setup),
        frozenset({HTTP, ROUTES, TCP, TLS, TLS_ENDPOINTS, *HTTP2}), lambda: first_line(program, "-v"),
    )


# The null relay, and others.


def relays(program):
    """The floor: the cost of only moving the bytes."""
    def command(*words):
        return lambda setup: [program, str(setup.listen), str(setup.origin), *words]

    needs = frozenset({HTTP, ROUTES, TCP})

    def version():
        return "tools/bench.d/relay.c, cc -O2"

    missing = dict.fromkeys((TLS, TLS_ENDPOINTS), "it speaks no TLS")
    missing |= dict.fromkeys(HTTP2, "it speaks no HTTP/2")
    return [
        Proxy("relay", program, command(), needs, version, missing=missing),
        Proxy(SPLICE, program, command("splice"), needs, version, True),
    ]


def peer(text, template):
    """A proxy given as NAME=COMMAND, with the path of its configuration template, if any."""
    name, _, line = text.partition("=")

    def command(setup):
        values = {
            "{listen}": f"127.0.0.1:{setup.listen}", "{listen_port}": str(setup.listen),
            "{origin}": f"127.0.0.1:{setup.origin}", "{origin_port}": str(setup.origin),
            "{threads}": str(len(os.sched_getaffinity(0)) if setup.all_cores else 1),
            "{dir}": setup.folder,
        }

        def fill(string):
            # Not str.format: braces are common in configurations.
            for key, value in values.items():
                string = string.replace(key, value)
            return string

        if template:
            with open(template, encoding="utf-8") as file:
                suffix = os.path.splitext(template)[1]
                values["{config}"] = setup.write(f"config{suffix}", fill(file.read()))
        return [fill(word) for word in shlex.split(line)]

    program = (shlex.split(line) or [""])[0]
    return Proxy(
        name, program, command, frozenset({HTTP}), lambda: first_line(program, "--version")
    )


def refuse_debug(program):
    """Fails on a build with debug assertions: only those contain this message of the standard library."""
    try:
        with open(program, "rb") as file:
            if b"unsafe precondition(s) violated" in file.read():
                raise Failed(f"{program} is a debug build: its figures would mean nothing")
    except OSError as error:
        raise Failed(f"{program}: {error.strerror}") from error


def find(program):
    """The path of a program; None if it is not installed. nginx hides in /usr/sbin."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
