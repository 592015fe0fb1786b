import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { findDaemon } from '../../daemon/index.js';
import { PullBudget } from '../../engine/pull/pull-budget.js';
import type { PullEvent, PullResult } from '../../engine/pull/pull-report.js';
import { pull } from '../../engine/pull/pull.js';
import { systemCode } from '../../errors.js';
import type { Store, SyncMode } from '../../engine/store.js';
import {
  formatPlatform,
  formatRate,
  formatReference,
  formatSize,
  parseImageList,
  parsePlatform,
  parseReference,
  shortDigest,
  withoutCredentials,
} from '../../spec/index.js';
import {
  countOf,
  fitStart,
  formatDuration,
  printable,
  renderTable,
  type TableColumn,
  type TableOptions,
} from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { foundPolicy, mayBeDaemons, withStore } from '../images/with-store.js';
import {
  answer,
  type CommandContext,
  type CommandResult,
  errorInfo,
  messageOf,
} from '../output/command-context.js';
import { type Outcome, outcomeOf, reportFailures, valuesOf, worstOf } from '../output/several.js';
import { tableWidth } from '../output/terminal.js';
import { openProgressDisplay } from '../progress/progress-display.js';
import type { ProgressDisplay } from '../progress/pull-model.js';
import { TimelineFiles } from '../timeline/timeline-files.js';
import { RequestRecord, TimelineRecorder } from '../timeline/timeline-recorder.js';
import {
  decisivePull,
  type LayerStepKind,
  layerWithDigest,
  lengthOf,
  longestStep,
  type PullStep,
  stepName,
  stepWords,
  type TimedLayer,
  type TimedPull,
} from '../timeline/timeline.js';
import type { PullPlan } from './pull-by-daemon.js';
import { invalidConfig } from '../config/settings.js';

export interface PullFlags {
  /** Path of a list of images; `-` is standard input. */
  readonly file?: string;
  readonly platform?: string;
  readonly allPlatforms?: boolean;
  /** False for `--no-unpack`. */
  readonly unpack?: boolean;
  readonly verifyFirst?: boolean;
  readonly discardLayers?: boolean;
  readonly sync?: SyncMode;
  readonly trace?: string;
  readonly timeline?: string;
  readonly quiet?: boolean;
}

export async function pullCommand(
  typed: readonly string[],
  flags: PullFlags,
  context: CommandContext,
): CommandResult {
  const plan: PullPlan = {
    platform: flags.platform === undefined ? undefined : parsePlatform(flags.platform),
    allPlatforms: flags.allPlatforms ?? false,
    unpack: flags.unpack ?? true,
    verifyFirst: flags.verifyFirst ?? false,
    discardLayers: flags.discardLayers ?? false,
  };
  if (plan.discardLayers && !plan.unpack) {
    throw invalidConfig('--discard-layers and --no-unpack exclude each other', {
      hint: 'Only an unpacked image can do without its layers.',
    });
  }
  if (typed.length === 0 && flags.file === undefined) {
    throw invalidConfig("missing required argument 'reference'", {
      hint: 'Name images, or a list of them with --file.',
    });
  }
  const listed = flags.file === undefined ? [] : await readList(flags.file, context);
  const references = distinct([...typed, ...listed]);
  const quiet = flags.quiet ?? false;
  await using files = await TimelineFiles.open(flags);
  const recorder = new TimelineRecorder();
  const requests = files.wantsTrace ? new RequestRecord(() => recorder.moment()) : undefined;
  const display = await openProgressDisplay(context, {
    unpack: plan.unpack,
    images: references.length,
    quiet,
  });
  let outcomes: Outcome<PullResult>[];
  try {
    const watched = watch(display, recorder, context);
    outcomes = await pullAll(references, plan, { ...watched, sync: flags.sync, requests }, context);
  } catch (error) {
    // A failure before the first of them has begun is a failure of all.
    for (const reference of references) recorder.failed(canonical(reference), 'failed', messageOf(error));
    throw error;
  } finally {
    display.finish();
    await files.write(recorder.timeline(), requests?.all ?? [], context.log);
  }
  const reports = outcomes.map((outcome) => reportOf(outcome, recorder));
  const width = tableWidth(context.stdout, context.env);
  answer(context, reports.map(toJson), () => {
    const rendered = renderText(reports, { quiet, width });
    // A list ends with one line for all, whatever became of them.
    const hasTotal = quiet || flags.file === undefined || valuesOf(reports).length > 0;
    return hasTotal ? rendered : `${rendered}0 of ${countOf(reports.length, 'image')} pulled\n`;
  });
  const first = reportFailures(outcomes, context);
  return flags.file === undefined ? first : worstOf(outcomes, first);
}

