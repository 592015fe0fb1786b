import { findDaemon } from '../../daemon/daemon-file.js';
import type { SyncMode } from '../../engine/durability.js';
import type { PullEvent } from '../../engine/pull-event.js';
import type { PullResult } from '../../engine/pull-result.js';
import { PullBudget } from '../../engine/pull-budget.js';
import { pull } from '../../engine/pull.js';
import type { Store } from '../../engine/store.js';
import { LandfallError } from '../../errors.js';
import {
  formatPlatform,
  formatReference,
  parsePlatform,
  parseReference,
  type Platform,
} from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { errorFacts } from '../error-facts.js';
import { openRegistry } from '../open-registry.js';
import { openProgressDisplay, type ProgressDisplay } from '../progress/progress-display.js';
import { foundPolicy, mayBeDaemons } from '../policy-of.js';
import { renderPullSummary } from '../render-pull-summary.js';
import { type Outcome, outcomeOf, reportFailures } from '../several.js';
import { withStore } from '../with-store.js';

export interface PullFlags {
  readonly platform?: string;
  readonly allPlatforms?: boolean;
  /** False for `--no-unpack`. */
  readonly unpack?: boolean;
  readonly verifyFirst?: boolean;
  readonly discardLayers?: boolean;
  readonly sync?: SyncMode;
  readonly quiet?: boolean;
}

export interface PullPlan {
  readonly platform: Platform | undefined;
  readonly allPlatforms: boolean;
  readonly unpack: boolean;
  readonly verifyFirst: boolean;
  readonly discardLayers: boolean;
}

export async function pullCommand(
  references: readonly string[],
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
  const quiet = flags.quiet ?? false;
  const display = await openProgressDisplay(context, { unpack: plan.unpack, quiet });
  let outcomes: Outcome<PullResult>[];
  try {
    outcomes = await pullAll(references, plan, { display, sync: flags.sync }, context);
  } finally {
    display.finish();
  }
  answer(context, outcomes.map(toJson), () => renderText(outcomes, quiet));
  return reportFailures(outcomes, context);
}

/**
 * All at once, over one store and one set of connections: the daemon's where one serves the root and nothing was asked for that it
 * may do otherwise, else those of this process.
 */
async function pullAll(
  references: readonly string[],
  plan: PullPlan,
  { display, sync }: { readonly display: ProgressDisplay; readonly sync: SyncMode | undefined },
  context: CommandContext,
): Promise<Outcome<PullResult>[]> {
  const policy = await foundPolicy(context);
  const daemon =
    context.settings.daemonMayPull && sync === undefined && mayBeDaemons(policy)
      ? await findDaemon(context.settings.root)
      : undefined;
  const tell = (event: PullEvent): void => {
    tellEvent(event, display, context);
  };
  if (daemon !== undefined) {
    const { pullByDaemon } = await import('../pull-by-daemon.js');
    return await pullByDaemon(
      daemon,
      references,
      { ...plan, tell, failed: (name) => display.show({ type: 'failed', reference: canonical(name) }) },
      context,
    );
  }
  const { settings, signal } = context;
  const { concurrency } = settings;
  const budget = new PullBudget(concurrency === undefined ? {} : { concurrency });
  await using registry = await openRegistry(context, references);
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
    if ('error' in outcome) display.show({ type: 'failed', reference: canonical(reference) });
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

/** The name that events and results carry; as typed where it is none. */
function canonical(reference: string): string {
  try {
    return formatReference(parseReference(reference, { defaultTag: true }));
  } catch {
    return reference;
  }
}

function toJson(outcome: Outcome<PullResult>): object {
  if ('error' in outcome) return { reference: canonical(outcome.subject), error: errorFacts(outcome.error) };
  const { reference, digest, mediaType, platform, ...rest } = outcome.value;
  return { reference, digest, mediaType, platform: formatPlatform(platform), ...rest };
}

function renderText(outcomes: readonly Outcome<PullResult>[], quiet: boolean): string {
  return outcomes
    .flatMap((outcome) => ('value' in outcome ? [outcome.value] : []))
    .map((result) => (quiet ? `${result.digest}\n` : renderPullSummary(result)))
    .join('');
}
