import { ProgramMetrics } from './metrics-server.js';

/** A request whose answer has ended. */
export interface EndedRequest {
  readonly method: string;
  /** As the client gave it, with its query. */
  readonly path: string;
  readonly status: number;
  readonly receivedBytes: number;
  readonly durationMs: number;
}

/** Numbers that are read at each scrape. */
export interface InFlight {
  readonly requests: () => number;
  /** Absent for a registry that is only read. */
  readonly uploads?: (() => number) | undefined;
}

/** From a list in memory to a blob of many gigabytes over a slow line, in seconds. */
const DURATIONS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800];
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** What a registry server counts, for Prometheus. docs/serving.md lists it. */
export class ServeMetrics extends ProgramMetrics {
  readonly #requests = this.counter(
    'landfall_serve_requests_total',
    'Requests that have ended, by method, endpoint and status.',
    ['method', 'endpoint', 'status'],
  );
  readonly #durations = this.histogram(
    'landfall_serve_request_duration_seconds',
    'How long requests took, from their head to the end of the answer.',
    ['method', 'endpoint'],
    DURATIONS,
  );
  readonly #sent = this.counter(
    'landfall_serve_sent_bytes_total',
    'Bytes of bodies that were given to clients, those of answers under way included.',
  );
  readonly #received = this.counter(
    'landfall_serve_received_bytes_total',
    'Bytes of bodies that came from clients, by requests that have ended.',
  );

  /** Adds the gauges of requests and uploads. */
  follow({ requests, uploads }: InFlight): void {
    this.gauge('landfall_serve_requests_in_flight', 'Requests that are being answered.', requests);
    if (uploads === undefined) return;
    this.gauge('landfall_serve_uploads_in_flight', 'Uploads that bytes are coming for.', uploads);
  }

  sent(bytes: number): void {
    this.#sent.inc(bytes);
  }

  count({ method: given, path, status, receivedBytes, durationMs }: EndedRequest): void {
    // A client could invent methods and paths without end; labels need a bound.
    const method = METHODS.has(given) ? given : 'other';
    const endpoint = endpointOf(path);
    this.#requests.inc({ method, endpoint, status: String(status) });
    this.#durations.observe({ method, endpoint }, durationMs / 1000);
    this.#received.inc(receivedBytes);
  }
}

/** The endpoint of a request target, by its form alone. */
function endpointOf(target: string): string {
  const path = target.split('?', 1)[0] ?? '';
  if (!/^\/v2(?:\/|$)/.test(path)) return 'page';
  if (/^\/v2\/?$/.test(path)) return 'base';
  if (path === '/v2/_catalog') return 'catalog';
  if (/\/blobs\/uploads(?:\/[^/]*)?$/.test(path)) return 'uploads';
  return /\/(manifests|blobs|referrers|tags)\/[^/]*$/.exec(path)?.[1] ?? 'other';
}
