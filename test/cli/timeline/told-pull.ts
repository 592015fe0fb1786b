import { TimelineRecorder } from '../../../src/cli/timeline/timeline-recorder.js';
import type { Timeline } from '../../../src/cli/timeline/timeline.js';
import type { PullEventBody } from '../../../src/engine/pull/pull-report.js';
import { chainIds, type Digest, digestOf } from '../../../src/spec/index.js';

/** When what happens to a layer, in milliseconds; what is left out does not happen. */
export interface ReportedLayer {
  readonly size: number;
  readonly waiting?: number;
  readonly elsewhere?: number;
  readonly downloading?: number;
  /** How much of it an earlier pull had left. */
  readonly resumed?: number;
  /** Pairs: it breaks, and goes on. */
  readonly retries?: readonly (readonly [broken: number, again: number])[];
  readonly here?: number;
  readonly present?: number;
  readonly unpacking?: number;
  readonly unpacked?: number;
  readonly committed?: number;
  /** Its snapshot is here already. */
  readonly reused?: number;
}

export interface ReportedPull {
  readonly reference: string;
  readonly begun?: number;
  readonly resolved?: number;
  /** When manifest and config are here. */
  readonly manifests?: number;
  readonly layers?: readonly ReportedLayer[];
  readonly done?: number;
  readonly failed?: readonly [at: number, outcome: 'failed' | 'interrupted', error: string];
}

/** A timeline that was recorded of pulls which told this. */
export function timelineOf(...pulls: readonly ReportedPull[]): Timeline {
  return recorderOf(...pulls).timeline();
}

export function recorderOf(...pulls: readonly ReportedPull[]): TimelineRecorder {
  let clock = 0;
  const recorder = new TimelineRecorder(() => 1_000_000 + clock);
  const reported = pulls.flatMap((pull) => describeState(pull).map((event) => ({ ...event, pull })));
  const failures = pulls.flatMap(({ reference, failed }) =>
    failed === undefined ? [] : [{ reference, failed, at: failed[0] }],
  );
  for (const each of [...reported, ...failures].sort((a, b) => a.at - b.at)) {
    clock = each.at;
    if ('failed' in each) recorder.failed(each.reference, each.failed[1], each.failed[2]);
    else {
      const { reference, begun = 0 } = each.pull;
      recorder.add({ reference, ...each.body, at: each.at - begun });
    }
  }
  return recorder;
}

interface Emitted {
  readonly at: number;
  readonly body: PullEventBody;
}

export function layerDigest(reference: string, at: number): Digest {
  return digestOf(Buffer.from(`${reference} layer ${at}`));
}

function describeState(pull: ReportedPull): Emitted[] {
  const { reference, begun = 0, resolved, manifests, layers = [], done } = pull;
  const digest = digestOf(Buffer.from(reference));
  const diffIds = layers.map((_, at) => digestOf(Buffer.from(`${reference} diff ${at}`)));
  const named = layers.map(({ size }, at) => ({
    digest: layerDigest(reference, at),
    diffId: diffIds[at] ?? digest,
    size,
  }));
  const chains = chainIds(diffIds);
  const reported: Emitted[] = [{ at: begun, body: { type: 'resolving' } }];
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  if (resolved !== undefined)
    reported.push({ at: resolved, body: { type: 'resolved', digest, mediaType, size: 500 } });
  if (resolved !== undefined && manifests !== undefined) {
    const half = (resolved + manifests) / 2;
    reported.push(
      ...reportedBlob(
        'manifest',
        { digest, size: 500 },
        { waiting: resolved, downloading: resolved, here: half },
      ),
    );
    const config = { digest: digestOf(Buffer.from(`${reference} config`)), size: 900 };
    reported.push(...reportedBlob('config', config, { waiting: half, downloading: half, here: manifests }));
    const platform = { os: 'linux', architecture: 'amd64' };
    reported.push({ at: manifests, body: { type: 'image', digest, platform, layers: named } });
  }
  layers.forEach((layer, at) => {
    const own = named[at];
    const chainId = chains[at];
    if (own === undefined || chainId === undefined) return;
    reported.push(...reportedBlob('layer', own, layer), ...reportedUnpack({ ...own, chainId }, layer));
  });
  if (done !== undefined) reported.push({ at: done, body: { type: 'done', digest, bytesDownloaded: 1 } });
  return reported.sort((a, b) => a.at - b.at);
}

