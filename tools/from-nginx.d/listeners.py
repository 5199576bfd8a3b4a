"""Which servers are translated: routes of Evener are for all of its listeners, and those of nginx for those of their server."""


def key(address, is_tls):
    """What two addresses have in common that the same clients reach: 0.0.0.0 and [::] are every client of this port."""
    host, _, port = address.rpartition(":")
    if address.startswith("unix:"):
        return ("unix", address, is_tls)
    return ("any" if host in ("0.0.0.0", "[::]", "") else host, port, is_tls)


def covered(address, others):
    """Whether another of them is for all addresses, this one among them."""
    host, _, port = address.rpartition(":")
    if address.startswith("unix:") or host in ("0.0.0.0", "[::]"):
        return False
    return f"{'[::]' if host.startswith('[') else '0.0.0.0'}:{port}" in others


def reach(keys):
    """How many clients come to the widest of them: those of all addresses, of one, or of this machine."""
    def one(host):
        is_local = host in ("unix", "localhost", "[::1]") or host.startswith("127.")
        return 2 if host == "any" else 0 if is_local else 1
    return max(one(host) for host, _, _ in keys)


class Listeners:
    """Chooses listeners, such that no route comes to be where nginx did not have it."""

    def __init__(self, servers, report):
        self.servers, self.report = servers, report
        self.unify()
        self.keys = {id(server): {key(address, is_tls) for address, is_tls, _, _ in server.listens} for server in servers}
        self.redirecting = [server for server in servers if server.redirect]
        serving = [server for server in servers if server not in self.redirecting and self.keys[id(server)]]
        self.chosen = self.choose(serving or [server for server in servers if self.keys[id(server)]])
        self.has_plain = any(not is_tls for _, _, is_tls in self.chosen)
        self.kept = [server for server in servers if self.is_kept(server)]
        # Their hosts are closed where the others are, or requests for them would go to another server.
        self.left = [server for server in servers if server not in self.kept and self.keys[id(server)] & self.chosen]
        self.default = self.default_server()

    def unify(self):
        """`ssl` and `proxy_protocol` are of an address, whichever server says them."""
        said = {}
        for server in self.servers:
            for address, is_tls, is_proxy, _ in server.listens:
                known = said.get(address, (False, False))
                said[address] = (known[0] or is_tls, known[1] or is_proxy)
        for server in self.servers:
            for listen in server.listens:
                listen[1:3] = said[listen[0]]

    def choose(self, servers):
        """Of the sets that servers have, the one that most is left of: the widest, with the most servers that pass requests on."""
        best, best_rank = set(), None
        for server in servers:
            keys = self.keys[id(server)]
            kept = sum(keys <= self.keys[id(other)] for other in servers if other.passes)
            has_plain = any(not is_tls for _, _, is_tls in keys)
            redirected = sum(not has_plain or keys <= self.keys[id(other)] for other in self.redirecting)
            rank = (reach(keys), kept * len(keys) + redirected, len(keys))
            if best_rank is None or rank > best_rank:
                best, best_rank = keys, rank
        return best

    def is_kept(self, server):
        is_redirected = server.redirect and not self.has_plain and self.chosen
        return bool(self.chosen) and not is_redirected and self.chosen <= self.keys[id(server)]

    def default_server(self):
        """The one that takes what names no server, if it is the same for all listeners."""
        found = []
        for wanted in sorted(self.chosen):
            here = [server for server in self.servers if wanted in self.keys[id(server)]]
            flagged = [server for server in here if any(
                key(address, is_tls) == wanted and address in server.default_of for address, is_tls, _, _ in server.listens)]
            found.append((flagged or here)[0])
        if any(server is not found[0] for server in found[1:]):
            self.report.untranslated(found[0].block, "default servers: Evener has one for all listeners, and these have several: none is one now")
            return None
        return found[0] if found and found[0] in self.kept else None

    def addresses(self, top):
        """Where is listened, plain and by TLS."""
        plain, tls = [], []
        listens = [listen for server in self.servers for listen in server.listens
                   if key(*listen[:2]) in self.chosen or (server in self.redirecting and server not in self.kept and not self.has_plain)]
        whole = [address for address, _, _, _ in listens]
        for address, is_tls, is_proxy, statement in listens:
            if covered(address, whole):
                continue
            if is_proxy and "trusted" not in top:
                self.report.once(statement, f"listen {address} proxy_protocol: left out: write in trusted whose PROXY headers are accepted")
                continue
            text, known = address + (",proxy" if is_proxy else ""), tls if is_tls else plain
            if text not in known:
                known.append(text)
        return plain, tls

    def tell(self):
        """Lists what is left out, and where servers are no longer."""
        kept = ", ".join(dict.fromkeys(
            address for server in self.kept for address, is_tls, _, _ in server.listens if key(address, is_tls) in self.chosen))
        for server in self.servers:
            own = ", ".join(address for address, _, _, _ in server.listens) or "nothing that Evener has"
            if server in self.kept:
                lost = [address for address, is_tls, _, _ in server.listens if key(address, is_tls) not in self.chosen]
                if lost:
                    self.report.untranslated(
                        server.block, f"this server is no longer on {', '.join(lost)}: routes are for all listeners, and others are not there")
            elif not (server in self.redirecting and not self.has_plain):
                self.report.untranslated(
                    server.block, f"a server that listens on {own}, and not on {kept or 'anything'}: left out with its routes, "
                    "which would be for all listeners: give it an Evener of its own")


