// Node's HTTP/2 client on one connection: `node client_node_h2.mjs URL AUTHORITY`; without an authority it
// speaks in plain. Each line of standard input is a request in JSON, or a batch of them for the same time,
// and each line of output the response; h2_clients.py is the other end.

import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { createInterface } from 'node:readline';

const [base, authority] = process.argv.slice(2);
let session = null;
let connections = 0;

function connected() {
  if (!session || session.closed || session.destroyed) {
    session = http2.connect(base, authority ? { ca: readFileSync(authority) } : {});
    session.on('error', () => {});
    connections += 1;
  }
  return session;
}

function ask({ method, path, headers, pieces, chunked, trailers, expect }) {
  const fields = { ':method': method, ':path': path };
  for (const [name, value] of Object.entries(headers)) {
    // A client of HTTP/2 has no fields of a connection.
    if (name.toLowerCase() !== 'connection') fields[name] = value;
  }
  const body = (pieces ?? []).map((piece) => Buffer.from(piece, 'base64'));
  if (pieces && !chunked) fields['content-length'] = Buffer.concat(body).length;
  if (expect) fields.expect = '100-continue';
  return new Promise((resolve, reject) => {
    const options = { endStream: !pieces, waitForTrailers: Boolean(trailers) };
    const stream = connected().request(fields, options);
    const interim = [];
    let head = {};
    let seen = {};
    const got = [];
    const send = () => {
      for (const piece of body) stream.write(piece);
      stream.end();
    };
    stream.on('error', reject);
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.on('headers', (fields) => interim.push(fields[':status']));
    stream.on('response', (fields) => { head = fields; });
    stream.on('trailers', (fields) => { seen = fields; });
    stream.on('data', (data) => got.push(data));
    stream.on('end', () => {
      const { ':status': status, ...headers } = head;
      const { [http2.sensitiveHeaders]: _, ...plain } = headers;
      resolve({
        status, headers: Object.entries(plain), body: Buffer.concat(got).toString('base64'),
        trailers: { ...seen }, interim,
      });
    });
    // With Expect, the body waits for the 100.
    if (expect) stream.on('continue', send);
    else if (pieces) send();
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = request.batch
      ? { batch: await Promise.all(request.batch.map(ask)) }
      : await ask(request);
  } catch (error) {
    answer = { error: `${error} ${error.cause ?? ''}` };
  }
  console.log(JSON.stringify({ ...answer, connections }));
}
process.exit();
