import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { FileOutput } from '../../content/index.js';
import { openStore } from '../../engine/store.js';
import { isLandfallError, systemCode } from '../../errors.js';
import { formatSize, shortDigest } from '../../spec/index.js';
import {
  EarlierReport,
  type PrunedTag,
  readEarlierReport,
  type SyncedImage,
  type SyncResult,
} from '../../transfer/sync/sync-result.js';
import type { MirrorDestination, MirrorFile, MirrorSource } from '../../transfer/sync/mirror-file.js';
import { MirrorFileError } from '../../transfer/sync/yaml-text.js';
import { OpenTransports } from '../../transfer/sync/open-transports.js';
import { parseTransportName } from '../../transfer/sync/transport-name.js';
import { parseShard } from '../../transfer/sync/shard.js';
import { readMirrorFile } from '../../transfer/sync/read-mirror-file.js';
import type { RepositoryPrune } from '../../transfer/sync/plan-prunes.js';
import { sync } from '../../transfer/sync/sync.js';
import { askTerminal } from '../images/ask-terminal.js';
import {
  answer,
  type CommandContext,
  type CommandResult,
  errorInfo,
  reportError,
} from '../output/command-context.js';
import { countOf, printable, renderTable, type TableColumn, type TableOptions } from '../format/text.js';
import { type SideFlags, sideConnection } from '../images/command-transports.js';
import { registryOptions } from '../images/open-registry.js';
import { policyOf } from '../images/with-store.js';
import { type EventDisplay, openSyncDisplay } from '../progress/event-display.js';
import { type Outcome, reportFailures } from '../output/several.js';
import { tableWidth } from '../output/terminal.js';
import { version } from '../output/version.js';
import { invalidConfig } from '../config/settings.js';

export interface SyncFlags extends SideFlags {
  readonly file: string;
  readonly to?: readonly string[];
  readonly scoped?: boolean;
  readonly all?: boolean;
  /** False for `--no-referrers`. */
  readonly referrers?: boolean;
  readonly dryRun?: boolean;
  readonly recheck?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
  readonly report?: string;
  readonly since?: readonly string[];
  readonly shard?: string;
}

export async function syncCommand(flags: SyncFlags, context: CommandContext): CommandResult {
  const startedAt = new Date();
  const { dryRun = false, report: reportFile } = flags;
  try {
    const file = await readFileOf(flags, context);
    refuseToAsk(flags, context);
    const since = flags.since === undefined ? undefined : await sinceOf(flags.since);
    // Read before anything is done: a file that is something else is not to be lost.
    const before = reportFile === undefined ? undefined : await readEarlierReport(reportFile);
    const result = completed(await run(file, flags, since, context), [since, before]);
    const finishedAt = new Date();
    const about = { file: file.name, startedAt, finishedAt, dryRun, shard: flags.shard };
    const report = syncReport(result, about);
    if (reportFile !== undefined) await writeSyncReport(reportFile, report);
    const width = tableWidth(context.stdout, context.env);
    answer(context, report, () => renderSync(result, { dryRun, width }));
    return reportFailures(outcomesOf(result), context);
  } catch (error) {
    if (!(error instanceof MirrorFileError) || error.faults.length < 2) throw error;
    for (const fault of error.faults) reportError(context, new MirrorFileError(error.file, [fault]));
    return 2;
  }
}

/** The file, whose registries are reached as it says, else as the options of their side say. */
async function readFileOf(flags: SyncFlags, context: CommandContext): Promise<MirrorFile> {
  const file = await readDeclared(flags, context);
  const connected = <T extends MirrorSource | MirrorDestination>(
    side: 'source' | 'destination',
    one: T,
  ): T => {
    const common = sideConnection(flags, side);
    const { plainHttp = common.plainHttp, insecure = common.insecure, ca = common.ca } = one.connection;
    return { ...one, connection: { ...one.connection, plainHttp, insecure, ca } };
  };
  return {
    ...file,
    sources: file.sources.map((source) => connected('source', source)),
    destinations: file.destinations.map((destination) => connected('destination', destination)),
  };
}

async function readDeclared(flags: SyncFlags, context: CommandContext): Promise<MirrorFile> {
  const isInput = flags.file === '-';
  const file = readMirrorFile(isInput ? await textOf(context.stdin) : await readText(flags.file), {
    name: isInput ? 'standard input' : flags.file,
    directory: isInput ? process.cwd() : path.dirname(path.resolve(flags.file)),
    now: Date.now(),
    allPlatforms: flags.all,
    referrers: flags.referrers,
  });
  for (const note of file.notes) context.log.info(note);
  for (const warning of file.warnings) context.log.warn(warning);
  if (flags.scoped === true && flags.to === undefined) {
    throw invalidConfig('--scoped is for destinations that --to names', {
      hint: 'In the file, write path: "{registry}/{repository}" at the destination.',
    });
  }
  if (flags.to === undefined) return file;
  // By default skopeo keeps the last component of a name only.
  const own = file.form === 'skopeo' ? '{name}' : undefined;
  const destinations = flags.to.map((text): MirrorDestination => {
    const { transport, prefix } = parseTransportName(text, process.cwd());
    const scoped = flags.scoped === true ? '{registry}/{repository}' : own;
    return { transport, prefix, connection: {}, path: transport.kind === 'registry' ? scoped : undefined };
  });
  return { ...file, destinations };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw invalidConfig(`${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`, {
      hint: 'Name the mirror file with --file.',
      cause,
      details: { path: file },
    });
  }
}