/** The names of a list. @throws LandfallError INVALID_CONFIG */
async function readList(file: string, { stdin }: CommandContext): Promise<readonly string[]> {
  try {
    return parseImageList(await (file === '-' ? text(stdin) : readFile(file, 'utf8'))).map(
      ({ name }) => name,
    );
  } catch (cause) {
    throw invalidConfig(`the list ${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`, {
      hint: 'Give a file that names one image a line, or - for standard input.',
      cause,
      details: { path: file },
    });
  }
}

/** Takes the events of the pulls, and their failures. */
interface Watched {
  readonly emit: (event: PullEvent) => void;
  readonly failed: (reference: string, error: unknown) => void;
}

function watch(display: ProgressDisplay, recorder: TimelineRecorder, context: CommandContext): Watched {
  return {
    emit: (event) => {
      recorder.add(event);
      emitEvent(event, display, context);
    },
    failed: (name, error) => {
      const reference = canonical(name);
      const isInterrupted = context.signal.aborted;
      recorder.failed(
        reference,
        isInterrupted ? 'interrupted' : 'failed',
        isInterrupted ? 'The pull was interrupted; partial downloads are kept.' : messageOf(error),
      );
      display.show({ type: 'failed', reference });
    },
  };
}

/**
 * All at once, over one store and one set of connections: the daemon's where one serves the root and nothing
 * was asked for that it may do otherwise, else those of this process.
 */
async function pullAll(
  references: readonly string[],
  plan: PullPlan,
  {
    emit,
    failed,
    sync,
    requests,
  }: Watched & { readonly sync: SyncMode | undefined; readonly requests: RequestRecord | undefined },
  context: CommandContext,
): Promise<Outcome<PullResult>[]> {
  const policy = await foundPolicy(context);
  const asksDaemon = context.settings.daemonMayPull && sync === undefined && mayBeDaemons(policy);
  const daemon = asksDaemon ? await findDaemon(context.settings.root) : undefined;
  if (daemon !== undefined) {
    const { pullByDaemon } = await import('./pull-by-daemon.js');
    return await pullByDaemon(daemon, references, { ...plan, emit, failed }, context);
  }
  const { settings, signal } = context;
  const { concurrency } = settings;
  const budget = new PullBudget(concurrency === undefined ? {} : { concurrency });
  await using registry = await openRegistry(
    context,
    references,
    requests === undefined ? {} : { onRequest: (event) => requests.add(event) },
  );
  const pullOne = async (store: Store, reference: string): Promise<Outcome<PullResult>> => {
    const outcome = await outcomeOf(reference, () =>
      pull({
        store,
        registry,
        reference,
        ...plan,
        policy: policy?.file,
        budget,
        signal,
        onEvent: emit,
      }),
    );
    if ('error' in outcome) failed(reference, outcome.error);
    return outcome;
  };
  const all = (store: Store): Promise<Outcome<PullResult>[]> =>
    Promise.all(references.map((reference) => pullOne(store, reference)));
  return await withStore(context, all, { sync });
}

function emitEvent(event: PullEvent, display: ProgressDisplay, { log }: CommandContext): void {
  if (event.type === 'warning') log.warn(`${event.reference}: ${event.message}`);
  if (event.type === 'layer' && event.decompressor !== undefined)
    log.debug(`${event.reference}: layer ${event.digest} was decompressed by ${event.decompressor}`);
  display.show(event);
}

/**
 * Each image once, as it was typed first: pulls of one name could not be told apart, and what both waited for
 * would count twice.
 */
function distinct(references: readonly string[]): readonly string[] {
  const known = new Map<string, string>();
  for (const typed of references) {
    const reference = withoutTransport(typed);
    const name = canonical(reference);
    if (!known.has(name)) known.set(name, reference);
  }
  return [...known.values()];
}

/** A pull is from a registry: `docker://` before the name changes nothing. */
function withoutTransport(typed: string): string {
  return typed.startsWith('docker://') ? typed.slice('docker://'.length) : typed;
}

/** The name that events and results carry; as typed where it is none. */
function canonical(reference: string): string {
  try {
    return formatReference(parseReference(reference, { defaultTag: true }));
  } catch {
    return withoutCredentials(reference);
  }
}

function reportOf(outcome: Outcome<PullResult>, recorder: TimelineRecorder): Outcome<PullReport> {
  if ('error' in outcome) return outcome;
  const { subject, value } = outcome;
  return { subject, value: pullReport(value, recorder) };
}

