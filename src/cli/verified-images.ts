import { type Descriptor, formatPlatform } from '../spec/index.js';
import type { VerifyReport } from '../transfer/verify.js';
import type { VerifyFault, VerifyFaultKind } from '../transfer/verify-graph.js';
import { countOf } from './format/count.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';

/** What was proven of a source. */
export interface VerifiedImages extends VerifyReport {
  readonly source: string;
}

const KINDS: readonly VerifyFaultKind[] = ['missing', 'damaged', 'malformed', 'unreadable'];

/** As docs/json-output.md has it. */
export function verifiedJson(verified: VerifiedImages): object {
  const { source, images, documents, blobs, bytes, faults, leftOut } = verified;
  return {
    source,
    whole: faults.length === 0,
    images: images.map(({ name, target: { digest, mediaType } }) => ({ name, digest, mediaType })),
    documents,
    blobs,
    bytes,
    ...Object.fromEntries(KINDS.map((kind) => [kind, faultsOf(faults, kind).map(faultJson)])),
    leftOut: leftOut.map(({ digest, size, platform }) => ({
      digest,
      size,
      ...(platform === undefined ? {} : { platform: formatPlatform(platform) }),
    })),
  };
}

export function renderVerified(verified: VerifiedImages): string {
  const { source, images, documents, blobs, bytes, faults, leftOut } = verified;
  const facts: readonly (readonly [string, string])[] = [
    ['images', String(images.length)],
    ['manifests', String(documents)],
    ['blobs', String(blobs)],
    ['bytes', formatSize(bytes)],
    ...(leftOut.length === 0 ? [] : [['left out', leftOutLine(leftOut)] as const]),
    ...KINDS.flatMap((kind) => {
      const count = faultsOf(faults, kind).length;
      return count === 0 ? [] : [[kind, String(count)] as const];
    }),
  ];
  return [
    `${printable(source)} ${faults.length === 0 ? 'is whole' : `is not whole: ${countOf(faults.length, 'fault')}`}`,
    ...facts.map(([name, fact]) => `  ${name.padEnd(11)}${fact}`),
    ...faults.flatMap(faultLines),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function faultsOf(faults: readonly VerifyFault[], kind: VerifyFaultKind): VerifyFault[] {
  return faults.filter((fault) => fault.kind === kind);
}

function faultJson({ code, message, descriptor, images }: VerifyFault): object {
  return {
    ...(descriptor === undefined
      ? {}
      : { digest: descriptor.digest, mediaType: descriptor.mediaType, size: descriptor.size }),
    code,
    message,
    images,
  };
}

function faultLines({ kind, message, descriptor, images }: VerifyFault): string[] {
  const about = descriptor === undefined ? '' : ` ${descriptor.mediaType}, ${formatSize(descriptor.size)}`;
  return [
    `${kind}: ${printable(message)}`,
    ...(about === '' ? [] : [`  is${printable(about)}`]),
    ...(images.length === 0 ? [] : [`  of ${printable(images.join(', '))}`]),
  ];
}

/** The platforms of what has one, and how many others there are. */
function leftOutLine(leftOut: readonly Descriptor[]): string {
  const platforms = leftOut.flatMap(({ platform }) =>
    platform === undefined ? [] : [formatPlatform(platform)],
  );
  const shown = [...new Set(platforms)].sort().join(', ');
  return `${leftOut.length}${shown === '' ? '' : ` (${shown})`}`;
}
