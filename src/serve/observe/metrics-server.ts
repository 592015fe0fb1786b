import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { LandfallError, systemCode } from '../../errors.js';
import type { ServeMetrics } from './serve-metrics.js';

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly metrics: ServeMetrics;
}

/** `/metrics` for Prometheus and `/healthz` (the process answers), over HTTP, beside the registry and not a part of it. */
export class MetricsServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws LandfallError IN_USE, INVALID_CONFIG (the address cannot be listened at) */
  static async listen({ host, port, metrics }: MetricsServerOptions): Promise<MetricsServer> {
    const server = createServer((request, response) => {
      answer(request, response, metrics).catch(() => response.destroy());
    });
    server.listen({ host, port });
    try {
      await once(server, 'listening');
    } catch (cause) {
      const inUse = systemCode(cause) === 'EADDRINUSE';
      const why = systemCode(cause) ?? 'unknown error';
      throw new LandfallError(
        inUse ? 'IN_USE' : 'INVALID_CONFIG',
        `metrics cannot be served at ${host}:${port} (${why})`,
        { cause, hint: 'Choose another address.' },
      );
    }
    return new MetricsServer(server);
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
  metrics: ServeMetrics,
): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') {
    send(response, 405, 'only GET and HEAD are answered');
    return;
  }
  switch (url?.split('?')[0]) {
    case '/healthz':
      send(response, 200, 'ok');
      break;
    case '/metrics': {
      const { text, mediaType } = await metrics.render();
      response.writeHead(200, { 'Content-Type': mediaType }).end(text);
      break;
    }
    default:
      send(response, 404, 'there are /metrics and /healthz');
  }
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
