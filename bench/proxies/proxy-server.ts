import { once } from 'node:events';
import net from 'node:net';
import { linesOf, type LineShape } from './line.js';
import { Relay } from './relay.js';

/** Passes connections on to a server on this machine, over lines of one shape. */
export class ProxyServer implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(target: number, shape: LineShape) {
    // Half-open: a client that has sent all it will may still read.
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) =>
      this.#accept(near, target, shape),
    );
  }

  /** Listens on a free port of 127.0.0.1, before the server on port `target` of it. */
  static async start(target: number, shape: LineShape): Promise<ProxyServer> {
    const proxy = new ProxyServer(target, shape);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Breaks off what is still open. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(near: net.Socket, port: number, shape: LineShape): void {
    const far = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    }
    const { up, down } = linesOf(shape, performance.now());
    Relay.start(near, far, up);
    Relay.start(far, near, down);
  }
}
