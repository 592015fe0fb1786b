import { type Abortable, ContentError, SpecError } from '../../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  bareMediaType,
  createDigester,
  type Digest,
  isDigest,
  LIMITS,
} from '../../spec/index.js';
import { collectBeginning, collectBody } from '../http/body-source.js';
import { appliedEncoding, decodedBody } from '../http/content-encoding.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';
import type { HostChain } from '../hosts/host-chain.js';
import type { Access } from '../hosts/registry-host.js';

export interface StoredManifest {
  readonly bytes: Buffer;
  /** As `Content-Type` has it, without parameters; empty where it is absent. */
  readonly mediaType: string;
}

/**
 * The manifest under a tag or digest at the host that is pushed to, which no mirror can stand in for. Undefined where
 * there is none. By digest it is verified.
 *
 * @throws {RegistryError} all codes; LIMIT_EXCEEDED, DIGEST_MISMATCH
 */
export async function readManifest(
  chain: HostChain,
  repository: string,
  at: Digest | string,
  { signal, access }: Abortable & { readonly access: Access },
): Promise<StoredManifest | undefined> {
  const separator = isDigest(at) ? '@' : ':';
  const subject = `${chain.registry}/${repository}${separator}${at}`;
  return await chain.run({ capability: 'push', signal }, async ({ host, attempt, signal: turnSignal }) => {
    const response = await host.request({
      method: 'GET',
      repository,
      path: `manifests/${at}`,
      headers: { accept: ACCEPTED_MANIFEST_TYPES.join(', ') },
      access: [access],
      expected: [200, 404],
      subject,
      attempt,
      signal: turnSignal,
    });
    if (response.status === 404) {
      await collectBeginning(response, ERROR_BODY_BYTES);
      return undefined;
    }
    const source = decodedBody(response, appliedEncoding(response, undefined));
    const bytes = await collectBody(source, LIMITS.manifestBytes, () => tooLong(subject));
    if (isDigest(at)) checkDigest(bytes, at, subject);
    return { bytes, mediaType: bareMediaType(response.header('content-type') ?? '') };
  });
}

function checkDigest(bytes: Buffer, expected: Digest, subject: string): void {
  const actual = createDigester(expected).update(bytes).digest();
  if (actual === expected) return;
  throw new ContentError('DIGEST_MISMATCH', `the manifest ${subject} has the digest ${actual}`, {
    hint: 'The registry, or a proxy before it, has changed the manifest; do not trust it.',
    details: { digest: expected, expected, actual },
  });
}

function tooLong(subject: string): SpecError {
  return new SpecError(
    'LIMIT_EXCEEDED',
    `the manifest ${subject} is longer than ${LIMITS.manifestBytes} bytes`,
  );
}
