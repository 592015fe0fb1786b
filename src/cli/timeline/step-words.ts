import { shortDigest } from '../../spec/index.js';
import type { TimedLayer } from './timeline.js';
import type { PullStep, PullStepKind } from './where-time-went.js';

/** What a pull was waiting for, as it stands in a sentence: `downloading layer 3`. */
export function stepWords(
  { kind, layer, waitedFor }: PullStep,
  layerName: (layer: TimedLayer) => string = layerWords,
): string {
  const name = layer === undefined ? 'the layers' : layerName(layer);
  switch (kind) {
    case 'resolve':
      return 'asking what the name stands for';
    case 'check':
      return 'checking what is here and allowed';
    case 'documents':
      return 'fetching manifests and config';
    case 'wait':
      return waitedFor === 'unpack'
        ? `waiting to unpack ${name}`
        : waitedFor === 'parents'
          ? `waiting for the layers below ${name}`
          : `waiting to download ${name}`;
    case 'elsewhere':
      return `waiting for another pull to bring ${name}`;
    case 'download':
      return `downloading ${name}`;
    case 'unpack':
      return `unpacking ${name}`;
    case 'commit':
      return `committing ${name}`;
    case 'record':
      return 'recording the image';
  }
}

function layerWords({ number }: TimedLayer): string {
  return `layer ${number}`;
}

/** The same with the digest, for where there is no picture to look it up in: `layer 3 (4bcff63911fc)`. */
export function layerWithDigest({ number, digest }: TimedLayer): string {
  return `layer ${number} (${shortDigest(digest)})`;
}

/** As programs read it: of a layer one of its four steps. */
export function stepName(
  kind: PullStepKind,
): 'resolve' | 'check' | 'documents' | 'wait' | 'download' | 'unpack' | 'commit' | 'record' {
  return kind === 'elsewhere' ? 'wait' : kind;
}
