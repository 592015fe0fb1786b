import { type Descriptor, formatPlatform, formatSize, parsePlatform, shortDigest } from '../../spec/index.js';
import type { ContentOutcome, CopyReport } from '../../transfer/copy/copy-report.js';
import type { CopyRequest, PlatformChoice } from '../../transfer/copy/copy-request.js';
import { countOf, renderTable, type TableOptions } from '../format/text.js';
import { invalidConfig } from '../config/settings.js';

/** So many blobs or manifests, of so many bytes. */
export interface ContentCount {
  readonly count: number;
  readonly bytes: number;
}

/** The work of a copy, in numbers. */
export type CopyCounts = Readonly<Record<Exclude<ContentOutcome, 'left-out'>, ContentCount>>;

/** Of an image and all that refers to it. */
export function copyCounts(report: CopyReport): CopyCounts {
  const all = allContents(report);
  const of = (wanted: ContentOutcome): ContentCount => {
    const some = all.filter(({ outcome }) => outcome === wanted);
    return {
      count: some.length,
      bytes: some.reduce((sum, { descriptor }) => sum + descriptor.size, 0),
    };
  };
  return { copied: of('copied'), mounted: of('mounted'), exists: of('exists'), planned: of('planned') };
}

/** The answer of a command that copied an image, as docs/json-output.md has it. */
export function copyJson(report: CopyReport): object {
  const { source, destination, target, resolved, outcome, omitted, referrers, signatures } = report;
  const { referrersLeftOut } = report;
  return {
    source,
    destination,
    digest: target.digest,
    mediaType: target.mediaType,
    size: target.size,
    sourceDigest: resolved.digest === target.digest ? undefined : resolved.digest,
    outcome,
    contents: copyCounts({ ...report, referrers: [] }),
    omitted: omitted.map(omittedJson),
    referrers: referrers.map(copyJson),
    referrersLeftOut,
    signatures,
  };
}

/** Something that was left out, or is missing. */
export function omittedJson({ digest, size, platform }: Descriptor): object {
  return { digest, size, platform: platform && formatPlatform(platform) };
}

/** The same for people: by its platform where it has one. */
export function omittedNames(omitted: readonly Descriptor[]): string {
  return omitted.map(({ platform, digest }) => (platform && formatPlatform(platform)) ?? digest).join(', ');
}

/** Images that were copied, as a table; of several, the last row is the sum. */
export function renderCopies(
  images: readonly { readonly name: string; readonly report: CopyReport }[],
  options: TableOptions,
): string {
  const rows = images.map(({ name, report }) => ({ name, report, copied: copyCounts(report).copied }));
  const count = rows.reduce((sum, { copied }) => sum + copied.count, 0);
  const bytes = rows.reduce((sum, { copied }) => sum + copied.bytes, 0);
  const leftOut = rows.some(({ report }) => report.omitted.length > 0);
  return renderTable(
    [
      { title: 'IMAGE', shrinks: true, keeps: 'end' },
      { title: 'COPIED', align: 'right' },
      { title: 'SIZE', align: 'right' },
      { title: 'DIGEST' },
      // Without such images the column would be empty.
      ...(leftOut ? [{ title: 'LEFT OUT', shrinks: true }] : []),
    ],
    [
      ...rows.map(({ name, report, copied }) => [
        ...[name, String(copied.count), copied.bytes === 0 ? '-' : formatSize(copied.bytes)],
        ...[shortDigest(report.target.digest), omittedNames(report.omitted)],
      ]),
      ...(rows.length < 2
        ? []
        : [[countOf(rows.length, 'image'), String(count), bytes === 0 ? '-' : formatSize(bytes)]]),
    ],
    options,
  );
}

function allContents(report: CopyReport): CopyReport['contents'] {
  return [...report.contents, ...report.referrers.flatMap(allContents)];
}

/** The flags of all commands that copy images. */
export interface CopyFlags {
  readonly all?: boolean;
  readonly platform?: readonly string[];
  readonly rewriteIndex?: boolean;
  /** False for `--no-referrers`. */
  readonly referrers?: boolean;
  readonly artifactType?: readonly string[];
  /** False for `--no-cosign-tags`. */
  readonly cosignTags?: boolean;
}

/**
 * The choices of platforms and referrers that the options make.
 *
 * @param byDefault the platforms where no option names any
 * @throws {LandfallError} INVALID_CONFIG for options that exclude each other
 */
export function copyChoice(
  {
    all = false,
    platform,
    rewriteIndex = false,
    referrers = true,
    artifactType,
    cosignTags = true,
  }: CopyFlags,
  byDefault: PlatformChoice,
): Pick<CopyRequest, 'platforms' | 'rewriteIndex' | 'referrers'> {
  if (all && platform !== undefined)
    throw invalidConfig('--all and --platform exclude each other', { hint: 'Use one of them.' });
  if (rewriteIndex && platform === undefined) {
    throw invalidConfig('--rewrite-index needs --platform', {
      hint: 'Name the platforms that the new index is to have.',
    });
  }
  if (!referrers && artifactType !== undefined) {
    throw invalidConfig('--no-referrers and --artifact-type exclude each other', {
      hint: 'Use one of them.',
    });
  }
  return {
    platforms: platform?.map((name) => parsePlatform(name)) ?? (all ? 'all' : byDefault),
    rewriteIndex,
    referrers: referrers ? { cosignTags, artifactTypes: artifactType } : undefined,
  };
}
