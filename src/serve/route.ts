import { LandfallError } from '../errors.js';
import { type Digest, isDigest, parseReference, repositoryName } from '../spec/index.js';
import { RegistryFault } from './registry-fault.js';

/** What a request asks for. `path` is the repository as the client wrote it, `repository` its canonical name. */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog'; readonly query: URLSearchParams }
  | ({ readonly kind: 'tags'; readonly query: URLSearchParams } & RepositoryPath)
  | ({ readonly kind: 'manifest'; readonly tag: string } & RepositoryPath)
  | ({ readonly kind: 'manifest'; readonly digest: Digest } & RepositoryPath)
  | ({ readonly kind: 'blob'; readonly digest: Digest } & RepositoryPath)
  | ({
      readonly kind: 'referrers';
      readonly digest: Digest;
      readonly query: URLSearchParams;
    } & RepositoryPath);

export interface RepositoryPath {
  readonly path: string;
  readonly repository: string;
}

/**
 * Reads a request target (distribution-spec: Endpoints). The target is never made a URL object, since that resolves
 * `..` and `%2e%2e` before anything could refuse them.
 *
 * @throws {RegistryFault} 404 where there is no such endpoint, 400 NAME_INVALID, 400 DIGEST_INVALID
 */
export function parseRoute(target: string): Route {
  const { segments, query } = split(target);
  if (segments[0] !== 'v2') throw noEndpoint();
  if (segments.length === 1 || (segments.length === 2 && segments[1] === '')) return { kind: 'base' };
  if (segments.length === 2 && segments[1] === '_catalog') return { kind: 'catalog', query };
  const [endpoint, last] = [segments.at(-2), segments.at(-1)];
  if (segments.length < 4 || endpoint === undefined || last === undefined) throw noEndpoint();
  const place = (): RepositoryPath => repositoryAt(segments.slice(1, -2).join('/'), query.get('ns'));
  switch (endpoint) {
    case 'manifests':
      return last.includes(':')
        ? { kind: 'manifest', digest: digestAt(last), ...place() }
        : { kind: 'manifest', tag: last, ...place() };
    case 'blobs':
      return { kind: 'blob', digest: digestAt(last), ...place() };
    case 'referrers':
      return { kind: 'referrers', digest: digestAt(last), query, ...place() };
    case 'tags':
      if (last === 'list') return { kind: 'tags', query, ...place() };
      throw noEndpoint();
    default:
      throw noEndpoint();
  }
}

function split(target: string): { segments: string[]; query: URLSearchParams } {
  // A client that takes this server for a proxy sends the absolute form (RFC 9112, 3.2.2).
  const local = target.replace(/^https?:\/\/[^/?]*/i, '');
  const mark = local.indexOf('?');
  const path = mark === -1 ? local : local.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? '' : local.slice(mark + 1));
  return { segments: path.split('/').slice(1).map(decodeSegment), query };
}

/** Clients may encode the colon of a digest. An encoded slash would make one name out of two segments. */
function decodeSegment(segment: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(segment);
  } catch {
    throw new RegistryFault(400, 'NAME_INVALID', 'the path is not percent-encoded UTF-8');
  }
  if (decoded.includes('/'))
    throw new RegistryFault(400, 'NAME_INVALID', 'a name cannot hold an encoded slash');
  return decoded;
}

/**
 * A path is read as a person would write it after `pull`: `team/app` is docker.io/team/app, `alpine` is
 * docker.io/library/alpine, `quay.io/x/y` is itself. With `ns`, which containerd sends to a mirror, the path is the
 * repository at that host.
 */
function repositoryAt(path: string, ns: string | null): RepositoryPath {
  const invalid = new RegistryFault(400, 'NAME_INVALID', 'the repository name is malformed');
  // Without a dot or a port the host would be read as the first component of a name at docker.io.
  if (ns !== null && !/^(?:localhost|[^/]*[.:][^/]*)$/.test(ns)) throw invalid;
  try {
    const reference = parseReference(ns === null ? path : `${ns}/${path}`);
    if (reference.tag !== undefined || reference.digest !== undefined) throw invalid;
    return { path, repository: repositoryName(reference) };
  } catch (error) {
    if (error instanceof LandfallError && error.code === 'INVALID_REFERENCE') throw invalid;
    throw error;
  }
}

function digestAt(text: string): Digest {
  if (isDigest(text)) return text;
  throw new RegistryFault(400, 'DIGEST_INVALID', 'the digest is malformed');
}

function noEndpoint(): RegistryFault {
  return new RegistryFault(404, 'UNSUPPORTED', 'there is no such endpoint; this registry is for pulling');
}
