import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LandfallError, systemCode } from '../../errors.js';
import type { DaemonMetrics } from './metrics.js';

export interface ObserveServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly metrics: DaemonMetrics;
  /** Why the daemon cannot serve at the moment; undefined when it can. */
  readonly whyNotReady: () => Promise<string | undefined>;
}

/** `/metrics` for Prometheus, `/healthz` (the process answers) and `/readyz` (the store answers too), over HTTP without TLS. */
export class ObserveServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws LandfallError IN_USE, FILESYSTEM (the address cannot be listened at) */
  static async listen(options: ObserveServerOptions): Promise<ObserveServer> {
    const { host, port } = options;
    const server = createServer((request, response) => {
      answer(request, response, options).catch(() => response.destroy());
    });
    server.listen({ host, port });
    try {
      await once(server, 'listening');
    } catch (cause) {
      const inUse = systemCode(cause) === 'EADDRINUSE';
      throw new LandfallError(
        inUse ? 'IN_USE' : 'FILESYSTEM',
        `metrics cannot be served at ${host}:${port} (${systemCode(cause) ?? 'unknown error'})`,
        { cause, hint: 'Choose another address.' },
      );
    }
    return new ObserveServer(server);
  }

  /** `127.0.0.1:9090` */
  get address(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

async function answer(
  { method, url }: IncomingMessage,
  response: ServerResponse,
  { metrics, whyNotReady }: ObserveServerOptions,
): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') {
    send(response, 405, 'only GET and HEAD are answered');
    return;
  }
  switch (url?.split('?')[0]) {
    case '/healthz':
      send(response, 200, 'ok');
      break;
    case '/readyz': {
      const reason = await whyNotReady();
      send(response, reason === undefined ? 200 : 503, reason ?? 'ok');
      break;
    }
    case '/metrics': {
      const { text, mediaType } = await metrics.render();
      response.writeHead(200, { 'Content-Type': mediaType }).end(text);
      break;
    }
    default:
      send(response, 404, 'there are /metrics, /healthz and /readyz');
  }
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
