"""The servers of the TLS cases: endpoints that speak TLS, each as its project does it.

Each answers with what it has agreed on: `version=… sni=… client=…`, as far as it can tell.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# Everything a server may be able to tell or to do.
SNI, CLIENT, VERSION, ALPN = "sni", "client", "version", "alpn"


@dataclass
class Setup:
    """What a server is started with; `client_authority` means that clients must show a certificate."""

    port: int
    folder: Path
    identity: object
    version: str
    client_authority: str | None


@dataclass
class Server:
    name: str
    command: object
    can: set


def servers():
    return [
        Server("nginx", nginx, {SNI, CLIENT, VERSION}),
        Server("HAProxy", haproxy, {SNI, CLIENT, VERSION}),
        Server("Node https", node, {SNI, CLIENT, VERSION, ALPN}),
        Server("Python ssl", python, {SNI, CLIENT, VERSION, ALPN}),
        Server("openssl s_server", s_server, {VERSION}),
    ]


NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx.body; proxy_temp_path {folder}/nginx.proxy;
  fastcgi_temp_path {folder}/nginx.fastcgi; uwsgi_temp_path {folder}/nginx.uwsgi;
  scgi_temp_path {folder}/nginx.scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv{version};
    {client}
    location / {{
      return 200 "version=$ssl_protocol sni=$ssl_server_name client=$ssl_client_s_dn resumed=$ssl_session_reused";
    }}
  }}
}}
"""


def nginx(setup):
    client = setup.client_authority
    config = setup.folder / "nginx.conf"
    config.write_text(NGINX.format(
        folder=setup.folder, port=setup.port, cert=setup.identity.cert, key=setup.identity.key,
        version=setup.version,
        client=f"ssl_client_certificate {client}; ssl_verify_client on;" if client else "",
    ))
    return ["nginx", "-e", f"{setup.folder}/nginx.error.log", "-c", str(config)]


HAPROXY = """
global
  maxconn 500
defaults
  mode http
  timeout connect 3s
  timeout client 20s
  timeout server 20s
frontend tls
  bind 127.0.0.1:{port} ssl crt {bundle} ssl-min-ver TLSv{version} ssl-max-ver TLSv{version} {client}
  http-request return status 200 content-type text/plain lf-string "version=%[ssl_fc_protocol] sni=%[ssl_fc_sni] client=%[ssl_c_s_dn]"
"""


def haproxy(setup):
    client = setup.client_authority
    config = setup.folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(
        port=setup.port, bundle=setup.identity.bundle(), version=setup.version,
        client=f"ca-file {client} verify required" if client else "",
    ))
    return ["haproxy", "-db", "-f", str(config)]


def node(setup):
    command = ["node", str(HERE / "tls_server_node.mjs"), str(setup.port), setup.version]
    return [*command, setup.identity.cert, setup.identity.key, setup.client_authority or ""]


def python(setup):
    command = [sys.executable, "-B", str(HERE / "tls_server.py"), str(setup.port), setup.version]
    return [*command, setup.identity.cert, setup.identity.key, setup.client_authority or ""]


def s_server(setup):
    # It answers HTTP/1.0 and closes: with its status page.
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{setup.port}", "-www", "-quiet"]
    command += ["-cert", setup.identity.cert, "-key", setup.identity.key]
    return [*command, f"-tls{setup.version.replace('.', '_')}"]
