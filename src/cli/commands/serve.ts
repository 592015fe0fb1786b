import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { OciLayout } from '../../content/index.js';
import { PullBudget } from '../../engine/pull/pull-budget.js';
import type { Store } from '../../engine/store.js';
import { MetricsServer } from '../../observe/metrics-server.js';
import { ServeMetrics } from '../../observe/serve-metrics.js';
import {
  Access,
  accessFields,
  accessLine,
  createRegistryServer,
  Htpasswd,
  LayoutSource,
  mirrorPage,
  type Page,
  PullThrough,
  PushAdmission,
  type RegistryServer,
  type ServedRequest,
  type ServeSource,
  type ServeTarget,
  SourceCatalogue,
  sourceOfStore,
  StoreCatalogue,
  StoreTarget,
  TlsFiles,
} from '../../serve/index.js';
import { answer, type CommandContext, type CommandResult, messageOf } from '../output/command-context.js';
import { EXIT_CODES } from '../output/exit-codes.js';
import { printable } from '../format/text.js';
import type { Log } from '../output/log.js';
import { openRegistry } from '../images/open-registry.js';
import { lastingPolicyOf, policyOf, withStore } from '../images/with-store.js';
import {
  printHosts,
  type PullThroughPlan,
  type ServeFlags,
  type ServePlan,
  servePlan,
} from './serve-plan.js';
import { parseSourceName } from '../images/source-name.js';
import { version } from '../output/version.js';
import { invalidConfig } from '../config/settings.js';

export type { ServeFlags };

/** Serves until it is interrupted, which is how it is meant to end: that is no error to report. */
export async function serveCommand(
  sourceName: string | undefined,
  flags: ServeFlags,
  context: CommandContext,
): CommandResult {
  const plan = servePlan(sourceName, flags);
  if (flags.printHosts === true)
    return printHosts(flags, { plan, secure: flags.tlsCert !== undefined }, context);
  using access = await openServeAccess(flags, context);
  if (sourceName !== undefined) {
    const { directory, layout } = await openSource(sourceName);
    const source = new LayoutSource(layout, directory);
    const page = sourcePage(source, access.tls !== undefined);
    return await serveUntilAborted({ source, page, what: directory, plan, access }, context);
  }
  return await withStore(context, async (store) => {
    const { discarded } = store;
    await using registry = await openRegistry(context, await discarded.sources());
    const { signal } = context;
    const admission = plan.writable ? await pushAdmission(plan, { store }, context) : undefined;
    const local = sourceOfStore(store, registry, { signal, writable: plan.writable, admission });
    await using mirror =
      plan.pullThrough === undefined
        ? undefined
        : await openPullThrough(plan.pullThrough, { store, local }, context);
    const page = storePage(store, access.tls !== undefined);
    const target = plan.writable ? new StoreTarget(store, admission) : undefined;
    const stopExpiring = target?.expireUploads((error) => context.log.warn(messageOf(error)));
    try {
      const served = { source: local, pullThrough: mirror?.source, target, page, what: store.root };
      return await serveUntilAborted({ ...served, plan, access }, context);
    } finally {
      stopExpiring?.();
    }
  });
}

async function pushAdmission(
  { signWithinMs, advertisedHost }: ServePlan,
  { store }: { readonly store: Store },
  context: CommandContext,
): Promise<PushAdmission> {
  const found = await policyOf(context);
  if (found !== undefined) context.log.info(`pushed images must meet ${found.path}`);
  return new PushAdmission({
    store,
    policy: await lastingPolicyOf(context),
    graceMs: signWithinMs,
    host: advertisedHost,
    onWarning: (text) => context.log.warn(text),
  });
}

async function openSource(name: string): Promise<{ directory: string; layout: OciLayout }> {
  const source = parseSourceName(name);
  if (source.kind !== 'oci' || source.name !== undefined) {
    throw invalidConfig(`${name} cannot be served`, {
      hint: 'Leave it out to serve the store, or name a whole layout: landfall serve oci:DIR.',
    });
  }
  return { directory: source.directory, layout: await OciLayout.open(source.directory) };
}

interface Served {
  readonly source: ServeSource;
  readonly pullThrough?: PullThrough | undefined;
  readonly target?: ServeTarget | undefined;
  readonly page?: Page | undefined;
  /** Path of what is served. */
  readonly what: string;
  readonly plan: ServePlan;
  readonly access: ServeAccess;
}

