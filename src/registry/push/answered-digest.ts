import { ContentError } from '../../errors.js';
import { algorithmOf, type Digest, isDigest, isVerifiable } from '../../spec/index.js';
import type { HttpResponse } from '../http/http.js';

/**
 * Holds what the registry says it has stored against what it was sent: `Docker-Content-Digest`, and the end of
 * `Location`. A digest of another algorithm says nothing here: some registries answer with sha256 whatever they are given.
 *
 * @throws {ContentError} DIGEST_MISMATCH
 */
export function checkAnsweredDigest(response: HttpResponse, expected: Digest): void {
  const said = [response.header('docker-content-digest')?.trim(), lastComponent(response.header('location'))];
  for (const actual of said) {
    if (!isDigest(actual) || !isVerifiable(actual) || algorithmOf(actual) !== algorithmOf(expected)) continue;
    if (actual === expected) continue;
    throw new ContentError(
      'DIGEST_MISMATCH',
      `${response.url.host} was sent ${expected}, and says that it has stored ${actual}`,
      {
        hint: 'The registry, or a proxy before it, changes what is pushed; ask who runs it.',
        details: { digest: expected, expected, actual },
      },
    );
  }
}

function lastComponent(location: string | undefined): string | undefined {
  const last = /([^/?#]+)(?:[?#].*)?$/.exec(location ?? '')?.[1];
  return last?.replace(/%3a/i, ':');
}
