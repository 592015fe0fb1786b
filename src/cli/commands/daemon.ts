import { once } from 'node:events';
import { access, constants } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  Daemon,
  DAEMON_AUTH_FILE,
  DaemonMetrics,
  type DaemonOptions,
  type EndedPull,
  type LeftLayer,
  openTracing,
  parseSocketAddress,
} from '../../daemon/index.js';
import type { SyncMode } from '../../engine/store.js';
import { systemCode, TrustError } from '../../errors.js';
import type { FailoverOptions } from '../../registry/index.js';
import { MetricsServer } from '../../observe/metrics-server.js';
import { type Digest, formatReference, formatSize, isGlob, parseReference } from '../../spec/index.js';
import { notifySystemd } from '../../system/index.js';
import {
  answer,
  type CommandContext,
  type CommandResult,
  type ErrorInfo,
  errorInfo,
  messageOf,
} from '../output/command-context.js';
import { EXIT_CODES } from '../output/exit-codes.js';
import { formatDuration } from '../format/text.js';
import type { LogFields } from '../output/log.js';
import { openRegistry } from '../images/open-registry.js';
import { parseListen } from '../options/options.js';
import { parseDuration } from '../options/parse-duration.js';
import { lastingPolicyOf, policyOf, withStore } from '../images/with-store.js';
import { version } from '../output/version.js';
import { invalidConfig } from '../config/settings.js';

export interface DaemonFlags {
  readonly cri?: string;
  /** Address of a socket for containerd's proxy plugin. */
  readonly snapshotter?: string;
  /** Address of a containerd's socket. */
  readonly containerd?: string;
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
  /** Paths of pull secrets of Kubernetes. */
  readonly pullSecrets?: readonly string[];
  /** Path of a directory with a signature policy for each namespace. */
  readonly policyDir?: string;
}

export const DEFAULT_SOCKET = 'unix:///run/landfall/landfall.sock';
export const DEFAULT_PROGRESS_TIMEOUT = '5m';

/** Where a kubelet looks for a node's credentials. */
const KUBELET_AUTH_FILE = '/var/lib/kubelet/config.json';

/**
 * Where credentials are kept for the daemon, besides the pull secrets that are named: as a file that is read
 * again when it changes, and as systemd's credential of the service, for a user that may not read that file.
 */
async function daemonAuthFiles(
  { pullSecrets = [] }: DaemonFlags,
  { env }: CommandContext,
): Promise<readonly string[]> {
  const isDenied = await access(DAEMON_AUTH_FILE, constants.R_OK).then(
    () => false,
    (error: unknown) => systemCode(error) === 'EACCES',
  );
  const credentials = env['CREDENTIALS_DIRECTORY'];
  return [
    ...pullSecrets.map((file) => resolve(file)),
    ...(isDenied ? [] : [DAEMON_AUTH_FILE]),
    ...(credentials === undefined || credentials === ''
      ? []
      : [join(credentials, basename(DAEMON_AUTH_FILE))]),
    KUBELET_AUTH_FILE,
  ];
}

/**
 * Pulls under way may go on for so long when it is stopped, in milliseconds: less than an interrupted command
 * may take.
 */
const PATIENCE_MS = 10_000;

/** So many hosts can be tried before a pull that makes no progress is given up. */
const HOSTS_TRIED = 4;

/** The flags, read before anything is opened. */
interface DaemonPlan {
  readonly socket: string;
  /** Paths of sockets. */
  readonly snapshotter: string | undefined;
  readonly containerd: string | undefined;
  readonly progressTimeoutMs: number;
  /** Canonical names, and globs over them. */
  readonly pins: readonly string[];
  readonly observeAt: ReturnType<typeof parseListen> | undefined;
}

