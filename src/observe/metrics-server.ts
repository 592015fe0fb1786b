import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type ErrorCode, LandfallError, systemCode } from '../errors.js';

export interface ProgramMetricsOptions {
  /** Of this program, as semver. */
  readonly version: string;
}

/** The metrics that every long-running command has: its build and its process. Subclasses add their own. */
export class ProgramMetrics {
  protected readonly registry: Registry = new Registry();

  constructor({ version }: ProgramMetricsOptions) {
    const registers = [this.registry];
    const labelNames = ['version', 'node'];
    const help = 'What runs here; always 1.';
    new Gauge({ name: 'landfall_build_info', help, labelNames, registers }).set(
      { version, node: process.version },
      1,
    );
    this.gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
    const cpu: Counter = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'What this process has used of the processors.',
      registers,
      collect: () => {
        const { user, system } = process.cpuUsage();
        cpu.reset();
        cpu.inc((user + system) / 1e6);
      },
    });
    const start = new Gauge({
      name: 'process_start_time_seconds',
      help: 'When this process started, since 1970.',
      registers,
    });
    start.set(Date.now() / 1000 - process.uptime());
  }

  /** The text that Prometheus reads, and its media type. */
  async render(): Promise<{ readonly text: string; readonly mediaType: string }> {
    return { text: await this.registry.metrics(), mediaType: this.registry.contentType };
  }

  /** A gauge that is asked for its value at each scrape. */
  protected gauge(name: string, help: string, now: () => number | Promise<number>): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.registry],
      collect: async () => gauge.set(await now()),
    });
  }

  protected counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  protected histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets: readonly number[],
  ): Histogram<Label> {
    return new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.registry] });
  }
}

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly metrics: ProgramMetrics;
  /** Why the program cannot serve at the moment; undefined when it can. Without it there is no `/readyz`. */
  readonly whyNotReady?: (() => Promise<string | undefined>) | undefined;
  /** The code of the error for an address that cannot be listened at; default INVALID_CONFIG. */
  readonly unusable?: ErrorCode | undefined;
}

/**
 * `/metrics` for Prometheus, `/healthz` (the process answers) and, where the program can tell, `/readyz` (the
 * store answers too), over HTTP without TLS.
 */
export class MetricsServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws LandfallError IN_USE (the port is taken), or the code of the options */
  static async listen(options: MetricsServerOptions): Promise<MetricsServer> {
    const { host, port, unusable = 'INVALID_CONFIG' } = options;
    const server = createServer((request, response) => {
      answer(request, response, options).catch(() => response.destroy());
    });
    server.listen({ host, port });
    try {
      await once(server, 'listening');
    } catch (cause) {
      const why = systemCode(cause) ?? 'unknown error';
      throw new LandfallError(
        why === 'EADDRINUSE' ? 'IN_USE' : unusable,
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
  { metrics, whyNotReady }: MetricsServerOptions,
): Promise<void> {
  const send = (status: number, text: string, mediaType = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'Content-Type': mediaType }).end(text);
  };
  const path = url?.split('?')[0];
  if (method !== 'GET' && method !== 'HEAD') {
    send(405, 'only GET and HEAD are answered\n');
  } else if (path === '/healthz') {
    send(200, 'ok\n');
  } else if (path === '/metrics') {
    const { text, mediaType } = await metrics.render();
    send(200, text, mediaType);
  } else if (path === '/readyz' && whyNotReady !== undefined) {
    const reason = await whyNotReady();
    send(reason === undefined ? 200 : 503, `${reason ?? 'ok'}\n`);
  } else {
    send(
      404,
      `there are /metrics${whyNotReady === undefined ? ' and /healthz' : ', /healthz and /readyz'}\n`,
    );
  }
}