function toJson(outcome: Outcome<PullReport>): object {
  if ('error' in outcome) return { reference: canonical(outcome.subject), error: errorInfo(outcome.error) };
  return pullReportJson(outcome.value);
}

function renderText(
  outcomes: readonly Outcome<PullReport>[],
  { quiet, width }: { readonly quiet: boolean } & TableOptions,
): string {
  const reports = valuesOf(outcomes);
  if (quiet) return reports.map(({ result }) => `${result.digest}\n`).join('');
  if (outcomes.length > 1) return renderPullTable(reports, outcomes.length, { width });
  return reports.map(renderPullSummary).join('');
}

/** The result of a pull, and how long each part of it took. */
export interface PullReport {
  readonly result: PullResult;
  readonly timed: TimedPull;
  /** Bytes of the layers' blobs that it did not have to bring. */
  readonly bytesReused: number;
  /** The step that it waited for the longest. */
  readonly slowest: PullStep | undefined;
}

export function pullReport(result: PullResult, recorder: TimelineRecorder): PullReport {
  const timed = recorder.pull(result.reference);
  const bytesReused = recorder.bytesReused(result.reference);
  return { result, timed, bytesReused, slowest: longestStep(timed) };
}

/** A pull as `--output json` has it. */
export function pullReportJson({ result, timed, bytesReused, slowest }: PullReport): object {
  const { reference, digest, mediaType, platform, layers, ...rest } = result;
  const timedLayers = new Map(timed.layers.map((layer) => [layer.number, layer]));
  return {
    reference,
    digest,
    mediaType,
    platform: formatPlatform(platform),
    ...rest,
    layers: layers.map((layer, at) => ({ ...layer, ...layerTimes(timedLayers.get(at + 1)) })),
    bytesReused,
    durationMs: Math.round(lengthOf(timed)),
    slowest: slowest && slowestJson(slowest),
  };
}

function slowestJson(step: PullStep): object {
  const { kind, layer } = step;
  return {
    step: stepName(kind),
    layer: layer?.number,
    digest: layer?.digest,
    durationMs: Math.round(lengthOf(step)),
  };
}

function layerTimes(layer: TimedLayer | undefined): object {
  const sum = (...kinds: readonly LayerStepKind[]): number =>
    Math.round(
      (layer?.steps ?? [])
        .filter(({ kind }) => kinds.includes(kind))
        .reduce((total, step) => total + lengthOf(step), 0),
    );
  return {
    waitMs: sum('wait', 'elsewhere'),
    downloadMs: sum('download'),
    unpackMs: sum('unpack'),
    commitMs: sum('commit'),
  };
}

/**
 * A pull in a few lines: the image, how much of it is new, the time that it took, and the longest step.
 */
