import type { PullEvent } from '../../src/engine/pull/pull-report.js';
import {
  emptyPullModel,
  type ProgressEvent,
  type PullModel,
  reducePull,
} from '../../src/cli/progress/pull-model.js';
import { chainIds, type Digest, digestOf } from '../../src/spec/index.js';

export const NAME = 'docker.io/library/debian:trixie';

export interface TestLayer {
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly chainId: Digest;
  readonly size: number;
}

/** Layers of these sizes, bottom first. */
export function testLayers(...sizes: number[]): TestLayer[] {
  const diffIds = sizes.map((_, at) => digestOf(Buffer.from(`diff ${at}`)));
  const chains = chainIds(diffIds);
  return sizes.map((size, at) => {
    const [diffId, chainId] = [diffIds[at], chains[at]];
    if (diffId === undefined || chainId === undefined) throw new Error('chainIds gave too few');
    return { digest: digestOf(Buffer.from(`layer ${at}`)), diffId, chainId, size };
  });
}

export const TARGET: Digest = digestOf(Buffer.from('index'));

export function resolving(reference: string = NAME): PullEvent {
  return { reference, at: 0, type: 'resolving' };
}

export function resolved(reference: string = NAME): PullEvent {
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  return { reference, at: 10, type: 'resolved', digest: TARGET, mediaType, size: 1234 };
}

export function image(layers: readonly TestLayer[], reference: string = NAME): PullEvent {
  const platform = { os: 'linux', architecture: 'amd64' };
  return { reference, at: 20, type: 'image', digest: TARGET, platform, layers };
}

type BlobState = Extract<PullEvent, { type: 'blob' }>['state'];
type LayerState = Extract<PullEvent, { type: 'layer' }>['state'];

export function blob(
  layer: Pick<TestLayer, 'digest' | 'size'>,
  state: BlobState,
  bytes = 0,
  at = 100,
  reference: string = NAME,
): PullEvent {
  return { reference, at, type: 'blob', role: 'layer', digest: layer.digest, size: layer.size, state, bytes };
}

export function unpack(layer: TestLayer, state: LayerState, bytes = 0, reference: string = NAME): PullEvent {
  const { digest, diffId, chainId } = layer;
  return { reference, at: 100, type: 'layer', digest, diffId, chainId, state, bytes };
}

export function done(bytesDownloaded: number, reference: string = NAME): PullEvent {
  return { reference, at: 1000, type: 'done', digest: TARGET, bytesDownloaded };
}

export function modelAfter(
  events: readonly ProgressEvent[],
  options: { readonly unpack: boolean; readonly images?: number } = { unpack: true },
): PullModel {
  return events.reduce(reducePull, emptyPullModel(options));
}

/** The first pull of a model. */
export function onlyPull(model: PullModel): PullModel['pulls'][number] {
  const pull = model.pulls[0];
  if (pull === undefined) throw new Error('the model has no pull');
  return pull;
}
