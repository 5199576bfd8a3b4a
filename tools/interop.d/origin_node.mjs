// Node's http server as an origin: `node origin_node.mjs PORT FOLDER`.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [port, folder] = process.argv.slice(2);
const read = (name) => readFileSync(`${folder}/${name}`);
const files = { '/small': read('small'), '/large': read('large') };
const piece = 10_000;

const server = createServer(async (request, response) => {
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
});

// Upgrades to a protocol that echoes every byte.
server.on('upgrade', (_request, socket, first) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.write(first);
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});

server.listen(Number(port), '127.0.0.1');
