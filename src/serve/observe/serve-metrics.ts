import { Counter, Gauge, Histogram, Registry } from 'prom-client';

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
