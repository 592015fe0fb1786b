import { once } from 'node:events';
import { OciLayout } from '../../content/index.js';
import { discardedBlobs } from '../../engine/discard-layers.js';
import { restoreBlobs } from '../../engine/restore-blobs.js';
import { LandfallError } from '../../errors.js';
import {
  createRegistryServer,
  LayoutSource,
  RestoringBlobs,
  type ServedRequest,
  type ServeSource,
  StoreSource,
} from '../../serve/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { messageOf } from '../error-facts.js';
import { EXIT_CODES } from '../exit-codes.js';
import { formatDuration } from '../format/duration.js';
import { printable } from '../format/printable.js';
import { formatSize } from '../format/size.js';
import { openRegistry } from '../open-registry.js';
import { type ListenAt, parseListen } from '../parse-listen.js';
import { parseSourceName } from '../source-name.js';
import { withStore } from '../with-store.js';

export interface ServeFlags {
  /** `HOST:PORT`. */
  readonly listen?: string;
}

export const DEFAULT_LISTEN = '127.0.0.1:5000';

/** Serves until it is interrupted, which is how it is meant to end: that is no error to report. */
export async function serveCommand(
  sourceName: string | undefined,
  flags: ServeFlags,
  context: CommandContext,
): CommandResult {
  const at = parseListen(flags.listen ?? DEFAULT_LISTEN);
  if (sourceName === undefined) {
    return withStore(context, async (store) => {
      const discarded = discardedBlobs(store);
      await using registry = await openRegistry(context, await discarded.sources());
      const { catalog: images, content, root } = store;
      const { signal } = context;
      const restoring = new RestoringBlobs({
        blobs: content,
        discarded,
        restore: (descriptor) => restoreBlobs(store, registry, [descriptor], { signal }),
      });
      return await serveUntilAborted(new StoreSource({ images, content, restoring }), root, at, context);
    });
  }
  const source = parseSourceName(sourceName);
  if (source.kind !== 'oci' || source.name !== undefined) {
    throw new LandfallError('INVALID_CONFIG', `${sourceName} cannot be served`, {
      hint: 'Leave it out to serve the store, or name a whole layout: landfall serve oci:DIR.',
    });
  }
  const layout = await OciLayout.open(source.directory);
  return serveUntilAborted(new LayoutSource(layout, source.directory), source.directory, at, context);
}

async function serveUntilAborted(
  source: ServeSource,
  what: string,
  at: ListenAt,
  context: CommandContext,
): CommandResult {
  const { signal, log } = context;
  const server = createRegistryServer({ source, onRequest: (request) => log.info(requestLine(request)) });
  const { address, port, host } = await server.listen(at);
  try {
    const url = `http://${host}`;
    answer(
      context,
      { source: what, url, host: address, port },
      () => `serving ${printable(what)} at ${url}\n`,
    );
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await server.close();
  }
  return EXIT_CODES.ABORTED;
}

function requestLine({ method, path, status, bytes, durationMs, error }: ServedRequest): string {
  const line = `${method} ${path} ${status} ${formatSize(bytes)} ${formatDuration(durationMs)}`;
  return error === undefined ? line : `${line}: ${messageOf(error)}`;
}
