import type { IncomingMessage } from 'node:http';

import type { ReferrerFinder } from '../content/index.js';
import { answerBlob } from './pull/answer-blob.js';
import { answerCatalog, answerTags } from './pull/answer-list.js';
import { answerManifest, answerReferrers } from './pull/answer-manifest.js';
import type { Answer, Page } from './http/answer.js';
import { isReading, RegistryFault } from './http/registry-fault.js';
import { answerPush, PUSH_METHODS } from './push/answer-push.js';
import type { PushRequest, ServeTarget } from './push/serve-target.js';
import { noEndpoint, parseRoute, type Route } from './http/route.js';
import type { ServeSource } from './pull/serve-source.js';

export interface AnswerOptions {
  readonly source: ServeSource;
  readonly finder: ReferrerFinder;
  readonly page?: Page | undefined;
  /** Where pushes and deletions go; absent for a registry that is only read. */
  readonly target?: ServeTarget | undefined;
  /** The limits of a push. */
  readonly pushing: Pick<PushRequest, 'mostUploadBytes' | 'manifests'>;
}

/**
 * Answers a request that was admitted.
 *
 * @throws {RegistryFault} the error body for the client; any other error of the source or the target
 */
export async function answerRequest(options: AnswerOptions, request: IncomingMessage): Promise<Answer> {
  const { method = '' } = request;
  if (isReading(method)) {
    const route = parseRoute(request.url ?? '');
    const brought = await options.source.forRequest?.(route, request.headers);
    const source = brought?.source ?? options.source;
    const answer = await read({ ...options, source }, { route, method, request });
    const namespace = 'ns' in route ? { 'OCI-Namespace': route.ns } : {};
    return { ...answer, headers: { ...answer.headers, ...namespace, ...brought?.headers } };
  }
  const { target } = options;
  if (target === undefined || !PUSH_METHODS.has(method)) {
    const allowed = target === undefined ? 'GET, HEAD' : ['GET', 'HEAD', ...PUSH_METHODS].join(', ');
    // Closed afterwards, so that an upload is not read to its end only to be thrown away.
    const headers = { Allow: allowed, Connection: 'close' };
    const message = target === undefined ? 'this registry is read-only' : `there is no method ${method} here`;
    throw new RegistryFault(405, 'UNSUPPORTED', message, headers);
  }
  const route = parseRoute(request.url ?? '');
  return answerPush(options.source, { target, request, ...options.pushing }, { route, method });
}

interface Reading {
  readonly route: Route;
  readonly method: 'GET' | 'HEAD';
  readonly request: IncomingMessage;
}

async function read(
  { source, finder, page, target, pushing }: AnswerOptions,
  { route, method, request }: Reading,
): Promise<Answer> {
  const { headers } = request;
  switch (route.kind) {
    case 'page': {
      const answer = await page?.(route.path, { method, query: route.query, headers });
      if (answer === undefined) throw noEndpoint();
      return answer;
    }
    case 'base':
      return {
        status: 200,
        headers: { 'Content-Type': 'application/json', 'Content-Length': 2 },
        body: '{}',
      };
    case 'catalog':
      return answerCatalog(source, route);
    case 'tags':
      return answerTags(source, route);
    case 'referrers':
      return answerReferrers(source, finder, route);
    case 'manifest':
      return answerManifest(source, route, headers);
    case 'blob': {
      // A range of HEAD has no meaning (RFC 9110, 14.2).
      const { range, ...head } = headers;
      // A client that finds a blob before it pushes an image relies on it.
      if (method === 'HEAD') await target?.keep(route.digest);
      return answerBlob(source, route, method === 'HEAD' ? head : { ...head, range });
    }
    case 'upload':
      if (target === undefined) throw noEndpoint();
      return answerPush(source, { target, request, ...pushing }, { route, method });
    case 'uploads':
      throw noEndpoint();
  }
}
