import { randomBytes } from 'node:crypto';

import { PullBudget } from '../engine/pull-budget.js';
import type { Store } from '../engine/store.js';
import { PullThrough, type ServeSource } from '../serve/index.js';
import type { CommandContext } from './command-context.js';
import { openRegistry } from './open-registry.js';
import { lastingPolicyOf, policyOf } from './policy-of.js';
import type { PullThroughPlan } from './pull-through-plan.js';
import { version } from './version.js';

/** A client of this server is not left waiting for longer by an upstream that asks for it, in ms. */
const MOST_RETRY_AFTER_MS = 5_000;

/** Blobs on their way at once, for many clients: as many as connections are kept to one host. */
const DEFAULT_CONCURRENCY = 16;

/** A source that is filled on demand, with connections of its own, which end with it. */
export interface OpenedPullThrough extends AsyncDisposable {
  readonly source: PullThrough;
}

/** @throws LandfallError INVALID_CONFIG */
export async function openPullThrough(
  { upstreams, ttlMs }: PullThroughPlan,
  { store, local }: { readonly store: Store; readonly local: ServeSource },
  context: CommandContext,
): Promise<OpenedPullThrough> {
  const { maxRetryAfter, concurrency = DEFAULT_CONCURRENCY } = context.settings;
  const policy = await lastingPolicyOf(context);
  const found = await policyOf(context);
  if (found !== undefined) context.log.info(`what is brought needs what ${found.path} asks for`);
  const mark = `pull-through/${randomBytes(8).toString('hex')}`;
  const registry = await openRegistry(
    context,
    upstreams.map((upstream) => `${upstream}/any`),
    {
      userAgent: `landfall/${version()} ${mark}`,
      retry: {
        attempts: 3,
        maxRetryAfterMs: maxRetryAfter === undefined ? MOST_RETRY_AFTER_MS : maxRetryAfter * 1000,
      },
    },
  );
  const source = new PullThrough({
    store,
    local,
    registry,
    upstreams,
    ttlMs,
    mark,
    budget: new PullBudget({ concurrency }),
    policy,
    onWarning: (text) => context.log.warn(text),
  });
  return {
    source,
    [Symbol.asyncDispose]: async () => {
      await source.close();
      await registry.close();
    },
  };
}