async function serveUntilAborted(served: Served, context: CommandContext): CommandResult {
  const { source, pullThrough, target, page, what, plan, access } = served;
  const { signal, log } = context;
  const metrics = plan.metricsAt === undefined ? undefined : new ServeMetrics({ version: version() });
  const emit = requestLogger(log);
  const server = createRegistryServer({
    source,
    pullThrough,
    target,
    page,
    access: access.access,
    tls: access.tls?.identity,
    limits: plan.limits,
    onRequest: (request) => {
      metrics?.count(request);
      emit(request);
    },
    onSent: metrics && ((bytes) => metrics.sent(bytes)),
  });
  access.follow(server);
  const { address, port, host } = await server.listen(plan.at);
  try {
    await using observed =
      metrics === undefined || plan.metricsAt === undefined
        ? undefined
        : await MetricsServer.listen({ ...plan.metricsAt, metrics });
    metrics?.follow({
      requests: () => server.requestsInFlight,
      uploads: target && (() => target.uploads.inFlight),
    });
    const url = `${access.tls === undefined ? 'http' : 'https'}://${host}`;
    const metricsUrl = observed && `http://${observed.address}/metrics`;
    const info = { source: what, url, host: address, port, writable: plan.writable, metrics: metricsUrl };
    answer(context, info, () => {
      const also = metricsUrl === undefined ? '' : `metrics at ${metricsUrl}\n`;
      return `serving ${printable(what)} at ${url}\n${also}`;
    });
    warnOfOpenDoors(served, address, context);
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await server.close();
  }
  return EXIT_CODES.ABORTED;
}

/** A server that listens beyond this machine warns of what all clients there can do. */
function warnOfOpenDoors(
  { plan, access }: Pick<Served, 'plan' | 'access'>,
  address: string,
  { log }: CommandContext,
): void {
  if (/^(?:127\.|::1$)/.test(address)) return;
  if (plan.writable && access.access === undefined) {
    log.warn('every client that reaches this address may push and delete: require passwords with --htpasswd');
  }
  if (access.access !== undefined && access.tls === undefined) {
    log.warn(
      'passwords cross the network as they are: speak TLS with --tls-cert and --tls-key, or stand behind a proxy that does',
    );
  }
}

/** Which users have access, and how a server proves its identity. */
export interface ServeAccess extends Disposable {
  readonly access: Access | undefined;
  readonly tls: TlsFiles | undefined;
  /** Gives a server what is read anew from now on. */
  follow(server: Pick<RegistryServer, 'identify'>): void;
}

/**
 * The access that the options ask for. Both files are read again when they change, the certificate on SIGHUP
 * too.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export async function openServeAccess(flags: ServeFlags, { log }: CommandContext): Promise<ServeAccess> {
  const { htpasswd, anonymousRead = false, tlsCert, tlsKey } = flags;
  const onError = (error: unknown): void => log.warn(messageOf(error));
  let followed: Pick<RegistryServer, 'identify'> | undefined;
  const users =
    htpasswd === undefined ? undefined : await Htpasswd.open({ file: resolve(htpasswd), onError });
  const tls =
    tlsCert === undefined || tlsKey === undefined
      ? undefined
      : await TlsFiles.open({
          certFile: resolve(tlsCert),
          keyFile: resolve(tlsKey),
          onChange: (identity) => {
            followed?.identify(identity);
            log.info('the certificate was read again');
          },
          onError,
        });
  const reload = (): void => void tls?.reload();
  // Without a certificate the signal means what it always does: the end.
  if (tls !== undefined) process.on('SIGHUP', reload);
  return {
    access: users === undefined ? undefined : new Access({ users, anonymousRead }),
    tls,
    follow: (server) => {
      followed = server;
    },
    [Symbol.dispose]: () => {
      process.off('SIGHUP', reload);
      tls?.[Symbol.dispose]();
    },
  };
}

/**
 * Tells of each request: a line of the combined log format, or its facts for programs. What broke on the way
 * is a warning.
 */
export function requestLogger(log: Log): (request: ServedRequest) => void {
  return (request) => {
    if (log.shows('info')) log.info(accessLine(request), accessFields(request));
    if (request.error === undefined || request.status < 500) return;
    log.warn(`${request.method} ${printablePath(request.path)}: ${messageOf(request.error)}`);
  };
}

/** Without its query, which may hold a secret. */
function printablePath(path: string): string {
  return path.split('?', 1)[0] ?? '';
}

/** The pages of a store. @param secure whether clients reach it by TLS */
export function storePage(store: Store, secure: boolean): Page {
  const { database, manifests, catalog: images, content, additional } = store;
  const known = [manifests, ...additional.map((other) => other.manifests)];
  const catalogue = new StoreCatalogue({ database, documents: known, images, content });
  return mirrorPage({ catalogue, blobs: content, secure });
}

/** The pages of a source that has no database, such as a layout. */
export function sourcePage(source: ServeSource, secure: boolean): Page {
  return mirrorPage({ catalogue: new SourceCatalogue(source), blobs: source.blobs, secure });
}

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
  if (found !== undefined) context.log.info(`fetched images must meet ${found.path}`);
  const mark = `pull-through/${randomBytes(8).toString('hex')}`;
  const registry = await openRegistry(
    context,
    upstreams.map((upstream) => `${upstream}/any`),
    {
      userAgent: `landfall/${version()} ${mark}`,
      // Whoever asks this server would choose where it asks.
      foreignUrls: false,
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
