import { LandfallError } from '../../errors.js';
import { type Digest, isDigest, parseReference, repositoryName } from '../../spec/index.js';
import { RegistryFault } from './answer.js';

/**
 * What a request asks for. `path` is the repository as the client wrote it, `repository` its canonical name.
 */
export type Route =
  | { readonly kind: 'page'; readonly path: string; readonly query: URLSearchParams }
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog'; readonly query: URLSearchParams }
  | ({ readonly kind: 'tags' } & RepositoryPath)
  | ({ readonly kind: 'manifest'; readonly tag: string } & RepositoryPath)
  | ({ readonly kind: 'manifest'; readonly digest: Digest } & RepositoryPath)
  | ({ readonly kind: 'blob'; readonly digest: Digest } & RepositoryPath)
  | ({ readonly kind: 'referrers'; readonly digest: Digest } & RepositoryPath)
  | ({ readonly kind: 'uploads' } & RepositoryPath)
  | ({ readonly kind: 'upload'; readonly id: string } & RepositoryPath);

export interface RepositoryPath {
  readonly path: string;
  readonly repository: string;
  /**
   * The host that the client means, where it asks a mirror of that (distribution-spec: Registry Proxying).
   */
  readonly ns?: string;
  readonly query: URLSearchParams;
}

/**
 * Reads a request target (distribution-spec: Endpoints). The target is never made a URL object, since that
 * resolves `..` and `%2e%2e` before anything could refuse them. What is not below `/v2/` is a page, whose
 * path stays as it was sent.
 *
 * @throws {RegistryFault} 404 where there is no such endpoint, 400 NAME_INVALID, 400 DIGEST_INVALID
 */
export function parseRoute(target: string): Route {
  const { path, query } = split(target);
  if (!/^\/v2(?:\/|$)/.test(path)) return { kind: 'page', path, query };
  const segments = path.split('/').slice(1).map(decodeSegment);
  if (segments.length === 1 || (segments.length === 2 && segments[1] === '')) return { kind: 'base' };
  if (segments.length === 2 && segments[1] === '_catalog') return { kind: 'catalog', query };
  return endpointOf(segments, query);
}

function endpointOf(segments: readonly string[], query: URLSearchParams): Route {
  const [beforeLast, endpoint, last] = [segments.at(-3), segments.at(-2), segments.at(-1)];
  if (segments.length < 4 || endpoint === undefined || last === undefined) throw noEndpoint();
  const place = (trailing: number): RepositoryPath =>
    repositoryAt(segments.slice(1, -trailing).join('/'), query);
  // A name may have a component `blobs` too, so the segment after it decides.
  if (beforeLast === 'blobs' && endpoint === 'uploads' && segments.length > 4) {
    return last === '' ? { kind: 'uploads', ...place(3) } : { kind: 'upload', id: last, ...place(3) };
  }
  switch (endpoint) {
    case 'manifests':
      return last.includes(':')
        ? { kind: 'manifest', digest: digestAt(last), ...place(2) }
        : { kind: 'manifest', tag: last, ...place(2) };
    case 'blobs':
      // The specification writes it with a slash at the end, and some clients do not.
      if (last === 'uploads') return { kind: 'uploads', ...place(2) };
      return { kind: 'blob', digest: digestAt(last), ...place(2) };
    case 'referrers':
      return { kind: 'referrers', digest: digestAt(last), ...place(2) };
    case 'tags':
      if (last === 'list') return { kind: 'tags', ...place(2) };
      throw noEndpoint();
    default:
      throw noEndpoint();
  }
}

function split(target: string): { path: string; query: URLSearchParams } {
  // A client that takes this server for a proxy sends the absolute form (RFC 9112, 3.2.2).
  const local = target.replace(/^https?:\/\/[^/?]*/i, '');
  const mark = local.indexOf('?');
  const path = mark === -1 ? local : local.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? '' : local.slice(mark + 1));
  return { path, query };
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

/** As `ServeSource` says that paths are read. */
function repositoryAt(path: string, query: URLSearchParams): RepositoryPath {
  const ns = query.get('ns');
  const invalid = new RegistryFault(400, 'NAME_INVALID', 'the repository name is malformed');
  // Without a dot or a port the host would be read as the first component of a name at docker.io.
  if (ns !== null && !/^(?:localhost|[^/]*[.:][^/]*)$/.test(ns)) throw invalid;
  try {
    const reference = parseReference(ns === null ? path : `${ns}/${path}`);
    if (reference.tag !== undefined || reference.digest !== undefined) throw invalid;
    return { path, repository: repositoryName(reference), query, ...(ns === null ? {} : { ns }) };
  } catch (error) {
    if (error instanceof LandfallError && error.code === 'INVALID_REFERENCE') throw invalid;
    throw error;
  }
}

function digestAt(text: string): Digest {
  if (isDigest(text)) return text;
  throw new RegistryFault(400, 'DIGEST_INVALID', 'the digest is malformed');
}

/** What is neither an endpoint nor a page. */
export function noEndpoint(): RegistryFault {
  return new RegistryFault(404, 'UNSUPPORTED', 'there is no such endpoint');
}