/** Before anything is done: an hour later the refusal would come too late. */
function refuseToAsk(
  { prune = false, yes = false, dryRun = false }: SyncFlags,
  context: CommandContext,
): void {
  if (!prune && yes) throw invalidConfig('--yes is for --prune', { hint: 'Add --prune, or leave it out.' });
  if (!prune || yes || dryRun || isAttended(context)) return;
  throw invalidConfig('--prune would ask, and there is no terminal', {
    hint: 'Look at what --prune --dry-run says, then add --yes.',
  });
}

function isAttended({ stdin, stderr }: CommandContext): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

async function sinceOf(files: readonly string[]): Promise<EarlierReport> {
  const reports: EarlierReport[] = [];
  for (const file of files) reports.push(await deliveredBy(file));
  return EarlierReport.of(reports);
}

async function deliveredBy(file: string): Promise<EarlierReport> {
  const report = await readEarlierReport(file);
  if (report !== undefined && !report.dryRun) return report;
  const why = report === undefined ? 'is not there' : 'is of a run that only looked';
  throw invalidConfig(`${file} ${why}`, {
    hint: 'Give what --report wrote in the run that made the last delivery.',
  });
}

async function run(
  file: MirrorFile,
  flags: SyncFlags,
  since: EarlierReport | undefined,
  context: CommandContext,
): Promise<SyncResult> {
  const { dryRun = false, recheck = false, shard, prune = false } = flags;
  const { signal, env, settings } = context;
  const policy = await policyOf(context);
  const display = openSyncDisplay(context);
  await using transports = new OpenTransports({
    base: await registryOptions(context, registriesOf(file)),
    env,
    root: settings.root,
    openStore: () => openStore({ root: settings.root, additionalRoots: settings.additionalRoots }),
    dryRun,
    signal,
  });
  try {
    return await sync({
      file,
      transports,
      dryRun,
      recheck,
      concurrency: settings.concurrency,
      shard: shard === undefined ? undefined : parseShard(shard),
      since,
      policy,
      ...(prune ? { prune: (prunes) => mayPrune(prunes, flags, { context, display }) } : {}),
      signal,
      onEvent: (event) => display.show(event),
    });
  } finally {
    display.finish();
  }
}

async function mayPrune(
  prunes: readonly RepositoryPrune[],
  { yes = false }: SyncFlags,
  {
    context,
    display,
  }: { readonly context: CommandContext; readonly display: Pick<EventDisplay<never>, 'finish'> },
): Promise<boolean> {
  display.finish();
  context.log.write(renderPrunes(prunes, { width: tableWidth(context.stderr, context.env) }));
  if (yes) return true;
  const count = prunes.reduce((sum, { tags }) => sum + tags.length, 0);
  try {
    return /^y(es)?$/i.test((await askTerminal(context, `Delete ${countOf(count, 'tag')}? [y/N] `)).trim());
  } catch (error) {
    // Nothing that was typed is no.
    if (isLandfallError(error) && error.code === 'INVALID_CONFIG') return false;
    throw error;
  }
}

/** References of all registries that the file names, for credentials of the command line. */
function registriesOf({ sources, destinations }: MirrorFile): string[] {
  const transports = [...sources, ...destinations].map(({ transport }) => transport);
  return [
    ...new Set(
      transports.flatMap((transport) => (transport.kind === 'registry' ? [`${transport.host}/a/b`] : [])),
    ),
  ];
}

/** With what earlier reports tell of images that were there already. */
function completed(result: SyncResult, earlier: readonly (EarlierReport | undefined)[]): SyncResult {
  const images = result.images.map((image) =>
    earlier.reduce((known, report) => report?.complete(known) ?? known, image),
  );
  return { ...result, images };
}

/** A fault of all images of an archive is reported once. */
function outcomesOf({ images, failures, pruned }: SyncResult): Outcome<null>[] {
  const told = new Set(failures.map(({ error }) => error));
  return [
    ...failures.map(({ subject, error }) => ({ subject, error })),
    ...images.flatMap(({ source, outcome, error }): Outcome<null>[] => {
      if (outcome !== 'failed') return [{ subject: source, value: null }];
      return told.has(error) ? [] : [{ subject: source, error }];
    }),
    ...pruned.flatMap(({ destination, outcome, error }) =>
      outcome === 'failed' ? [{ subject: destination, error }] : [],
    ),
  ];
}

/** The parts of a run that are not in its result. */
export interface SyncRun {
  readonly file: string;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  readonly dryRun: boolean;
  /** `0/8` */
  readonly shard: string | undefined;
}

