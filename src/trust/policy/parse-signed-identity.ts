import { isLandfallError, type TrustError } from '../../errors.js';
import { parseReference, quoted, type Reference } from '../../spec/index.js';
import type { JsonNode } from './json-tree.js';
import { listed, PolicyObject } from './policy-object.js';
import type { PolicyText } from './policy-text.js';
import type { SignedIdentity } from './signed-identity.js';

const TYPES: readonly SignedIdentity['type'][] = [
  'matchExact',
  'matchRepoDigestOrExact',
  'matchRepository',
  'matchDigest',
  'exactReference',
  'exactRepository',
  'remapIdentity',
];

/**
 * Reads a `signedIdentity`.
 *
 * @throws TrustError POLICY_REJECTED
 */
export function parseSignedIdentity(text: PolicyText, node: JsonNode): SignedIdentity {
  const untyped = new PolicyObject(text, node, '"signedIdentity"');
  const named = untyped.string('type');
  const type = TYPES.find((known) => known === named);
  const typeField = untyped.oneOf('type');
  if (type === undefined) {
    throw text.fault(
      typeField.value.offset,
      `"signedIdentity" has no type ${quoted(named)}; it is ${listed(TYPES)}`,
    );
  }
  const identity = new PolicyObject(text, node, quoted(type));
  const offset = (key: string): number => identity.oneOf(key).value.offset;
  switch (type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
    case 'matchDigest':
      identity.only('type');
      return { type };
    case 'exactReference': {
      const dockerReference = identity.only('type', 'dockerReference').string('dockerReference');
      const { tag, digest } = referenceAt(text, offset('dockerReference'), dockerReference);
      if (tag === undefined && digest === undefined) {
        const what = `"dockerReference" needs a tag or a digest, which ${quoted(dockerReference)} has not`;
        throw text.fault(offset('dockerReference'), what);
      }
      return { type, dockerReference };
    }
    case 'exactRepository': {
      const dockerRepository = identity.only('type', 'dockerRepository').string('dockerRepository');
      referenceAt(text, offset('dockerRepository'), dockerRepository);
      return { type, dockerRepository };
    }
    case 'remapIdentity': {
      identity.only('type', 'prefix', 'signedPrefix');
      const prefixAt = (key: string): string => {
        const prefix = identity.string(key);
        if (!isPrefix(prefix)) throw prefixFault(text, offset(key), key, prefix);
        return prefix;
      };
      return { type, prefix: prefixAt('prefix'), signedPrefix: prefixAt('signedPrefix') };
    }
  }
}

function referenceAt(text: PolicyText, offset: number, reference: string): Reference {
  try {
    return parseReference(reference);
  } catch (error) {
    if (!isLandfallError(error)) throw error;
    throw text.fault(offset, error.message, error);
  }
}

const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const DOMAIN = String.raw`${LABEL}(?:\.${LABEL})*(?::[0-9]+)?`;
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
/** A host, or a host and the beginning of repositories at it. */
const PREFIX = new RegExp(`^${DOMAIN}(?:/${COMPONENT})*$`);
/** As long as a reference can be. */
const MAX_PREFIX = 515;

function isPrefix(text: string): boolean {
  return text.length <= MAX_PREFIX && PREFIX.test(text);
}

function prefixFault(text: PolicyText, offset: number, key: string, prefix: string): TrustError {
  const what = `${quoted(key)} has to be HOST[:PORT] or HOST[:PORT]/PATH, without tag and digest, which ${quoted(prefix)} is not`;
  return text.fault(offset, what);
}