export function renderPullSummary(report: PullReport): string {
  const { result } = report;
  const isUpToDate = result.bytesDownloaded === 0 && newLayers(result).length === 0;
  const lines = [
    result.digest,
    `platform  ${printable(formatPlatform(result.platform))}`,
    ...signers(result).map((signer) => `signed    by ${printable(signer)}`),
    ...(isUpToDate ? [upToDateLine(report)] : workLines(report)),
    ...freedLines(result),
  ];
  return `${printable(result.reference)}\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/** Several pulls as a table, whose last row is their sum, and how long all of them took. */
export function renderPullTable(
  reports: readonly PullReport[],
  asked: number,
  options: TableOptions = {},
): string {
  if (reports.length === 0) return '';
  const rows = reports.map(({ result }) => ({
    name: result.reference,
    fresh: newLayers(result).length,
    reused: result.layers.length - newLayers(result).length,
    bytes: result.bytesDownloaded,
    freed: result.bytesDiscarded,
    digest: shortDigest(result.digest),
    platform: formatPlatform(result.platform),
    signers: signers(result).join(', '),
  }));
  const sum = (of: (row: (typeof rows)[number]) => number): number => sumOf(rows.map(of));
  const total: (typeof rows)[number] = {
    name: reports.length < asked ? `${reports.length} of ${asked} images` : `${asked} images`,
    fresh: sum(({ fresh }) => fresh),
    reused: sum(({ reused }) => reused),
    bytes: sum(({ bytes }) => bytes),
    freed: sum(({ freed }) => freed),
    ...{ digest: '', platform: '', signers: '' },
  };
  const columns: readonly (TableColumn & { readonly cell: (row: typeof total) => string })[] = [
    { title: 'IMAGE', shrinks: true, keeps: 'end', cell: ({ name }) => name },
    { title: 'NEW', align: 'right', cell: ({ fresh }) => String(fresh) },
    { title: 'REUSED', align: 'right', cell: ({ reused }) => String(reused) },
    { title: 'DOWNLOADED', align: 'right', cell: ({ bytes }) => sizeOrNone(bytes) },
    { title: 'FREED', align: 'right', cell: ({ freed }) => sizeOrNone(freed) },
    { title: 'DIGEST', optional: true, cell: ({ digest }) => digest },
    { title: 'PLATFORM', optional: true, cell: ({ platform }) => platform },
    { title: 'SIGNED BY', optional: true, shrinks: true, cell: (row) => row.signers },
  ];
  // Where no image has anything to say in it, a column would be empty.
  const shown = columns.filter(
    ({ title }) =>
      (title !== 'FREED' || total.freed > 0) &&
      (title !== 'SIGNED BY' || rows.some((row) => row.signers !== '')),
  );
  const cells = [...rows, total].map((row) => shown.map(({ cell }) => cell(row)));
  return `${renderTable(shown, cells, options)}${timeOfAll(reports, total.bytes, options)}`;
}

/** The time of several pulls that ran at once, and what took longest of it. */
function timeOfAll(reports: readonly PullReport[], bytes: number, { width }: TableOptions): string {
  const pulls = reports.map(({ timed }) => timed);
  const ms = Math.max(...pulls.map(({ end }) => end)) - Math.min(...pulls.map(({ start }) => start));
  const decisive = decisivePull(pulls);
  const last = reports.find(({ timed }) => timed === decisive);
  const time = `time     ${formatDuration(ms)}${bytes === 0 ? '' : rate(bytes, ms, ', ')}\n`;
  if (bytes === 0 || last?.slowest === undefined) return time;
  const { slowest, result } = last;
  const longest = `longest  ${formatDuration(lengthOf(slowest))} ${stepWords(slowest, layerWithDigest)} of `;
  const room = width === undefined ? Infinity : Math.max(8, width - longest.length);
  return `${time}${longest}${fitStart(printable(result.reference), room)}\n`;
}

function upToDateLine({ result, timed, bytesReused }: PullReport): string {
  const here = `${countOf(result.layers.length, 'layer')} already present`;
  const size = bytesReused === 0 ? '' : `, ${formatSize(bytesReused)}`;
  return `up to date: nothing was downloaded (${here}${size}, ${formatDuration(lengthOf(timed))})`;
}

function workLines({ result, timed, bytesReused, slowest }: PullReport): readonly string[] {
  const { bytesDownloaded, fetchMs, unpackMs, chainId } = result;
  const fresh = newLayers(result);
  const kept = `${result.layers.length - fresh.length} reused${sizeOf(bytesReused)}`;
  const unpacked = sumOf(fresh.map(({ size }) => size));
  const part = slowest === undefined ? '' : `, of which ${formatDuration(lengthOf(slowest))} `;
  return [
    `layers    ${fresh.length} new, ${kept}`,
    bytesDownloaded === 0
      ? 'download  nothing was downloaded'
      : `download  ${formatSize(bytesDownloaded)} in ${formatDuration(fetchMs)}${rate(bytesDownloaded, fetchMs, ', ')}`,
    ...(chainId === undefined || fresh.length === 0
      ? []
      : [
          `unpack    ${formatSize(unpacked)} in ${formatDuration(unpackMs)}${rate(unpacked, unpackMs, ', ')}`,
        ]),
    `time      ${formatDuration(lengthOf(timed))}${part}${slowest === undefined ? '' : stepWords(slowest, layerWithDigest)}`,
  ];
}

function freedLines({ bytesDiscarded, layers }: PullResult): readonly string[] {
  if (bytesDiscarded === 0) return [];
  const discarded = layers.filter((layer) => layer.discarded).length;
  return [
    `freed     ${formatSize(bytesDiscarded)} of disk: ${countOf(discarded, 'layer')} kept unpacked only`,
  ];
}

function newLayers({ layers }: PullResult): PullResult['layers'] {
  return layers.filter(({ reused }) => !reused);
}

function signers({ signatures = [] }: PullResult): readonly string[] {
  return [...new Set(signatures.map(({ signedBy }) => signedBy))];
}

function sizeOf(bytes: number): string {
  return bytes === 0 ? '' : ` (${formatSize(bytes)})`;
}

function sizeOrNone(bytes: number): string {
  return bytes === 0 ? '-' : formatSize(bytes);
}

/** A rate over a few milliseconds says nothing. */
function rate(bytes: number, milliseconds: number, before: string): string {
  return milliseconds < 100 ? '' : `${before}${formatRate((bytes * 1000) / milliseconds)}`;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
