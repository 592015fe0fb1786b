import { once } from 'node:events';
import net from 'node:net';

export interface CuttingProxyOptions {
  /** `127.0.0.1:PORT` */
  readonly to: string;
  /**
   * How many bytes of the client each connection carries: the first, the second, and so on. Those after: all.
   */
  readonly cuts: readonly number[];
}

/**
 * Stands before a server and breaks connections off once the client has sent so much. A connection on which
 * little is sent is not counted, so that the cuts meet uploads and not what goes before.
 */
export class CuttingProxy implements AsyncDisposable {
  /** How many connections were cut. */
  cut = 0;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly #cuts: number[];

  private constructor({ to, cuts }: CuttingProxyOptions) {
    this.#cuts = [...cuts];
    const [host = '', port = ''] = to.split(':');
    this.#server = net.createServer((client) => this.#join(client, net.connect(Number(port), host)));
  }

  static async start(options: CuttingProxyOptions): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** `127.0.0.1:PORT` */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: net.Socket, server: net.Socket): void {
    const both = [client, server];
    let carried = 0;
    for (const socket of both) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        for (const each of both) each.destroy();
      });
    }
    server.pipe(client);
    client.on('data', (chunk: Buffer) => {
      carried += chunk.length;
      const [cut] = this.#cuts;
      if (cut !== undefined && carried >= cut) {
        this.#cuts.shift();
        this.cut += 1;
        server.end(chunk.subarray(0, chunk.length - (carried - cut)));
        client.resetAndDestroy();
        return;
      }
      if (!server.write(chunk)) client.pause();
    });
    server.on('drain', () => client.resume());
    client.on('end', () => server.end());
  }
}
