// Node's https server: `node tls_server_node.mjs PORT VERSION CERT KEY [CLIENT_AUTHORITY]`.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [port, version, cert, key, authority] = process.argv.slice(2);

const options = {
  cert: readFileSync(cert),
  key: readFileSync(key),
  minVersion: `TLSv${version}`,
  maxVersion: `TLSv${version}`,
  ALPNProtocols: ['http/1.1'],
  ...(authority && { ca: readFileSync(authority), requestCert: true, rejectUnauthorized: true }),
};

createServer(options, ({ socket }, response) => {
  const client = socket.getPeerCertificate().subject?.CN ?? '';
  const { servername, alpnProtocol } = socket;
  response.end(
    `version=${socket.getProtocol()} sni=${servername || ''} client=CN=${client} alpn=${alpnProtocol || ''}`,
  );
}).listen(Number(port), '127.0.0.1');