/** A JSON object; docs/json-output.md has its other keys. */
export interface SyncReport {
  readonly [key: string]: unknown;
  readonly images: readonly object[];
}

/** The number of images of each outcome, and the bytes that were moved. */
type SyncTotals = Readonly<
  Record<SyncedImage['outcome'] | 'images' | 'bytes' | 'pruned' | 'referrers' | 'referrersLeftOut', number>
>;

function syncTotals({ images, pruned }: SyncResult): SyncTotals {
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
    referrers: images.reduce((sum, { referrers }) => sum + referrers.length, 0),
    referrersLeftOut: images.filter(({ referrersLeftOut }) => referrersLeftOut === true).length,
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
    shard,
    totals: syncTotals(result),
    written: result.written,
    base: result.base,
    failures: result.failures.map(({ subject, error }) => ({ subject, error: errorInfo(error) })),
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
  const { source, destination, name, target, error, ...rest } = image;
  const { outcome, bytes, contents, omitted, referrers, referrersLeftOut, signatures } = rest;
  return {
    ...{ source, destination, name },
    digest: target?.digest,
    mediaType: target?.mediaType,
    ...{ outcome, bytes, contents, omitted, referrers, referrersLeftOut, signatures },
    error: outcome === 'failed' ? errorInfo(error) : undefined,
  };
}

function prunedJson({ destination, digest, outcome, error }: PrunedTag): object {
  return { destination, digest, outcome, error: error === undefined ? undefined : errorInfo(error) };
}

const COLUMNS: readonly TableColumn[] = [
  { title: 'IMAGE', shrinks: true, keeps: 'end' },
  { title: 'DESTINATION', shrinks: true, keeps: 'end' },
  { title: 'WHAT' },
  { title: 'SIZE', align: 'right' },
  { title: 'DIGEST', optional: true },
];

/**
 * The outcome of each image: of all in a dry run, else of those that were not there already.
 */
export function renderSync(
  result: SyncResult,
  { dryRun, width }: { readonly dryRun: boolean; readonly width: number | undefined },
): string {
  const shown = result.images.filter(
    ({ outcome }) => dryRun || (outcome !== 'exists' && outcome !== 'unchanged'),
  );
  const table = shown.length === 0 ? '' : renderTable(COLUMNS, shown.map(rowOf), { width });
  const pruned = result.pruned.map(
    ({ destination, outcome, digest }) =>
      `${PRUNED[outcome]} ${printable(destination)}${digest === undefined ? '' : ` (${shortDigest(digest)})`}\n`,
  );
  const unpruned = result.unpruned.map(
    ({ destination, reason }) => `deleted nothing in ${printable(destination)}: ${printable(reason)}\n`,
  );
  return [table, ...pruned, ...unpruned, totalLine(result)].join('');
}

/** The tags that are about to be deleted. */
export function renderPrunes(prunes: readonly RepositoryPrune[], options: TableOptions = {}): string {
  return renderTable(
    [{ title: 'TO DELETE', shrinks: true, keeps: 'end' }, { title: 'DIGEST' }],
    prunes.flatMap(({ repository, tags }) =>
      tags.map(({ tag, descriptor }) => [`${repository.location}:${tag}`, shortDigest(descriptor.digest)]),
    ),
    options,
  );
}

export function totalLine(result: SyncResult): string {
  const { images, copied, planned, exists, unchanged, failed, bytes, pruned, ...totals } = syncTotals(result);
  const { referrers, referrersLeftOut } = totals;
  const isDry = planned > 0 || result.pruned.some(({ outcome }) => outcome === 'planned');
  const parts = [
    ...(planned > 0 ? [`${planned} to copy (${formatSize(bytes)})`] : []),
    ...(copied > 0 ? [`${copied} copied (${formatSize(bytes)})`] : []),
    ...(exists > 0 ? [`${exists} already there`] : []),
    ...(unchanged > 0 ? [`${unchanged} delivered before`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(pruned > 0 ? [`${countOf(pruned, 'tag')} ${isDry ? 'to delete' : 'deleted'}`] : []),
    ...(referrers > 0 ? [countOf(referrers, 'referrer')] : []),
    ...(referrersLeftOut > 0 ? [`referrers of ${referrersLeftOut} left out`] : []),
  ];
  return `${countOf(images, 'image')}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}\n`;
}

const WORDS = {
  copied: 'copied',
  exists: 'already there',
  planned: 'to copy',
  unchanged: 'delivered before',
  failed: 'failed',
} as const satisfies Readonly<Record<SyncedImage['outcome'], string>>;

const PRUNED = {
  planned: 'would delete',
  deleted: 'deleted',
  kept: 'kept, since its digest is needed:',
  failed: 'could not delete',
} as const;

function rowOf({ source, name, target, outcome, bytes }: SyncedImage): string[] {
  return [
    source,
    name,
    WORDS[outcome],
    bytes === 0 ? '-' : formatSize(bytes),
    target === undefined ? '' : shortDigest(target.digest),
  ];
}
