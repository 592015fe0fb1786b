import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { openStore } from '../../engine/store.js';
import { isLandfallError, LandfallError, systemCode } from '../../errors.js';
import {
  type EarlierReport,
  type MirrorDestination,
  type MirrorFile,
  MirrorFileError,
  OpenPlaces,
  parsePlaceName,
  parseShard,
  readEarlierReport,
  readMirrorFile,
  type RepositoryPrune,
  sync,
  type SyncResult,
} from '../../transfer/sync/index.js';
import { askTerminal } from '../ask-terminal.js';
import { answer, type CommandContext, type CommandResult, reportError } from '../command-context.js';
import { countOf } from '../format/count.js';
import { registryOptions } from '../open-registry.js';
import { policyOf } from '../policy-of.js';
import { openSyncDisplay, type SyncDisplay } from '../progress/sync-display.js';
import { renderPrunes, renderSync } from '../render-sync.js';
import { type Outcome, reportFailures } from '../several.js';
import { syncReport, writeSyncReport } from '../sync-report.js';
import { tableWidth } from '../terminal.js';

export interface SyncFlags {
  readonly file: string;
  readonly to?: readonly string[];
  readonly scoped?: boolean;
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly recheck?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
  readonly report?: string;
  readonly since?: string;
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

async function readFileOf(flags: SyncFlags, context: CommandContext): Promise<MirrorFile> {
  const isInput = flags.file === '-';
  const file = readMirrorFile(isInput ? await textOf(context.stdin) : await readText(flags.file), {
    name: isInput ? 'standard input' : flags.file,
    directory: isInput ? process.cwd() : path.dirname(path.resolve(flags.file)),
    now: Date.now(),
    allPlatforms: flags.all,
  });
  for (const note of file.notes) context.log.info(note);
  for (const warning of file.warnings) context.log.warn(warning);
  if (flags.scoped === true && flags.to === undefined) {
    throw new LandfallError('INVALID_CONFIG', '--scoped is for destinations that --to names', {
      hint: 'In the file, write path: "{registry}/{repository}" at the destination.',
    });
  }
  if (flags.to === undefined) return file;
  // By default skopeo keeps the last component of a name only.
  const own = file.form === 'skopeo' ? '{name}' : undefined;
  const destinations = flags.to.map((text): MirrorDestination => {
    const { place, prefix } = parsePlaceName(text, process.cwd());
    const scoped = flags.scoped === true ? '{registry}/{repository}' : own;
    return { place, prefix, connection: {}, path: place.kind === 'registry' ? scoped : undefined };
  });
  return { ...file, destinations };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new LandfallError(
      'INVALID_CONFIG',
      `${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`,
      { cause, hint: 'Name the file that says what is wanted with --file.', details: { path: file } },
    );
  }
}

/** Before anything is done: nobody is to find out after an hour that nothing was deleted. */
function refuseToAsk(
  { prune = false, yes = false, dryRun = false }: SyncFlags,
  context: CommandContext,
): void {
  if (!prune && yes) {
    throw new LandfallError('INVALID_CONFIG', '--yes is for --prune', {
      hint: 'Add --prune, or leave it out.',
    });
  }
  if (!prune || yes || dryRun || isAttended(context)) return;
  throw new LandfallError('INVALID_CONFIG', '--prune would ask, and there is no terminal', {
    hint: 'Look at what --prune --dry-run says, then add --yes.',
  });
}

function isAttended({ stdin, stderr }: CommandContext): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

async function sinceOf(file: string): Promise<EarlierReport> {
  const report = await readEarlierReport(file);
  if (report !== undefined && !report.dryRun) return report;
  const why = report === undefined ? 'is not there' : 'is of a run that only looked';
  throw new LandfallError('INVALID_CONFIG', `${file} ${why}`, {
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
  await using places = new OpenPlaces({
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
      places,
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
  { context, display }: { readonly context: CommandContext; readonly display: SyncDisplay },
): Promise<boolean> {
  display.finish();
  context.log.write(renderPrunes(prunes));
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
  const places = [...sources, ...destinations].map(({ place }) => place);
  return [...new Set(places.flatMap((place) => (place.kind === 'registry' ? [`${place.host}/a/b`] : [])))];
}

/** With what earlier reports tell of images that were there already. */
function completed(result: SyncResult, earlier: readonly (EarlierReport | undefined)[]): SyncResult {
  const images = result.images.map((image) =>
    earlier.reduce((known, report) => report?.complete(known) ?? known, image),
  );
  return { ...result, images };
}

function outcomesOf({ images, failures, pruned }: SyncResult): Outcome<null>[] {
  return [
    ...failures.map(({ subject, error }) => ({ subject, error })),
    ...images.map(({ source, outcome, error }) =>
      outcome === 'failed' ? { subject: source, error } : { subject: source, value: null },
    ),
    ...pruned.flatMap(({ destination, outcome, error }) =>
      outcome === 'failed' ? [{ subject: destination, error }] : [],
    ),
  ];
}