def names(chosen, report):
    """Gives every server the hosts of its routes: each host to the first that has it, even if that is left out."""
    taken, kept = set(), []
    for server in chosen.servers:
        if server not in chosen.kept and server not in chosen.left:
            continue
        server.hosts = [host for host in server.names if host not in taken]
        for host in server.names:
            if host in taken:
                report.untranslated(server.block, f"server_name {host}: an earlier server has it, and nginx takes that one")
        taken.update(server.hosts)
        if server in chosen.left:
            continue
        if server.hosts or server is chosen.default:
            kept.append(server)
        else:
            report.untranslated(server.block, "a server that no name leads to is left out, as its routes would be for every host")
    return kept


def client_certificates(servers, top, report):
    """Evener asks all clients of its TLS listeners for a certificate or none: the strictest server decides."""
    asked = {id(server): (server.settings.arg("ssl_verify_client") or "off",
                          server.settings.arg("ssl_client_certificate")) for server in servers}
    asking = [server for server in servers if asked[id(server)][0] != "off"]
    if not asking:
        return
    verifying = [server for server in asking if asked[id(server)][0] in ("on", "optional") and asked[id(server)][1]]
    strictest = next((server for server in verifying if asked[id(server)][0] == "on"), verifying[0] if verifying else None)
    mode, authority = asked[id(strictest)] if strictest else ("off", None)
    if strictest:
        top["client_ca"] = authority
        top["client_auth"] = "required" if mode == "on" else "optional"
    for server in servers:
        said, own = asked[id(server)]
        statement = server.settings.last("ssl_verify_client") or server.block
        if said != "off" and (server not in verifying or own != authority):
            server.is_closed = True
            why = f"Evener has one client_ca: {authority}" if server in verifying else "it has no equivalent"
            report.untranslated(statement, f"ssl_verify_client {said}{f' by {own}' if own else ''}: {why}: the server is closed with 403")
        elif said != mode:
            report.untranslated(statement, f"ssl_verify_client {said}: Evener has one client_auth for all TLS listeners, "
                                f"and the strictest holds: {top['client_auth']}")


def certificates(servers, report):
    """Those of the servers, each once."""
    found = []
    for server in servers:
        certs, keys = server.settings.all("ssl_certificate"), server.settings.all("ssl_certificate_key")
        for statement, own in zip(certs, keys + [None] * len(certs)):
            entry = {"cert": statement["args"][0]}
            if own:
                entry["key"] = own["args"][0]
            if "$" in "".join(entry.values()) or any(":" in text.split("/")[0] for text in entry.values()):
                report.once(statement, f"ssl_certificate {entry['cert']}: a file whose name is fixed")
            elif entry not in found:
                found.append(entry)
    return found


def oldest_tls(servers, top, report):
    """The strictest word on versions holds for all."""
    said = [(server.settings.last("ssl_protocols"), server) for server in servers]
    found = [(statement, "1.3" if statement and statement["args"] == ["TLSv1.3"] else "1.2") for statement, _ in said]
    if not any(statement for statement, _ in found):
        return
    top["tls_min_version"] = max(version for _, version in found)
    for statement, version in found:
        if statement and ("TLSv1" in statement["args"] or "TLSv1.1" in statement["args"]):
            report.note(statement, "TLS before 1.2 is not spoken")
        if version != top["tls_min_version"]:
            report.once(statement or said[0][1].block, "ssl_protocols: Evener has one tls_min_version, "
                        f"and the strictest holds: {top['tls_min_version']}")
