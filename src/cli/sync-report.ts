import path from 'node:path';
import { FileOutput } from '../content/file-output.js';
import type { PrunedTag, SyncedImage, SyncResult } from '../transfer/sync/index.js';
import { errorFacts } from './error-facts.js';
import { version } from './version.js';

/** What of a run is not in its result. */
export interface SyncRun {
  readonly file: string;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  readonly dryRun: boolean;
  /** `0/8` */
  readonly shard: string | undefined;
}

/** A JSON object; what is in it besides is told in docs/json-output.md. */
export interface SyncReport {
  readonly [key: string]: unknown;
  readonly images: readonly object[];
}

/** How many images there are of each outcome, and how much was moved. */
export interface SyncTotals {
  readonly images: number;
  readonly copied: number;
  readonly exists: number;
  readonly planned: number;
  readonly unchanged: number;
  readonly failed: number;
  readonly bytes: number;
  readonly pruned: number;
}

export function syncTotals({ images, pruned }: SyncResult): SyncTotals {
  const of = (outcome: SyncedImage['outcome']): number =>
    images.filter((image) => image.outcome === outcome).length;
  return {
    images: images.length,
    copied: of('copied'),
    exists: of('exists'),
    planned: of('planned'),
    unchanged: of('unchanged'),
    failed: of('failed'),
    bytes: images.reduce((sum, { bytes }) => sum + bytes, 0),
    pruned: pruned.filter(({ outcome }) => outcome === 'deleted' || outcome === 'planned').length,
  };
}

/** The report as docs/json-output.md has it: the images are the larger part by far, and come last. */
export function syncReport(result: SyncResult, run: SyncRun): SyncReport {
  const { file, startedAt, finishedAt, dryRun, shard } = run;
  return {
    ...{ version: 1, landfall: version(), file },
    startedAt: startedAt.toISOString(),
    finishedAt: finishedAt.toISOString(),
    dryRun,
    ...(shard === undefined ? {} : { shard }),
    totals: syncTotals(result),
    failures: result.failures.map(({ subject, error }) => ({ subject, error: errorFacts(error) })),
    pruned: result.pruned.map(prunedJson),
    unpruned: result.unpruned,
    images: result.images.map(imageJson),
  };
}

/** Writes a report, an image a line. */
export async function writeSyncReport(file: string, report: SyncReport): Promise<void> {
  await using output = await FileOutput.open(path.resolve(file));
  const { images, ...head } = report;
  await output.write(Buffer.from(`${JSON.stringify(head).slice(0, -1)},"images":[\n`));
  for (const [at, image] of images.entries())
    await output.write(Buffer.from(`${JSON.stringify(image)}${at === images.length - 1 ? '' : ','}\n`));
  await output.write(Buffer.from(']}\n'));
  await output.finish();
}

function imageJson(image: SyncedImage): object {
  const { source, destination, name, target, outcome, bytes, contents, omitted, referrers, error } = image;
  const { signatures } = image;
  return {
    source,
    destination,
    name,
    ...(target === undefined ? {} : { digest: target.digest, mediaType: target.mediaType }),
    outcome,
    bytes,
    contents,
    omitted,
    referrers,
    ...(signatures === undefined ? {} : { signatures }),
    ...(outcome === 'failed' ? { error: errorFacts(error) } : {}),
  };
}

function prunedJson({ destination, digest, outcome, error }: PrunedTag): object {
  return { destination, digest, outcome, ...(error === undefined ? {} : { error: errorFacts(error) }) };
}