type BlobEvent = Extract<PullEventBody, { type: 'blob' }>;

function reportedBlob(
  role: BlobEvent['role'],
  { digest, size }: { digest: Digest; size: number },
  layer: Omit<ReportedLayer, 'size'>,
): Emitted[] {
  const reported: Emitted[] = [];
  const emit = (at: number | undefined, state: BlobEvent['state'], bytes: number): void => {
    if (at !== undefined) reported.push({ at, body: { type: 'blob', role, digest, size, state, bytes } });
  };
  const { resumed = 0, downloading, here, retries = [] } = layer;
  emit(layer.waiting, 'waiting', 0);
  emit(layer.elsewhere, 'elsewhere', 0);
  emit(downloading, 'downloading', resumed);
  const bytesAt = (at: number): number =>
    Math.round(
      resumed +
        ((size - resumed) * (at - (downloading ?? 0))) / Math.max(1, (here ?? at * 2) - (downloading ?? 0)),
    );
  for (const [broken, again] of retries) {
    emit(broken, 'retrying', bytesAt(broken));
    emit(again, 'downloading', bytesAt(broken));
  }
  emit(here, 'done', size);
  emit(layer.present, 'present', size);
  return reported;
}

function reportedUnpack(
  { digest, diffId, chainId, size }: { digest: Digest; diffId: Digest; chainId: Digest; size: number },
  layer: ReportedLayer,
): Emitted[] {
  const reported: Emitted[] = [];
  const emit = (at: number | undefined, state: 'unpacking' | 'unpacked' | 'committed' | 'present'): void => {
    const bytes = state === 'unpacking' ? 0 : size;
    if (at !== undefined)
      reported.push({ at, body: { type: 'layer', digest, diffId, chainId, state, bytes } });
  };
  emit(layer.unpacking, 'unpacking');
  emit(layer.unpacked, 'unpacked');
  emit(layer.committed, 'committed');
  emit(layer.reused, 'present');
  return reported;
}

/**
 * An image of so many layers that is pulled with some connections, one layer of which is far larger than the
 * others.
 *
 * @param scale how long a unit of time is, in milliseconds
 */
export function largePull(
  reference: string,
  count: number,
  { scale = 1, begun = 0, slots = 8 }: { scale?: number; begun?: number; slots?: number } = {},
): ReportedPull {
  const at = (moment: number): number => begun + moment * scale;
  const free = Array.from({ length: slots }, () => 60);
  let below = 0;
  const layers = Array.from({ length: count }, (_, n): ReportedLayer => {
    if (n % 9 === 4) return { size: 100_000 * (n + 1), present: at(60), reused: at(61) };
    const slot = free.indexOf(Math.min(...free));
    const start = free[slot] ?? 60;
    const takes = n === Math.floor(count / 3) ? 1800 : 20 + ((n * 37) % 120);
    free[slot] = start + takes;
    const unpacked = start + takes + 5 + ((n * 13) % 60);
    below = Math.max(below, unpacked);
    return {
      size: takes * 20_000,
      waiting: at(50),
      downloading: at(start),
      here: at(start + takes),
      unpacking: at(start + 4),
      unpacked: at(unpacked),
      committed: at(below + 8),
      ...(n % 11 === 7 ? { retries: [[at(start + takes / 3), at(start + takes / 2)]] as const } : {}),
    };
  });
  return { reference, begun, resolved: at(20), manifests: at(50), layers, done: at(below + 25) };
}
