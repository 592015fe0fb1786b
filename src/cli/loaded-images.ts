import type { UnpackedPresent } from '../engine/unpack-present.js';
import { type Descriptor, formatPlatform } from '../spec/index.js';
import type { ArchiveFormat } from '../transfer/archives/archive.js';
import type { LoadedFromArchive } from '../transfer/load-archive.js';
import { copyCounts } from './copy-facts.js';
import { countOf } from './format/count.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';

export interface LoadedImage extends LoadedFromArchive {
  /** Canonical. */
  readonly name: string;
  /** Absent where it was not unpacked. */
  readonly unpacked: UnpackedPresent | undefined;
}

export interface LoadedImages {
  readonly archive: string;
  readonly format: ArchiveFormat;
  readonly images: readonly LoadedImage[];
}

/** As docs/json-output.md has it. */
export function loadedJson({ archive, format, images }: LoadedImages): object {
  return { archive, format, images: images.map(imageJson) };
}

export function renderLoaded({ archive, images }: LoadedImages): string {
  const lines = images.map((image) => {
    const { copied } = copyCounts(image.report);
    const what =
      copied.count === 0
        ? 'nothing had to be copied'
        : `${copied.count} copied (${formatSize(copied.bytes)})`;
    return `${printable(image.name)} ${image.report.target.digest}: ${what}`;
  });
  lines.push(`loaded ${countOf(images.length, 'image')} from ${printable(archive)}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** What is not there of an image, for people; undefined where nothing is missing. */
export function whatIsAbsent({ missing, leftOut }: LoadedImage): string | undefined {
  const parts = [
    ...(missing.length === 0 ? [] : [`the archive lacks ${namesOf(missing)}`]),
    ...(leftOut.length === 0 ? [] : [`left out on purpose: ${namesOf(leftOut)}`]),
  ];
  return parts.length === 0 ? undefined : parts.join('; ');
}

function imageJson({ name, report, unpacked, missing, leftOut }: LoadedImage): object {
  const { target, outcome, referrers, signatures } = report;
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    outcome,
    ...(unpacked === undefined ? {} : { platform: formatPlatform(unpacked.platform) }),
    ...(unpacked?.chainId === undefined ? {} : { chainId: unpacked.chainId }),
    contents: copyCounts(report),
    referrers: referrers.length,
    missing: missing.map(absentJson),
    leftOut: leftOut.map(absentJson),
    ...(signatures === undefined ? {} : { signatures }),
  };
}

function absentJson({ digest, size, platform }: Descriptor): object {
  return { digest, size, ...(platform === undefined ? {} : { platform: formatPlatform(platform) }) };
}

function namesOf(absent: readonly Descriptor[]): string {
  return absent
    .map(({ platform, digest }) => (platform === undefined ? digest : formatPlatform(platform)))
    .join(', ');
}
