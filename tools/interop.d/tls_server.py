"""Python's http.server over ssl: `tls_server.py PORT VERSION CERT KEY [CLIENT_AUTHORITY]`."""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMES = {}  # of connections


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        tls = self.connection
        subject = dict(pair[0] for pair in (tls.getpeercert() or {}).get("subject", ()))
        body = (
            f"version={tls.version()} sni={NAMES.get(tls, '')} client=CN={subject.get('commonName', '')}"
            f" alpn={tls.selected_alpn_protocol() or ''}"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_):
        """Logs errors but not responses."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A refused handshake is no error of the server."""


def main():
    port, version, cert, key, authority = (sys.argv[1:] + [""])[:5]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = getattr(
        ssl.TLSVersion, f"TLSv{version.replace('.', '_')}"
    )
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    context.sni_callback = lambda tls, name, _: NAMES.update({tls: name or ""})
    if authority:
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
    server = Server(("127.0.0.1", int(port)), Handler)
    # The handshake happens in the thread of the connection, when it is first read.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


main()
