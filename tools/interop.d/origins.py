"""The origins: how each is started, and which of the optional cases it supports.

All serve `/small` and `/large` from one folder, `/chunked` (the large one in chunks), and `/echo`,
which answers with the length and the SHA-256 of what it was sent.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
UPLOADS = {"chunked upload", "100-continue"}


@dataclass
class Origin:
    name: str
    port: int
    command: list
    can: set
    environment: dict = field(default_factory=dict)
    scheme: str = "http"
    lacks: set = field(default_factory=set)  # cases that are for all others


def origins(work, folder, hyper_origin, ports):
    """All origins, on the given ports. `work` is for their files; they serve the files in `folder`."""
    return [
        nginx(work, folder, next(ports)),
        apache(work, folder, next(ports)),
        http_server(folder, next(ports)),
        uvicorn("h11", "wsproto", folder, next(ports)),
        uvicorn("httptools", "websockets", folder, next(ports)),
        node(folder, next(ports)),
        hyper(hyper_origin, folder, next(ports)),
    ]


NGINX = """
worker_processes 1; daemon off; pid {work}/nginx.pid; error_log {work}/nginx.error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {work}/nginx.body; proxy_temp_path {work}/nginx.proxy;
  fastcgi_temp_path {work}/nginx.fastcgi; uwsgi_temp_path {work}/nginx.uwsgi;
  scgi_temp_path {work}/nginx.scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder};
    # Server-side includes remove the length, so nginx sends chunks.
    location = /chunked {{ ssi on; ssi_types *; alias {folder}/large; }}
    # It forwards the body to itself, complete and with a length, and answers with that length.
    location = /echo {{ proxy_pass http://127.0.0.1:{port}/length; }}
    location = /length {{ return 200 "$content_length\\n"; }}
  }}
}}
"""


def nginx(work, folder, port):
    config = work / "nginx.conf"
    config.write_text(NGINX.format(work=work, folder=folder, port=port))
    command = ["nginx", "-e", f"{work}/nginx.error.log", "-c", str(config)]
    return Origin("nginx", port, command, UPLOADS)


APACHE = """
ServerRoot {work}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {work}/apache.pid
DefaultRuntimeDir {work}
ErrorLog {work}/apache.error.log
{modules}
<IfModule unixd_module>
  # Only if started as root, which must not serve requests.
  User #65534
  Group #65534
</IfModule>
DocumentRoot {folder}
ScriptSock {work}/apache.cgi.sock
ScriptAlias /echo {work}/echo.cgi
ScriptAlias /chunked {work}/chunked.cgi
"""
ECHO = """#!/bin/sh
file=$(mktemp)
cat > "$file"
digest=$(sha256sum < "$file")
printf 'Content-Type: text/plain\\r\\n\\r\\n%s %s\\n' "$(wc -c < "$file")" "${digest%% *}"
rm "$file"
"""
CHUNKED = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
exec cat {folder}/large
"""
MODULES = ["mpm_event", "authz_core", "alias", "cgid"]


def apache(work, folder, port):
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES
    )
    config = work / "apache.conf"
    config.write_text(APACHE.format(work=work, folder=folder, port=port, modules=modules))
    for name, script in [("echo", ECHO), ("chunked", CHUNKED.format(folder=folder))]:
        path = work / f"{name}.cgi"
        path.write_text(script)
        path.chmod(0o755)
    return Origin("Apache", port, ["apache2", "-DFOREGROUND", "-f", str(config)], UPLOADS)


def http_server(folder, port):
    # It does not read chunks, but leaves them to the handler.
    command = [sys.executable, str(HERE / "origin_http_server.py"), str(port), str(folder)]
    return Origin("http.server", port, command, {"100-continue"})


def uvicorn(http, websocket, folder, port):
    command = [sys.executable, "-B", "-m", "uvicorn", "--app-dir", str(HERE), "origin_asgi:app"]
    command += ["--port", str(port), "--http", http, "--ws", websocket, "--log-level", "warning"]
    can = UPLOADS | {"websocket"}
    return Origin(f"uvicorn {http}", port, command, can, {"FOLDER": str(folder)})


def node(folder, port):
    command = ["node", "--max-http-header-size=65536", str(HERE / "origin_node.mjs"), str(port), str(folder)]
    can = UPLOADS | {"request trailers", "answer trailers", "upgrade"}
    return Origin("Node http", port, command, can)


def hyper(hyper_origin, folder, port):
    can = UPLOADS | {"request trailers", "answer trailers", "upgrade"}
    return Origin("hyper", port, [hyper_origin, str(port), str(folder)], can)


# Those that speak HTTP/2: in plain, or over TLS with the certificate of `identity`.

TRAILERS = {"request trailers", "answer trailers"}


def http2_origins(work, folder, identity, go_origin, ports):
    """All of them: Go's if it has been built."""
    made = []
    for shown in (None, identity):
        made += [nginx_h2(work, folder, next(ports), next(ports), shown), node_h2(folder, next(ports), shown)]
        made += [nghttpd(folder, next(ports), shown)]
        made += [go_h2(go_origin, folder, next(ports), shown)] if go_origin else []
    return made


def scheme(identity):
    return "h2" if identity else "h2c"


def nginx_h2(work, folder, port, inner, identity):
    """Its own requests to itself are HTTP/1.1, on another port."""
    config = work / f"nginx.{scheme(identity)}.conf"
    text = NGINX.format(work=work, folder=folder, port=port)
    ssl = f"ssl_certificate {identity.cert}; ssl_certificate_key {identity.key};" if identity else ""
    listen = f"listen 127.0.0.1:{port};"
    text = text.replace(listen, f"listen 127.0.0.1:{port} {'ssl ' if identity else ''}http2; listen 127.0.0.1:{inner}; {ssl}")
    config.write_text(text.replace(f"http://127.0.0.1:{port}/length", f"http://127.0.0.1:{inner}/length"))
    command = ["nginx", "-e", f"{work}/nginx.error.log", "-c", str(config)]
    # It sends no 100 over HTTP/2.
    return Origin(f"nginx {scheme(identity)}", port, command, {"chunked upload"}, scheme=scheme(identity))


def node_h2(folder, port, identity):
    command = node(folder, port).command + [scheme(identity)] + ([identity.cert, identity.key] if identity else [])
    return Origin(f"Node {scheme(identity)}", port, command, UPLOADS | TRAILERS, scheme=scheme(identity))


def go_h2(go_origin, folder, port, identity):
    command = [go_origin, str(port), str(folder)] + ([identity.cert, identity.key] if identity else [])
    return Origin(f"Go {scheme(identity)}", port, command, UPLOADS | TRAILERS, scheme=scheme(identity))


def nghttpd(folder, port, identity):
    """It serves files only."""
    command = ["nghttpd", "-a", "127.0.0.1", "-d", str(folder), str(port)]
    command += [identity.key, identity.cert] if identity else ["--no-tls"]
    lacks = {"POST", "POST nothing", "keep-alive", "chunked answer", "at once"}
    return Origin(f"nghttpd {scheme(identity)}", port, command, set(), scheme=scheme(identity), lacks=lacks)
