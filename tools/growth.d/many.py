"""Memory of many clients at rest and of slow ones, beside nginx and HAProxy."""

import resource
import socket
import ssl
import subprocess
import time

from ports import free_port
from process import ORIGIN, PORT, PROGRESS, Running, origin

TLS_PORT, H2_PORT = free_port(), free_port()
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
SLOW_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
SLOW_BODY = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100

NGINX = """user root; worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null; worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{ access_log off; keepalive_timeout 300; client_header_timeout 300; client_body_timeout 300;
proxy_request_buffering off; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
upstream o {{ server 127.0.0.1:{origin}; keepalive 64; }}
server {{ listen {port} backlog=4096; listen {h2} http2 backlog=4096; listen {tls} ssl backlog=4096;
ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
"""
HAPROXY = """global
  maxconn 9000
  nbthread 1
  log /dev/null local0
defaults
  mode http
  timeout connect 300s
  timeout client 300s
  timeout server 300s
  timeout http-request 300s
frontend f
  bind 127.0.0.1:{port} backlog 4096
  bind 127.0.0.1:{h2} proto h2 backlog 4096
  bind 127.0.0.1:{tls} ssl crt {folder}/both.pem backlog 4096
  default_backend o
backend o
  server o 127.0.0.1:{origin}
"""


def section(_, binary, folder, quick):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "9", "-subj", "/CN=a",
                    "-addext", "subjectAltName=DNS:a"],
                   check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    many = 1000 if quick else 8000
    kinds = {
        "idle HTTP/1.1, after a request": (many, PORT, REQUEST, True),
        "idle HTTP/1.1 over TLS, after a request": (many // 4, TLS_PORT, REQUEST, True),
        "idle HTTP/2": (many, H2_PORT, PREFACE, True),
        "slow head: 36 bytes of a request": (many // 4, PORT, SLOW_HEAD, False),
        "slow body: 100 bytes of 100 000": (many // 4, PORT, SLOW_BODY, False),
    }
    lines = ["## Many of everything", "", "| clients | how many | Evener | nginx | HAProxy |", "|---|---|---|---|---|"]
    with origin(binary):
        for kind, (count, *how) in kinds.items():
            PROGRESS.step(f"many: {kind}")
            cells = [f"{each(words, count, *how):.0f} B" for words in servers(binary, folder)]
            lines.append(f"| {kind} | {count} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Memory of the process for each client, without the kernel's; one thread each."])


def servers(binary, folder):
    where = {"folder": folder, "port": PORT, "tls": TLS_PORT, "h2": H2_PORT, "origin": ORIGIN}
    (folder / "nginx.conf").write_text(NGINX.format(**where))
    (folder / "haproxy.cfg").write_text(HAPROXY.format(**where))
    listen = ["--listen", f"127.0.0.1:{PORT}", "--listen", f"127.0.0.1:{H2_PORT}", "--listen-tls", f"127.0.0.1:{TLS_PORT}"]
    slow = ["--header-timeout", "300s", "--keepalive-timeout", "300s", "--idle-timeout", "300s", "--check", "off"]
    return [
        [binary, *listen, "--cert", f"{folder}/both.pem", "--route", f"/=127.0.0.1:{ORIGIN}", "--threads", "1", *slow],
        ["nginx", "-c", f"{folder}/nginx.conf"],
        ["haproxy", "-f", f"{folder}/haproxy.cfg"],
    ]


def each(words, count, port, first, is_answered):
    """The memory of one client, by the difference that so many make; a tenth of them come before, to warm up."""
    with Running(words, PORT) as process:
        time.sleep(0.3)
        warm = [client(port, first, is_answered, place) for place in range(count // 10)]
        time.sleep(1)
        before = process.memory()
        clients = [client(port, first, is_answered, place) for place in range(count)]
        time.sleep(2)
        after = process.memory()
        for one in warm + clients:
            one.close()
    return (after - before) / count


def client(port, first, is_answered, place):
    plain = socket.socket()
    # Few ports of many addresses: those of one would not do for 100 000.
    plain.bind((f"127.0.1.{1 + place % 200}", 0))
    plain.settimeout(20)
    plain.connect(("127.0.0.1", port))
    one = CONTEXT.wrap_socket(plain) if port == TLS_PORT else plain
    one.sendall(first)
    if is_answered and not one.recv(4096):
        raise SystemExit("tools/growth: a client got no answer")
    return one


CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE
