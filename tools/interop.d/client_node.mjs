// Node's two clients, fetch and http: `node client_node.mjs fetch|http URL`.
//
// Each line of standard input is a request in JSON, and each line of output its response; clients.py
// is the other end.

import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';

const [kind, base] = process.argv.slice(2);
const connections = new Set();

// fetch

diagnostics.subscribe('undici:client:connected', ({ socket }) => connections.add(socket));

async function byFetch({ method, path, headers, pieces, chunked }) {
  const body = pieces && (chunked ? Readable.toWeb(Readable.from(pieces)) : Buffer.concat(pieces));
  const options = { method, headers, body, duplex: 'half', redirect: 'manual' };
  const response = await fetch(base + path, options);
  return {
    status: response.status,
    headers: [...response.headers],
    body: Buffer.from(await response.arrayBuffer()),
  };
}

// http

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function byHttp({ method, path, headers, pieces, chunked, trailers, expect, upgrade }) {
  const fields = { ...headers };
  if (pieces && !chunked) fields['Content-Length'] = Buffer.concat(pieces).length;
  if (chunked) fields['Transfer-Encoding'] = 'chunked';
  if (expect) fields.Expect = '100-continue';
  if (upgrade) Object.assign(fields, { Connection: 'Upgrade', Upgrade: 'echo' });
  return new Promise((resolve, reject) => {
    const request = http.request(base + path, { agent, method, headers: fields });
    const interim = [];
    const send = () => {
      for (const piece of pieces ?? []) request.write(piece);
      if (trailers) request.addTrailers(trailers);
      request.end();
    };
    request.on('error', reject);
    request.on('socket', (socket) => connections.add(socket));
    request.on('information', ({ statusCode }) => interim.push(statusCode));
    request.on('response', async (response) => {
      const body = Buffer.concat(await response.toArray());
      const { statusCode: status, headers, trailers } = response;
      resolve({ status, headers: Object.entries(headers), body, trailers, interim });
    });
    request.on('upgrade', async (response, socket, first) => {
      const sent = Buffer.from(upgrade, 'base64');
      const got = [first];
      socket.on('data', (data) => {
        got.push(data);
        if (Buffer.concat(got).length >= sent.length) socket.end();
      });
      socket.on('end', () => {
        resolve({ status: response.statusCode, headers: [], body: Buffer.concat(got) });
      });
      socket.on('error', reject);
      socket.write(sent);
    });
    // With Expect, the body waits for the 100.
    if (expect) {
      request.flushHeaders();
      request.on('continue', send);
    } else send();
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  request.pieces = request.pieces?.map((piece) => Buffer.from(piece, 'base64'));
  let answer;
  try {
    answer = await (kind === 'fetch' ? byFetch : byHttp)(request);
    answer.body = answer.body.toString('base64');
  } catch (error) {
    answer = { error: `${error} ${error.cause ?? ''}` };
  }
  console.log(JSON.stringify({ ...answer, connections: connections.size }));
}
process.exit();
