// Node's server as an origin: `node origin_node.mjs PORT FOLDER`, for HTTP/1.1; with `h2c` after that for HTTP/2 in
// plain, and with `h2 CERT KEY` for HTTP/2 over TLS.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import http2 from 'node:http2';

const [port, folder, speaks, cert, key] = process.argv.slice(2);
const read = (name) => readFileSync(`${folder}/${name}`);
const files = { '/small': read('small'), '/large': read('large') };
const piece = 10_000;

async function serve(request, response) {
  const pieces = await request.toArray().catch(() => null);
  if (!pieces) return; // the client has left
  const body = Buffer.concat(pieces);
  const file = files[request.url];
  if (file) {
    const tag = `"${file.length}"`;
    if (request.headers['if-none-match'] === tag) return response.writeHead(304).end();
    response.writeHead(200, { ETag: tag, 'Content-Length': file.length }).end(file);
  } else if (request.url === '/chunked') {
    const large = files['/large']; // no Content-Length and several writes: Node sends chunks
    for (let at = 0; at < large.length; at += piece) response.write(large.subarray(at, at + piece));
    response.end();
  } else if (request.url === '/echo') {
    response.end(`${body.length} ${createHash('sha256').update(body).digest('hex')}\n`);
  } else if (request.url === '/trailers') {
    // Returns the request's trailer in a header, and sends a trailer itself.
    const seen = request.trailers['x-sum'];
    response.writeHead(200, { Trailer: 'X-Sum', ...(seen && { 'X-Seen': seen }) });
    response.write('done\n');
    response.addTrailers({ 'X-Sum': 'f00d' });
    response.end();
  } else {
    response.writeHead(404).end('nothing here\n');
  }
}

// In MB: with more than that to be sent on one connection, it refuses requests there. By default 10.
const maxSessionMemory = 1000;
const server = {
  h2c: () => http2.createServer({ maxSessionMemory }, serve),
  h2: () => http2.createSecureServer({ maxSessionMemory, cert: readFileSync(cert), key: readFileSync(key) }, serve),
}[speaks]?.() ?? createServer(serve);

// Upgrades to a protocol that echoes every byte.
server.on('upgrade', (_request, socket, first) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.write(first);
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});

server.listen(Number(port), '127.0.0.1');
