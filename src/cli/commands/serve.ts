import { once } from 'node:events';
import { OciLayout } from '../../content/index.js';
import { discardedBlobs } from '../../engine/discard-layers.js';
import { LandfallError } from '../../errors.js';
import {
  createRegistryServer,
  LayoutSource,
  MetricsServer,
  type Page,
  ServeMetrics,
  type ServeSource,
  type ServeTarget,
  sourceOfStore,
  StoreTarget,
} from '../../serve/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { messageOf } from '../error-facts.js';
import { EXIT_CODES } from '../exit-codes.js';
import { printable } from '../format/printable.js';
import { openPullThrough } from '../open-pull-through.js';
import { openRegistry } from '../open-registry.js';
import { printHosts } from '../print-hosts.js';
import { openServeAccess, type ServeAccess } from '../serve-access.js';
import { requestTold } from '../serve-log.js';
import { sourcePage, storePage } from '../serve-page.js';
import { type ServeFlags, type ServePlan, servePlan } from '../serve-plan.js';
import { parseSourceName } from '../source-name.js';
import { version } from '../version.js';
import { withStore } from '../with-store.js';

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
    const discarded = discardedBlobs(store);
    await using registry = await openRegistry(context, await discarded.sources());
    const local = sourceOfStore(store, registry, { signal: context.signal, writable: plan.writable });
    await using mirror =
      plan.pullThrough === undefined
        ? undefined
        : await openPullThrough(plan.pullThrough, { store, local }, context);
    const source = mirror?.source ?? local;
    const page = storePage(store, access.tls !== undefined);
    const target = plan.writable ? new StoreTarget(store) : undefined;
    const stopExpiring = target?.expireUploads((error) => context.log.warn(messageOf(error)));
    try {
      return await serveUntilAborted({ source, target, page, what: store.root, plan, access }, context);
    } finally {
      stopExpiring?.();
    }
  });
}

async function openSource(name: string): Promise<{ directory: string; layout: OciLayout }> {
  const source = parseSourceName(name);
  if (source.kind !== 'oci' || source.name !== undefined) {
    throw new LandfallError('INVALID_CONFIG', `${name} cannot be served`, {
      hint: 'Leave it out to serve the store, or name a whole layout: landfall serve oci:DIR.',
    });
  }
  return { directory: source.directory, layout: await OciLayout.open(source.directory) };
}

interface Served {
  readonly source: ServeSource;
  readonly target?: ServeTarget | undefined;
  readonly page?: Page | undefined;
  /** Path of what is served. */
  readonly what: string;
  readonly plan: ServePlan;
  readonly access: ServeAccess;
}

async function serveUntilAborted(served: Served, context: CommandContext): CommandResult {
  const { source, target, page, what, plan, access } = served;
  const { signal, log } = context;
  const metrics = plan.metricsAt === undefined ? undefined : new ServeMetrics({ version: version() });
  const tell = requestTold(log);
  const server = createRegistryServer({
    source,
    target,
    page,
    access: access.access,
    tls: access.tls?.identity,
    limits: plan.limits,
    onRequest: (request) => {
      metrics?.count(request);
      tell(request);
    },
    ...(metrics === undefined ? {} : { onSent: (bytes) => metrics.sent(bytes) }),
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
      ...(target === undefined ? {} : { uploads: () => target.uploads.inFlight }),
    });
    const url = `${access.tls === undefined ? 'http' : 'https'}://${host}`;
    tellWhere(
      { what, url, host: address, port, writable: plan.writable, metricsAt: observed?.address },
      context,
    );
    warnOfOpenDoors(served, address, context);
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await server.close();
  }
  return EXIT_CODES.ABORTED;
}

interface Where {
  readonly what: string;
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly writable: boolean;
  /** `HOST:PORT` */
  readonly metricsAt: string | undefined;
}

function tellWhere({ what, url, host, port, writable, metricsAt }: Where, context: CommandContext): void {
  const metrics = metricsAt === undefined ? undefined : `http://${metricsAt}/metrics`;
  const facts = { source: what, url, host, port, writable, ...(metrics === undefined ? {} : { metrics }) };
  answer(context, facts, () => {
    const lines = [`serving ${printable(what)} at ${url}`];
    if (metrics !== undefined) lines.push(`metrics at ${metrics}`);
    return `${lines.join('\n')}\n`;
  });
}

/** Who listens beyond this machine is told of what everybody there can do. */
function warnOfOpenDoors(
  { plan, access }: Pick<Served, 'plan' | 'access'>,
  address: string,
  { log }: CommandContext,
): void {
  if (/^(?:127\.|::1$)/.test(address)) return;
  if (plan.writable && access.access === undefined) {
    log.warn('whoever reaches this address may push and delete: ask for passwords with --htpasswd');
  }
  if (access.access !== undefined && access.tls === undefined) {
    log.warn(
      'passwords cross the network as they are: speak TLS with --tls-cert and --tls-key, or stand behind a proxy that does',
    );
  }
}
