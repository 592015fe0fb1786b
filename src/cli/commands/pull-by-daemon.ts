import { type DaemonAddress, DaemonClient } from '../../daemon/index.js';
import type { PullEvent, PullResult } from '../../engine/pull/pull-report.js';

import { formatPlatform, parsePlatform, parseReference, type Platform } from '../../spec/index.js';
import type { CommandContext } from '../output/command-context.js';
import { credentialsFor } from '../images/open-registry.js';
import { type Outcome, outcomeOf } from '../output/several.js';

/** The work of a pull, by this process or by the daemon. */
export interface PullPlan {
  readonly platform: Platform | undefined;
  readonly allPlatforms: boolean;
  readonly unpack: boolean;
  readonly verifyFirst: boolean;
  readonly discardLayers: boolean;
}

export interface PullByDaemonOptions extends PullPlan {
  readonly emit: (event: PullEvent) => void;
  readonly failed: (reference: string, error: unknown) => void;
}

/**
 * Pulls images by the daemon that serves the root, so that they share its budget and join pulls that are
 * under way. This user's credentials go with the request; without any, the daemon looks for its own.
 */
export async function pullByDaemon(
  daemon: DaemonAddress,
  references: readonly string[],
  options: PullByDaemonOptions,
  context: CommandContext,
): Promise<Outcome<PullResult>[]> {
  const { signal, log } = context;
  const { platform, allPlatforms, unpack, verifyFirst, discardLayers, emit, failed } = options;
  log.debug(`the daemon at ${daemon.socket} pulls`);
  const credentials = await credentialsFor(context, references);
  using client = new DaemonClient(daemon.socket);
  const pullOne = async (reference: string): Promise<PullResult> => {
    const parsed = parseReference(reference, { defaultTag: true });
    const found = await credentials(parsed.registry, parsed.repository);
    const updates = client.pull(
      {
        reference,
        platform: platform === undefined ? '' : formatPlatform(platform),
        ...(found === undefined ? {} : { credentials: { ...NO_CREDENTIALS, ...found } }),
        allPlatforms,
        noUnpack: !unpack,
        verifyFirst,
        discardLayers,
      },
      { signal },
    );
    let result: PullResult | undefined;
    for await (const { event, result: last } of updates) {
      if (event !== undefined) emit(JSON.parse(event) as PullEvent);
      if (last !== undefined) result = resultOf(last);
    }
    if (result === undefined) throw new TypeError('the daemon ended a pull without its result');
    return result;
  };
  return await Promise.all(
    references.map(async (reference) => {
      const outcome = await outcomeOf(reference, () => pullOne(reference));
      if ('error' in outcome) failed(reference, outcome.error);
      return outcome;
    }),
  );
}

const NO_CREDENTIALS = { username: '', password: '', identityToken: '', registryToken: '' };

function resultOf(json: string): PullResult {
  const { platform, ...rest } = JSON.parse(json) as Omit<PullResult, 'platform'> & { platform: string };
  return { ...rest, platform: parsePlatform(platform) };
}
