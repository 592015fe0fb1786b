import { once } from 'node:events';
import { resolve } from 'node:path';
import {
  Daemon,
  DaemonMetrics,
  type EndedPull,
  ObserveServer,
  parseSocketAddress,
} from '../../daemon/index.js';
import type { Tracing } from '../../daemon/observe/tracing.js';
import { wantsTracing } from '../../daemon/observe/wants-tracing.js';
import type { SyncMode } from '../../engine/durability.js';
import { isLandfallError, LandfallError } from '../../errors.js';
import type { FailoverOptions } from '../../registry/hosts/host-health.js';
import { formatReference, parseReference } from '../../spec/index.js';
import { notifySystemd } from '../../system/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { messageOf } from '../error-facts.js';
import { EXIT_CODES } from '../exit-codes.js';
import { formatDuration } from '../format/duration.js';
import { formatSize } from '../format/size.js';
import { matchesGlob } from '../glob.js';
import type { LogFacts } from '../log.js';
import { openRegistry } from '../open-registry.js';
import { parseDuration } from '../parse-duration.js';
import { version } from '../version.js';
import { parseListen } from '../parse-listen.js';
import { withStore } from '../with-store.js';

export interface DaemonFlags {
  readonly cri?: string;
  readonly maxParallelPulls?: number;
  readonly maxParallelPullsPerRegistry?: number;
  readonly progressTimeout?: string;
  readonly runtimeHandler?: readonly string[];
  readonly pin?: readonly string[];
  readonly discardLayers?: boolean;
  readonly sync?: SyncMode;
  /** `HOST:PORT`. */
  readonly metrics?: string;
  /** Path of a list of images. */
  readonly prePull?: string;
}

export const DEFAULT_SOCKET = 'unix:///run/landfall/landfall.sock';
export const DEFAULT_PROGRESS_TIMEOUT = '5m';

/** How long pulls under way may go on when it is stopped, in milliseconds: less than an interrupted command may take. */
const PATIENCE_MS = 10_000;

/** So many hosts can be tried before a pull that makes no progress is given up. */
const HOSTS_TRIED = 4;

/** Serves until it is interrupted, which is how it is meant to end. */
export async function daemonCommand(flags: DaemonFlags, context: CommandContext): CommandResult {
  const { signal, log, settings, env } = context;
  const socket = parseSocketAddress(flags.cri ?? DEFAULT_SOCKET);
  const progressTimeoutMs = parseDuration(
    '--progress-timeout',
    flags.progressTimeout ?? DEFAULT_PROGRESS_TIMEOUT,
  );
  const isPinned = pinnedBy(flags.pin ?? []);
  const observeAt = flags.metrics === undefined ? undefined : parseListen(flags.metrics);
  return await withStore(
    context,
    async (store) => {
      const metrics = new DaemonMetrics({ store, version: version() });
      await using registry = await openRegistry(context, [], {
        onReceived: (host, bytes) => metrics.received(host, bytes),
        failover: failoverWithin(progressTimeoutMs),
      });
      await using tracing = await openTracing(context);
      const daemon = await Daemon.start({
        store,
        registry,
        socket,
        version: version(),
        observers: [metrics, ...(tracing === undefined ? [] : [tracing])],
        progressTimeoutMs,
        isPinned,
        discardLayers: flags.discardLayers ?? false,
        runtimeHandlers: flags.runtimeHandler ?? [],
        ...(flags.maxParallelPulls === undefined ? {} : { maxParallelPulls: flags.maxParallelPulls }),
        ...(flags.maxParallelPullsPerRegistry === undefined
          ? {}
          : { maxParallelPullsPerRegistry: flags.maxParallelPullsPerRegistry }),
        ...(settings.concurrency === undefined ? {} : { concurrency: settings.concurrency }),
        ...(flags.prePull === undefined
          ? {}
          : {
              prePull: {
                file: resolve(flags.prePull),
                onProblem: (error, reference) =>
                  log.warn(`${reference ?? flags.prePull ?? ''}: ${messageOf(error)}`),
              },
            }),
        onBegun: (id, reference) => log.info(`pull ${id}: ${reference}: begun`, { pull: id, reference }),
        onEnded: (ended) => log.info(endLine(ended), endFacts(ended)),
        onError: (method, error) => log.debug(`${method}: ${messageOf(error)}`),
      });
      try {
        const cri = `unix://${socket}`;
        await using observed =
          observeAt === undefined
            ? undefined
            : await ObserveServer.listen({ ...observeAt, metrics, whyNotReady: () => daemon.whyNotReady() });
        const url = observed === undefined ? undefined : `http://${observed.address}/metrics`;
        const facts = {
          root: store.root,
          cri,
          pid: process.pid,
          ...(url === undefined ? {} : { metrics: url }),
        };
        answer(context, facts, () =>
          [`serving ${store.root} at ${cri}\n`, ...(url === undefined ? [] : [`metrics at ${url}\n`])].join(
            '',
          ),
        );
        notifySystemd('READY=1', env['NOTIFY_SOCKET']);
        if (!signal.aborted) await once(signal, 'abort');
      } finally {
        log.info('stopping');
        notifySystemd('STOPPING=1', env['NOTIFY_SOCKET']);
        await daemon.stop(PATIENCE_MS);
      }
      return EXIT_CODES.ABORTED;
    },
    { sync: flags.sync },
  );
}

/** Loaded only where it is wanted, since it is large. */
async function openTracing({ env }: CommandContext): Promise<Tracing | undefined> {
  if (!wantsTracing(env)) return undefined;
  const { Tracing: Wanted } = await import('../../daemon/observe/tracing.js');
  return new Wanted({ version: version() });
}

/** A mirror that does not answer is left in time for the next host to be asked before the pull counts as stalled. */
function failoverWithin(progressTimeoutMs: number): FailoverOptions {
  if (progressTimeoutMs === 0) return {};
  const firstByteMs = Math.min(20_000, progressTimeoutMs / HOSTS_TRIED);
  return { firstByteMs, windowMs: Math.min(10_000, progressTimeoutMs / HOSTS_TRIED) };
}

/**
 * Whether a canonical name fits one of some patterns: a reference as people write it, or a glob over canonical names.
 *
 * @throws LandfallError INVALID_CONFIG
 */
function pinnedBy(patterns: readonly string[]): (name: string) => boolean {
  const globs = patterns.map((pattern) => {
    if (/[*?]/.test(pattern)) return pattern;
    try {
      return formatReference(parseReference(pattern, { defaultTag: true }));
    } catch (cause) {
      throw new LandfallError('INVALID_CONFIG', `--pin: ${messageOf(cause)}`, {
        cause,
        hint: "Write a reference, or a pattern such as 'registry.k8s.io/*'.",
      });
    }
  });
  return (name) => globs.some((glob) => matchesGlob(glob, name));
}

function endFacts({ id, reference, durationMs, outcome, progress }: EndedPull): LogFacts {
  return {
    pull: id,
    reference,
    durationMs: Math.round(durationMs),
    bytesDownloaded: progress.downloadedBytes,
    ...('error' in outcome
      ? { error: isLandfallError(outcome.error) ? outcome.error.code : 'INTERNAL' }
      : {}),
  };
}

function endLine({ id, reference, durationMs, outcome, progress }: EndedPull): string {
  const subject = `pull ${id}: ${reference}`;
  if ('error' in outcome) return `${subject}: failed: ${messageOf(outcome.error)}`;
  return `${subject}: done in ${formatDuration(durationMs)}, ${formatSize(progress.downloadedBytes)} downloaded`;
}
