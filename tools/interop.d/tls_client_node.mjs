// One TLS connection and one request: `node tls_client_node.mjs OPTIONS`; tls_clients.py is the other end.

import { readFileSync } from 'node:fs';
import tls from 'node:tls';

const asked = JSON.parse(process.argv[2]);
const read = (path) => path && readFileSync(path);
const version = asked.version && `TLSv${asked.version}`;
const answer = [];
let session = null;
let outcome = null;

const socket = tls.connect({
  host: '127.0.0.1',
  port: asked.port,
  servername: asked.servername,
  ALPNProtocols: asked.alpn,
  ca: read(asked.ca),
  cert: read(asked.cert),
  key: read(asked.key),
  rejectUnauthorized: Boolean(asked.ca),
  checkServerIdentity: () => undefined,
  session: asked.session && Buffer.from(asked.session, 'base64'),
  ...(version && { minVersion: version, maxVersion: version }),
});

const end = (result) => {
  console.log(JSON.stringify(result));
  process.exit();
};

socket.setTimeout(10_000, () => end({ error: 'timed out' }));
socket.on('secureConnect', () => {
  outcome = {
    version: socket.getProtocol().replace('TLSv', ''),
    alpn: socket.alpnProtocol || null,
    subject: socket.getPeerCertificate().subject?.CN ?? null,
    resumed: socket.isSessionReused(),
  };
  socket.write(asked.request);
});
socket.on('session', (data) => {
  session = data.toString('base64');
});
socket.on('data', (data) => answer.push(data));
socket.on('error', (error) => end({ error: String(error) }));
socket.on('end', () => {
  if (!answer.length) return end({ error: 'closed without an answer' });
  return end({ ...outcome, session, answer: Buffer.concat(answer).toString() });
});
