import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { LandfallError, systemCode } from '../../errors.js';
import type { ServedRequest } from '../serve-request.js';

export interface ServeMetricsOptions {
  /** Of this program. */
  readonly version: string;
}

/** What is asked at the moment a scrape comes. */
export interface InFlight {
  readonly requests: () => number;
  /** Absent for a registry that is only read. */
  readonly uploads?: () => number;
}

/** From a list in memory to a blob of many gigabytes over a slow line, in seconds. */
const DURATIONS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800];
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** What a registry server counts, for Prometheus. docs/serving.md lists it. */
export class ServeMetrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'method' | 'endpoint' | 'status'>;
  readonly #durations: Histogram<'method' | 'endpoint'>;
  readonly #sent: Counter;
  readonly #received: Counter;

  constructor({ version }: ServeMetricsOptions) {
    const registers = [this.#registry];
    const info = new Gauge({
      name: 'landfall_build_info',
      help: 'What runs here; always 1.',
      labelNames: ['version', 'node'],
      registers,
    });
    info.set({ version, node: process.version }, 1);
    this.#requests = new Counter({
      name: 'landfall_serve_requests_total',
      help: 'Requests that have ended, by method, endpoint and status.',
      labelNames: ['method', 'endpoint', 'status'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'landfall_serve_request_duration_seconds',
      help: 'How long requests took, from their head to the end of the answer.',
      labelNames: ['method', 'endpoint'],
      buckets: DURATIONS,
      registers,
    });
    this.#sent = new Counter({
      name: 'landfall_serve_sent_bytes_total',
      help: 'Bytes of bodies that were given to clients, those of answers under way included.',
      registers,
    });
    this.#received = new Counter({
      name: 'landfall_serve_received_bytes_total',
      help: 'Bytes of bodies that came from clients, by requests that have ended.',
      registers,
    });
    this.#describeProcess();
  }

  /** Tells of what is under way from now on. */
  follow({ requests, uploads }: InFlight): void {
    this.#gauge('landfall_serve_requests_in_flight', 'Requests that are being answered.', requests);
    if (uploads === undefined) return;
    this.#gauge('landfall_serve_uploads_in_flight', 'Uploads that bytes are coming for.', uploads);
  }

  sent(bytes: number): void {
    this.#sent.inc(bytes);
  }

  count({ method: given, path, status, receivedBytes, durationMs }: ServedRequest): void {
    // Both are the client's words, and what is counted by name has a bound.
    const method = METHODS.has(given) ? given : 'other';
    const endpoint = endpointOf(path);
    this.#requests.inc({ method, endpoint, status: String(status) });
    this.#durations.observe({ method, endpoint }, durationMs / 1000);
    this.#received.inc(receivedBytes);
  }

  /** What Prometheus reads, and its media type. */
  async render(): Promise<{ readonly text: string; readonly mediaType: string }> {
    return { text: await this.#registry.metrics(), mediaType: this.#registry.contentType };
  }

  #describeProcess(): void {
    this.#gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
    const start = new Gauge({
      name: 'process_start_time_seconds',
      help: 'When this process started, since 1970.',
      registers: [this.#registry],
    });
    start.set(Date.now() / 1000 - process.uptime());
    const cpu: Counter = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'What this process has used of the processors.',
      registers: [this.#registry],
      collect: () => {
        const { user, system } = process.cpuUsage();
        cpu.reset();
        cpu.inc((user + system) / 1e6);
      },
    });
  }

  #gauge(name: string, help: string, now: () => number): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect: () => gauge.set(now()),
    });
  }
}

/** Which endpoint a target is of, by its form alone. */
function endpointOf(target: string): string {
  const path = target.split('?', 1)[0] ?? '';
  if (!/^\/v2(?:\/|$)/.test(path)) return 'page';
  if (/^\/v2\/?$/.test(path)) return 'base';
  if (path === '/v2/_catalog') return 'catalog';
  if (/\/blobs\/uploads(?:\/[^/]*)?$/.test(path)) return 'uploads';
  return /\/(manifests|blobs|referrers|tags)\/[^/]*$/.exec(path)?.[1] ?? 'other';
}

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
