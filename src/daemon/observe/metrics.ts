import type { RemovedImage } from '../../engine/images/names.js';
import type { Store } from '../../engine/store.js';
import { recordedUsage } from '../../engine/upkeep/disk-usage.js';
import { isLandfallError } from '../../errors.js';
import { Gauge } from 'prom-client';
import { integerOf } from '../../metadata/index.js';
import { ProgramMetrics, type ProgramMetricsOptions } from '../../observe/metrics-server.js';
import type { EndedPull, Pulls } from '../pulls/pulls.js';
import type { LayerOutcome } from '../snapshots/snapshots-service.js';

export interface DaemonMetricsOptions extends ProgramMetricsOptions {
  readonly store: Store;
}

/** From a cached image to one of tens of gigabytes, in seconds. */
const DURATIONS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];
/** Clients name hosts and registries, so these labels need a bound; the rest is counted as {@link OTHERS}. */
const MOST_NAMES = 200;
const OTHERS = 'others';

/** What the daemon counts, for Prometheus. docs/node.md lists it. */
export class DaemonMetrics extends ProgramMetrics {
  readonly #names = new Map<string, Set<string>>();
  readonly #pulls = this.counter(
    'landfall_pulls_total',
    'Pulls that have ended, by result (ok, error) and error code.',
    ['result', 'code'],
  );
  readonly #durations = this.histogram(
    'landfall_pull_duration_seconds',
    'How long pulls took, waiting for their turn included.',
    ['result'],
    DURATIONS,
  );
  readonly #registryBytes = this.counter(
    'landfall_pull_bytes_total',
    'Bytes of blobs that came for pulls, by the registry of the image.',
    ['registry'],
  );
  readonly #hostBytes = this.counter(
    'landfall_received_bytes_total',
    'Bytes of answers, by the host that sent them: a registry, a mirror, or where one of them redirects to.',
    ['host'],
  );
  readonly #resumedBytes = this.counter(
    'landfall_pull_resumed_bytes_total',
    'Bytes that pulls found of downloads that had broken off, and did not ask for again.',
  );
  readonly #layers = this.counter(
    'landfall_layers_total',
    'Layers of images that were pulled, by whether they were here already.',
    ['reused'],
  );
  readonly #snapshotLayers = this.counter(
    'landfall_snapshot_layers_total',
    'Layers that containerd asked for: present, pulled, or left to containerd to bring itself.',
    ['outcome'],
  );
  readonly #removedImages = this.counter(
    'landfall_removed_images_total',
    'Names of images that clients of CRI removed, which is how a kubelet collects garbage.',
  );
  readonly #freedBytes = this.counter(
    'landfall_freed_bytes_total',
    'Bytes of blobs and unpacked layers that were freed, by what freed them: image (its removal), snapshot, collection.',
    ['by'],
  );

  constructor({ store, version }: DaemonMetricsOptions) {
    super({ version });
    // So that each is seen to be 0 before anything was freed.
    for (const by of ['image', 'snapshot', 'collection'] as const) this.freed(by, 0);
    const stored = new Gauge({
      name: 'landfall_store_bytes',
      help: 'The space of the store, by kind: blobs, snapshots.',
      labelNames: ['kind'],
      registers: [this.registry],
      collect: async () => {
        const { blobs, snapshots } = await recordedUsage(store);
        stored.set({ kind: 'blobs' }, blobs.bytes);
        stored.set({ kind: 'snapshots' }, snapshots.bytes);
      },
    });
    this.gauge('landfall_images', 'Names of images in the store.', async () => {
      const row = await store.database.get('SELECT count(*) AS count FROM images');
      return row === undefined ? 0 : integerOf(row, 'count');
    });
  }

  /** Counts what these pulls do from now on. */
  follow(pulls: Pulls): void {
    const gauge = new Gauge<'state'>({
      name: 'landfall_pulls_in_flight',
      help: 'Pulls that have not ended, by state.',
      labelNames: ['state'],
      registers: [this.registry],
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

  /** @param by what freed the bytes: the removal of an image or a snapshot, or a collection */
  freed(by: 'image' | 'snapshot' | 'collection', bytes: number): void {
    this.#freedBytes.inc({ by }, bytes);
  }

  /** @param outcome how a layer came that containerd asked for */
  snapshotLayer(outcome: LayerOutcome): void {
    this.#snapshotLayers.inc({ outcome });
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
