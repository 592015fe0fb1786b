import type { Store, SyncMode } from '../../engine/store.js';
import type { PullEvent, PullResult } from '../../engine/pull/pull-report.js';
import { PullBudget } from '../../engine/pull/pull-budget.js';
import { pull } from '../../engine/pull/pull.js';
import { LandfallError } from '../../errors.js';
import { formatReference, parsePlatform, parseReference, withoutCredentials } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { errorFacts, messageOf } from '../output/render-error.js';
import { openRegistry } from '../images/open-registry.js';
import { openProgressDisplay } from '../progress/progress-display.js';
import type { ProgressDisplay } from '../progress/pull-model.js';
import { foundPolicy, mayBeDaemons } from '../images/policy-of.js';
import type { PullPlan } from './pull-by-daemon.js';
import {
  type PullReport,
  pullReport,
  pullReportJson,
  renderPullSummary,
  renderPullTotal,
} from './pull-report.js';
import { type Outcome, outcomeOf, reportFailures } from '../output/several.js';
import { RequestRecord, TimelineRecorder } from '../timeline/timeline-recorder.js';
import { TimelineFiles } from '../timeline/timeline-files.js';
import { withStore } from '../images/with-store.js';

export interface PullFlags {
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
    throw new LandfallError('INVALID_CONFIG', '--discard-layers and --no-unpack exclude each other', {
      hint: 'Only what is unpacked can do without its layers.',
    });
  }
  const references = distinct(typed);
  const quiet = flags.quiet ?? false;
  await using files = await TimelineFiles.open(flags);
  const recorder = new TimelineRecorder();
  const requests = files.wantsTrace ? new RequestRecord(() => recorder.moment()) : undefined;
  const display = await openProgressDisplay(context, { unpack: plan.unpack, quiet });
  let outcomes: Outcome<PullResult>[];
  try {
    const watched = watch(display, recorder, context);
    outcomes = await pullAll(references, plan, { ...watched, sync: flags.sync, requests }, context);
  } catch (error) {
    // What is wrong before the first of them has begun is wrong with all of them.
    for (const reference of references) recorder.failed(canonical(reference), 'failed', messageOf(error));
    throw error;
  } finally {
    display.finish();
    await files.write(recorder.timeline(), requests?.all ?? [], context.log);
  }
  const reports = outcomes.map((outcome) => reportOf(outcome, recorder));
  answer(context, reports.map(toJson), () => renderText(reports, quiet));
  return reportFailures(outcomes, context);
}

/** Who is told what the pulls do, and that one of them failed. */
interface Watched {
  readonly tell: (event: PullEvent) => void;
  readonly failed: (reference: string, error: unknown) => void;
}

function watch(display: ProgressDisplay, recorder: TimelineRecorder, context: CommandContext): Watched {
  return {
    tell: (event) => {
      recorder.add(event);
      tellEvent(event, display, context);
    },
    failed: (name, error) => {
      const reference = canonical(name);
      const isInterrupted = context.signal.aborted;
      recorder.failed(
        reference,
        isInterrupted ? 'interrupted' : 'failed',
        isInterrupted ? 'The pull was interrupted; what has arrived is kept.' : messageOf(error),
      );
      display.show({ type: 'failed', reference });
    },
  };
}

/**
 * All at once, over one store and one set of connections: the daemon's where one serves the root and nothing was asked for that it
 * may do otherwise, else those of this process.
 */
async function pullAll(
  references: readonly string[],
  plan: PullPlan,
  {
    tell,
    failed,
    sync,
    requests,
  }: Watched & { readonly sync: SyncMode | undefined; readonly requests: RequestRecord | undefined },
  context: CommandContext,
): Promise<Outcome<PullResult>[]> {
  const policy = await foundPolicy(context);
  const asksDaemon = context.settings.daemonMayPull && sync === undefined && mayBeDaemons(policy);
  const daemon = asksDaemon
    ? await (await import('../../daemon/daemon-file.js')).findDaemon(context.settings.root)
    : undefined;
  if (daemon !== undefined) {
    const { pullByDaemon } = await import('./pull-by-daemon.js');
    return await pullByDaemon(daemon, references, { ...plan, tell, failed }, context);
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
        ...(plan.platform === undefined ? {} : { platform: plan.platform }),
        allPlatforms: plan.allPlatforms,
        unpack: plan.unpack,
        verifyFirst: plan.verifyFirst,
        discardLayers: plan.discardLayers,
        ...(policy === undefined ? {} : { policy: policy.file }),
        budget,
        signal,
        onEvent: tell,
      }),
    );
    if ('error' in outcome) failed(reference, outcome.error);
    return outcome;
  };
  const all = (store: Store): Promise<Outcome<PullResult>[]> =>
    Promise.all(references.map((reference) => pullOne(store, reference)));
  return await withStore(context, all, { sync });
}

function tellEvent(event: PullEvent, display: ProgressDisplay, { log }: CommandContext): void {
  if (event.type === 'warning') log.warn(`${event.reference}: ${event.message}`);
  if (event.type === 'layer' && event.decompressor !== undefined)
    log.debug(`${event.reference}: layer ${event.digest} was decompressed by ${event.decompressor}`);
  display.show(event);
}

/** Each image once, as it was typed first: pulls of one name could not be told apart, and what both waited for would count twice. */
function distinct(references: readonly string[]): readonly string[] {
  const known = new Map<string, string>();
  for (const reference of references) {
    const name = canonical(reference);
    if (!known.has(name)) known.set(name, reference);
  }
  return [...known.values()];
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
  if ('error' in outcome) return { reference: canonical(outcome.subject), error: errorFacts(outcome.error) };
  return pullReportJson(outcome.value);
}

function renderText(outcomes: readonly Outcome<PullReport>[], quiet: boolean): string {
  const reports = outcomes.flatMap((outcome) => ('value' in outcome ? [outcome.value] : []));
  if (quiet) return reports.map(({ result }) => `${result.digest}\n`).join('');
  return `${reports.map(renderPullSummary).join('')}${renderPullTotal(reports, outcomes.length)}`;
}
