import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { recordedUsage } from '../../engine/upkeep/disk-usage.js';
import type { RemovedImage } from '../../engine/images/remove.js';
import type { Store } from '../../engine/store.js';
import { isLandfallError, LandfallError, systemCode } from '../../errors.js';
import { integerOf } from '../../metadata/index.js';
import type { EndedPull, Pulls } from '../pulls/pulls.js';
import type { LayerOutcome } from '../snapshots/snapshots-service.js';

export interface DaemonMetricsOptions {
  readonly store: Store;
  /** Of this program. */
  readonly version: string;
}

/** From a cached image to one of tens of gigabytes, in seconds. */
const DURATIONS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];
/** Hosts and registries are named by whoever pulls, so what is counted by name has a bound; the rest is counted together. */
const MOST_NAMES = 200;
const OTHERS = 'others';

/** What the daemon counts, for Prometheus. docs/node.md lists it. */
export class DaemonMetrics {
  readonly #registry = new Registry();
  readonly #names = new Map<string, Set<string>>();
  readonly #pulls: Counter<'result' | 'code'>;
  readonly #durations: Histogram<'result'>;
  readonly #registryBytes: Counter<'registry'>;
  readonly #hostBytes: Counter<'host'>;
  readonly #resumedBytes: Counter;
  readonly #layers: Counter<'reused'>;
  readonly #snapshotLayers: Counter<'outcome'>;
  readonly #removedImages: Counter;
  readonly #freedBytes: Counter<'by'>;

  constructor({ store, version }: DaemonMetricsOptions) {
    const registers = [this.#registry];
    const info = new Gauge({
      name: 'landfall_build_info',
      help: 'What runs here; always 1.',
      labelNames: ['version', 'node'],
      registers,
    });
    info.set({ version, node: process.version }, 1);
    this.#pulls = new Counter({
      name: 'landfall_pulls_total',
      help: 'Pulls that have ended, by result (ok, error) and error code.',
      labelNames: ['result', 'code'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'landfall_pull_duration_seconds',
      help: 'How long pulls took, waiting for their turn included.',
      labelNames: ['result'],
      buckets: DURATIONS,
      registers,
    });
    this.#registryBytes = new Counter({
      name: 'landfall_pull_bytes_total',
      help: 'Bytes of blobs that came for pulls, by the registry of the image.',
      labelNames: ['registry'],
      registers,
    });
    this.#hostBytes = new Counter({
      name: 'landfall_received_bytes_total',
      help: 'Bytes of answers, by the host that sent them: a registry, a mirror, or where one of them redirects to.',
      labelNames: ['host'],
      registers,
    });
    this.#resumedBytes = new Counter({
      name: 'landfall_pull_resumed_bytes_total',
      help: 'Bytes that pulls found of downloads that had broken off, and did not ask for again.',
      registers,
    });
    this.#layers = new Counter({
      name: 'landfall_layers_total',
      help: 'Layers of images that were pulled, by whether they were here already.',
      labelNames: ['reused'],
      registers,
    });
    this.#snapshotLayers = new Counter({
      name: 'landfall_snapshot_layers_total',
      help: 'Layers that containerd asked for: present, pulled, or left to containerd to bring itself.',
      labelNames: ['outcome'],
      registers,
    });
    this.#removedImages = new Counter({
      name: 'landfall_removed_images_total',
      help: 'Names of images that clients of CRI removed, which is how a kubelet collects garbage.',
      registers,
    });
    this.#freedBytes = new Counter({
      name: 'landfall_freed_bytes_total',
      help: 'Bytes of blobs and unpacked layers that were freed, by what freed them: image (its removal), snapshot, collection.',
      labelNames: ['by'],
      registers,
    });
    // So that it is seen to be 0 before there is any.
    for (const by of ['image', 'snapshot', 'collection'] as const) this.freed(by, 0);
    const stored = new Gauge({
      name: 'landfall_store_bytes',
      help: 'What the store takes, by what it is: blobs, snapshots.',
      labelNames: ['kind'],
      registers,
      collect: async () => {
        const { blobs, snapshots } = await recordedUsage(store);
        stored.set({ kind: 'blobs' }, blobs.bytes);
        stored.set({ kind: 'snapshots' }, snapshots.bytes);
      },
    });
    const images: Gauge = new Gauge({
      name: 'landfall_images',
      help: 'Names of images in the store.',
      registers,
      collect: async () => {
        const row = await store.database.get('SELECT count(*) AS count FROM images');
        if (row !== undefined) images.set(integerOf(row, 'count'));
      },
    });
    const memory: Gauge = new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the daemon.',
      registers,
      collect: () => memory.set(process.memoryUsage.rss()),
    });
    const cpu: Counter = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'What the daemon has used of the processors.',
      registers,
      collect: () => {
        cpu.reset();
        cpu.inc(cpuSeconds());
      },
    });
    const start = new Gauge({
      name: 'process_start_time_seconds',
      help: 'When the daemon started, since 1970.',
      registers,
    });
    start.set(Date.now() / 1000 - process.uptime());
  }

  /** Counts what these pulls do from now on. */
  follow(pulls: Pulls): void {
    const gauge = new Gauge<'state'>({
      name: 'landfall_pulls_in_flight',
      help: 'Pulls that have not ended, by state.',
      labelNames: ['state'],
      registers: [this.#registry],
      collect: () => {
        gauge.reset();
        for (const state of ['queued', 'resolving', 'transferring']) gauge.set({ state }, 0);
        for (const { state } of pulls.list()) gauge.inc({ state });
      },
    });
    pulls.on('ended', (ended) => this.#count(ended));
  }

  /** @param host that sent so many bytes of an answer */
  received(host: string, bytes: number): void {
    this.#hostBytes.inc({ host: this.#bounded('host', host) }, bytes);
  }

  /** An image was removed by its name for a client of CRI. */
  removed({ freed }: RemovedImage): void {
    this.#removedImages.inc();
    this.freed('image', freed);
  }

  /** @param by what freed so many bytes: containerd's letting go of a snapshot, or a collection after its own */
  freed(by: 'image' | 'snapshot' | 'collection', bytes: number): void {
    this.#freedBytes.inc({ by }, bytes);
  }

  /** @param outcome how a layer came that containerd asked for */
  snapshotLayer(outcome: LayerOutcome): void {
    this.#snapshotLayers.inc({ outcome });
  }

  /** What Prometheus reads, and its media type. */
  async render(): Promise<{ readonly text: string; readonly mediaType: string }> {
    return { text: await this.#registry.metrics(), mediaType: this.#registry.contentType };
  }

  #count({ outcome, durationMs, registry, progress }: EndedPull): void {
    const failed = 'error' in outcome;
    const result = failed ? 'error' : 'ok';
    this.#pulls.inc({ result, code: failed ? codeOf(outcome.error) : '' });
    this.#durations.observe({ result }, durationMs / 1000);
    this.#registryBytes.inc({ registry: this.#bounded('registry', registry) }, progress.downloadedBytes);
    this.#resumedBytes.inc(progress.resumedBytes);
    if (failed) return;
    for (const { reused } of outcome.result.layers) this.#layers.inc({ reused: String(reused) });
  }

  #bounded(kind: string, name: string): string {
    const known = this.#names.get(kind) ?? new Set();
    this.#names.set(kind, known);
    if (known.has(name)) return name;
    if (known.size >= MOST_NAMES) return OTHERS;
    known.add(name);
    return name;
  }
}

function codeOf(error: Error): string {
  return isLandfallError(error) ? error.code : 'INTERNAL';
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

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
