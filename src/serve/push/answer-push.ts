import type { Answer } from '../answer.js';
import { RegistryFault } from '../registry-fault.js';
import { noEndpoint, type Route } from '../route.js';
import type { ServeSource } from '../serve-source.js';
import { answerDeleteBlob, answerDeleteManifest } from './answer-delete.js';
import { answerPutManifest } from './answer-put-manifest.js';
import { answerBegin } from './answer-begin.js';
import { answerCancel, answerComplete, answerPatch, answerStatus } from './answer-upload.js';
import type { PushRequest } from './push-request.js';

/** The methods that change something. */
export const PUSH_METHODS: ReadonlySet<string> = new Set(['POST', 'PATCH', 'PUT', 'DELETE']);

/**
 * What changes a repository, and the look at an upload (distribution-spec: Push, Content Management).
 *
 * @throws {RegistryFault} what the client is told instead; whatever else the target throws
 */
export async function answerPush(
  source: ServeSource,
  push: PushRequest,
  { route, method }: { readonly route: Route; readonly method: string },
): Promise<Answer> {
  switch (route.kind) {
    case 'uploads':
      if (method === 'POST') return answerBegin(push, route);
      throw notAllowed(method, 'POST');
    case 'upload':
      return answerUpload(push, route, method);
    case 'manifest':
      if (method === 'PUT') return answerPutManifest(push, route);
      if (method === 'DELETE') return answerDeleteManifest(source, push.target, route);
      throw notAllowed(method, 'GET, HEAD, PUT, DELETE');
    case 'blob':
      if (method === 'DELETE') return answerDeleteBlob(push.target, route);
      throw notAllowed(method, 'GET, HEAD, DELETE');
    case 'base':
    case 'catalog':
    case 'tags':
    case 'referrers':
    case 'page':
      throw notAllowed(method, 'GET, HEAD');
  }
}

async function answerUpload(
  push: PushRequest,
  route: Extract<Route, { kind: 'upload' }>,
  method: string,
): Promise<Answer> {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return answerStatus(push.target, route);
    case 'PATCH':
      return answerPatch(push, route);
    case 'PUT':
      return answerComplete(push, route);
    case 'DELETE':
      return answerCancel(push.target, route);
    default:
      throw noEndpoint();
  }
}

function notAllowed(method: string, allowed: string): RegistryFault {
  const headers = { Allow: allowed, Connection: 'close' };
  return new RegistryFault(405, 'UNSUPPORTED', `there is no ${method} of this`, headers);
}
