import { once } from 'node:events';
import net from 'node:net';

/** A server whose answers are written byte for byte, as no library would make them. */
export interface RawServer extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** The first lines of the requests, without the version: `GET /v2/`. */
  readonly lines: string[];
}

/**
 * A server that answers each request with the bytes that `answer` gives for its first line, and then closes
 * the connection; without an answer where there are none. Requests must have no bodies.
 */
export async function startRawServer(answer: (line: string) => string | undefined): Promise<RawServer> {
  const lines: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let head = '';
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      const line = head.slice(0, head.indexOf(' HTTP/1.1\r\n'));
      head = '';
      lines.push(line);
      const bytes = answer(line);
      if (bytes === undefined) socket.destroy();
      else socket.end(bytes, 'latin1');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    lines,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