/** @throws LandfallError INVALID_CONFIG */
function planOf(flags: DaemonFlags): DaemonPlan {
  const { cri = DEFAULT_SOCKET, snapshotter, containerd, progressTimeout = DEFAULT_PROGRESS_TIMEOUT } = flags;
  if (containerd !== undefined && snapshotter === undefined) {
    throw invalidConfig('--containerd needs --snapshotter', {
      hint: 'containerd finds the layers of the images that it is given only through that.',
    });
  }
  return {
    socket: parseSocketAddress(cri),
    snapshotter: snapshotter === undefined ? undefined : parseSocketAddress(snapshotter),
    containerd: containerd === undefined ? undefined : parseSocketAddress(containerd),
    progressTimeoutMs: parseDuration('--progress-timeout', progressTimeout),
    pins: (flags.pin ?? []).map(pinOf),
    observeAt: flags.metrics === undefined ? undefined : parseListen(flags.metrics),
  };
}

/** Serves until it is interrupted, which is how it is meant to end. */
export async function daemonCommand(flags: DaemonFlags, context: CommandContext): CommandResult {
  const { signal, log, env } = context;
  const plan = planOf(flags);
  const policies = await policiesOf(flags, context);
  return await withStore(
    context,
    async (store) => {
      const metrics = new DaemonMetrics({ store, version: version() });
      await using registry = await openRegistry(context, [], {
        onReceived: (host, bytes) => metrics.received(host, bytes),
        failover: failoverWithin(plan.progressTimeoutMs),
        authFiles: await daemonAuthFiles(flags, context),
      });
      await using tracing = await openTracing(env, { version: version() });
      const daemon = await Daemon.start({
        ...daemonOptions(flags, plan, context, metrics),
        ...policies,
        store,
        registry,
        observers: [metrics, ...(tracing === undefined ? [] : [tracing])],
      });
      try {
        await using observed =
          plan.observeAt === undefined
            ? undefined
            : await MetricsServer.listen({
                ...plan.observeAt,
                metrics,
                whyNotReady: () => daemon.whyNotReady(),
                unusable: 'FILESYSTEM',
              });
        const policy = (await policyOf(context))?.path;
        announce(store.root, { ...plan, ...policies, policy }, observed?.address, context);
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

/** The policies that images are held against: the daemon's own, and those of namespaces. */
type Policies = Pick<DaemonOptions, 'policy' | 'policies'>;

async function policiesOf({ policyDir }: DaemonFlags, context: CommandContext): Promise<Policies> {
  const policy = await lastingPolicyOf(context);
  if (policyDir === undefined) return { policy };
  const { PolicyDirectory } = await import('../../trust/index.js');
  return { policy, policies: new PolicyDirectory(policyDir, policy) };
}

function daemonOptions(
  flags: DaemonFlags,
  { socket, snapshotter, containerd, progressTimeoutMs, pins }: DaemonPlan,
  { settings, log }: CommandContext,
  metrics: DaemonMetrics,
): Omit<DaemonOptions, 'store' | 'registry' | 'observers' | keyof Policies> {
  const { maxParallelPulls, maxParallelPullsPerRegistry, prePull } = flags;
  return {
    socket,
    version: version(),
    progressTimeoutMs,
    pins,
    discardLayers: flags.discardLayers ?? false,
    runtimeHandlers: flags.runtimeHandler ?? [],
    maxParallelPulls,
    maxParallelPullsPerRegistry,
    concurrency: settings.concurrency,
    prePull:
      prePull === undefined
        ? undefined
        : {
            file: resolve(prePull),
            onProblem: (error, reference) => log.warn(`${reference ?? prePull}: ${messageOf(error)}`),
          },
    snapshotter:
      snapshotter === undefined
        ? undefined
        : {
            socket: snapshotter,
            onLayer: (outcome, chainId, left) => {
              metrics.snapshotLayer(outcome);
              if (left === undefined) log.debug(`${chainId}: ${outcome}`);
              else log[left.isFirst ? 'warn' : 'debug'](leftLine(chainId, left), leftFields(chainId, left));
            },
          },
    containerd:
      containerd === undefined
        ? undefined
        : {
            socket: containerd,
            onProblem: (error) => log.warn(messageOf(error)),
            onRegistered: (names) => log.info(`containerd was given ${names.join(', ')}`),
            onForgotten: (names) => log.info(`containerd has no more ${names.join(', ')}`),
          },
    onBegun: (id, reference) => log.info(`pull ${id}: ${reference}: begun`, { pull: id, reference }),
    onEnded: (ended) => log.info(endLine(ended), endFields(ended)),
    onRemoved: (removed) => metrics.removed(removed),
    onError: (method, error) => {
      // A pull that the policy refused is logged where it ends, too.
      if (error instanceof TrustError) log.warn(`${method}: ${messageOf(error)}`);
      else log.debug(`${method}: ${messageOf(error)}`);
    },
  };
}

/** The answer of a daemon that serves: of its policy the path, where there is a policy. */
type Emitted = DaemonPlan & Pick<Policies, 'policies'> & { readonly policy: string | undefined };

/** @param metricsAt `HOST:PORT` */
function announce(
  root: string,
  { socket, snapshotter, containerd, policies, policy }: Emitted,
  metricsAt: string | undefined,
  context: CommandContext,
): void {
  const cri = `unix://${socket}`;
  const metrics = metricsAt === undefined ? undefined : `http://${metricsAt}/metrics`;
  const [snapshots, images] = [snapshotter, containerd].map((path) => path && `unix://${path}`);
  const info = {
    ...{ root, cri, snapshotter: snapshots, containerd: images, pid: process.pid },
    ...{ policy, policyDir: policies?.path, metrics },
  };
  answer(context, info, () => {
    const lines = [`serving ${root} at ${cri}`];
    if (snapshots !== undefined) lines.push(`snapshots for containerd at ${snapshots}`);
    if (images !== undefined) lines.push(`images for the containerd at ${images}`);
    if (policy !== undefined) lines.push(`images need what ${policy} asks for`);
    if (policies !== undefined)
      lines.push(`those of a namespace, what its file in ${policies.path} asks for`);
    if (metrics !== undefined) lines.push(`metrics at ${metrics}`);
    return lines.map((line) => `${line}\n`).join('');
  });
}

/**
 * A mirror that does not answer is left in time for the next host to be asked before the pull counts as
 * stalled.
 */
function failoverWithin(progressTimeoutMs: number): FailoverOptions {
  if (progressTimeoutMs === 0) return {};
  const firstByteMs = Math.min(20_000, progressTimeoutMs / HOSTS_TRIED);
  return { firstByteMs, windowMs: Math.min(10_000, progressTimeoutMs / HOSTS_TRIED) };
}

/** The log's fields of a pull that has ended, for programs. */
export function endFields({ id, reference, durationMs, outcome, progress }: EndedPull): LogFields {
  return {
    pull: id,
    reference,
    durationMs: Math.round(durationMs),
    bytesDownloaded: progress.downloadedBytes,
    ...('error' in outcome ? { error: codeOf(outcome.error) } : {}),
  };
}

/** The same for people. */
export function endLine({ id, reference, durationMs, outcome, progress }: EndedPull): string {
  const subject = `pull ${id}: ${reference}`;
  if ('error' in outcome) return `${subject}: failed: ${messageOf(outcome.error)}`;
  return `${subject}: done in ${formatDuration(durationMs)}, ${formatSize(progress.downloadedBytes)} downloaded`;
}

/** A layer that containerd brings itself, and why. */
export function leftLine(chainId: Digest, { image, reason }: LeftLayer): string {
  const of = image === undefined ? '' : `${image}: `;
  return `${of}layer ${chainId}, and those on it, are left to containerd: ${messageOf(reason)}`;
}

/** The same for programs. */
export function leftFields(chainId: Digest, { image, reason }: LeftLayer): LogFields {
  return { ...(image === undefined ? {} : { image }), chainId, error: codeOf(reason) };
}

function codeOf(error: unknown): ErrorInfo['code'] {
  return errorInfo(error).code;
}

/**
 * A pin of the daemon: a glob over canonical names as it is, or the canonical form of a reference.
 *
 * @throws LandfallError INVALID_CONFIG
 */
function pinOf(pattern: string): string {
  if (isGlob(pattern)) return pattern;
  try {
    return formatReference(parseReference(pattern, { defaultTag: true }));
  } catch (cause) {
    throw invalidConfig(`--pin: ${messageOf(cause)}`, {
      hint: "Write a reference, or a pattern such as 'registry.k8s.io/*'.",
      cause,
    });
  }
}
