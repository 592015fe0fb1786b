/*
 * What asks the servers of bench/serve.ts, as a process of its own: so many connections, each asking for one blob after
 * another and reading it into a buffer that all of them share. It makes no copy of what it reads and looks at no byte but
 * the head, so that it can outrun the servers. Prints one line of JSON.
 *
 * Usage: node dist/bench/serve-client.js PORT CONNECTIONS SECONDS PATH…
 */
import { connect } from 'node:net';

const [port = '', connections = '', seconds = '', ...paths] = process.argv.slice(2);
const buffer = Buffer.allocUnsafe(256 * 1024);
const result = { bytes: 0, answers: 0, failures: 0, seconds: 0 };
let running = true;

/** One connection: asks again as soon as it has an answer whole. */
function ask(first: number): void {
  let next = first;
  /** Bytes of the body that are still to come; undefined while the head is read. */
  let left: number | undefined;
  let head = '';
  const socket = connect({
    port: Number(port),
    host: '127.0.0.1',
    onread: {
      buffer,
      callback: (length: number) => {
        take(buffer.subarray(0, length));
        return true;
      },
    },
  });
  const request = (): void => {
    const path = paths[next % paths.length] ?? '';
    next += 1;
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
  };
  const take = (bytes: Buffer): void => {
    let body = bytes;
    if (left === undefined) {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) return;
      if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(head.slice(0, end));
      left = Number(/^content-length: *(\d+)/im.exec(head)?.[1]);
      body = bytes.subarray(bytes.length - (head.length - end - 4));
      head = '';
    }
    if (running) result.bytes += body.length;
    left -= body.length;
    if (left > 0) return;
    left = undefined;
    if (running) result.answers += 1;
    request();
  };
  socket.on('connect', request);
  socket.on('error', () => (result.failures += running ? 1 : 0));
}

const began = performance.now();
for (let n = 0; n < Number(connections); n += 1) ask(n);
setTimeout(
  () => {
    running = false;
    result.seconds = (performance.now() - began) / 1000;
    process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
  },
  Number(seconds) * 1000,
);
