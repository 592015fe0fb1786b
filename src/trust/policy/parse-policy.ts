import { isAbsolute, posix } from 'node:path';
import { isLandfallError, type TrustError } from '../../errors.js';
import { isDigest, isVerifiable, parseReference, quoted, type Reference } from '../../spec/index.js';
import { decodeBase64 } from './pem.js';
import { canonicalRegistryScope, type SignedIdentity } from './policy-image.js';
import {
  itemsOf,
  type JsonField,
  type JsonNode,
  listed,
  parsePolicyJson,
  PolicyObject,
  type PolicyText,
  stringOf,
} from './policy-json.js';
import type {
  Policy,
  PolicyBytes,
  PolicyRequirement,
  PolicyRule,
  PolicySigners,
  SigstoreSigned,
} from './requirement.js';

/**
 * Parses a policy (containers-policy.json(5)), as strictly as its peers do: what is unknown, stands twice, is
 * of the wrong type or missing refuses the file as a whole, since it may be the misspelled line that was to
 * keep something out.
 *
 * @param file for messages, which begin with FILE:LINE:COLUMN
 * @throws TrustError POLICY_REJECTED
 */
export async function parsePolicy(bytes: Uint8Array, file: string): Promise<Policy> {
  const { text, root } = await parsePolicyJson(bytes, file);
  const policy = new PolicyObject(text, root, 'the policy').only('default', 'transports');
  const rule = ruleOf(text, policy.oneOf('default'));
  const transports = policy.atMostOneOf('transports');
  return {
    default: rule,
    transports: new Map(
      transports === undefined
        ? []
        : new PolicyObject(text, transports.value, '"transports"').fields.map((transport) => [
            transport.key,
            scopesOf(text, transport),
          ]),
    ),
  };
}

function scopesOf(text: PolicyText, transport: JsonField): ReadonlyMap<string, PolicyRule> {
  const { fields } = new PolicyObject(text, transport.value, `the transport ${quoted(transport.key)}`);
  const written = new Map<string, string>();
  return new Map(
    fields.map((scope) => {
      const fault = scopeFault(transport.key, scope.key);
      if (fault !== undefined) {
        throw text.fault(
          scope.offset,
          `${quoted(scope.key)} is no scope of the transport ${quoted(transport.key)}: ${fault}`,
        );
      }
      const canonical = transport.key === 'docker' ? canonicalRegistryScope(scope.key) : scope.key;
      const other = written.get(canonical);
      if (other !== undefined) {
        throw text.fault(scope.offset, `${quoted(scope.key)} is the same scope as ${quoted(other)}`);
      }
      written.set(canonical, scope.key);
      return [canonical, ruleOf(text, scope)];
    }),
  );
}

function ruleOf(text: PolicyText, field: JsonField): PolicyRule {
  return {
    requirements: itemsOf(text, field).map((item) => parseRequirement(text, item)),
    line: text.lineOf(field.offset),
  };
}

type Check = (scope: string) => string | undefined;

const anything: Check = () => undefined;

/**
 * The transport's own default, `''`, would have the meaning of `/` too, and one of them would hide the other.
 */
const path: Check = (scope) => {
  if (!scope.startsWith('/')) return 'it has to be an absolute path';
  if (scope === '/') return 'write "" for all that the transport has';
  const canonical = posix.resolve(scope);
  return canonical === scope ? undefined : `write it as ${quoted(canonical)}`;
};

const nothing: Check = () => 'it has none but ""';

const name: Check = (scope) =>
  isDigest(scope) && isVerifiable(scope) ? 'it may not be a digest' : undefined;

/**
 * What peers ask of scopes, also of transports that no image comes by here: they share the file. What they
 * ask of those of atomic and containers-storage depends on how they were built.
 */
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['docker', anything],
  ['oci', path],
  ['oci-archive', path],
  ['docker-archive', nothing],
  ['dir', path],
  ['sif', path],
  ['tarball', nothing],
  ['docker-daemon', name],
]);

/**
 * Why a transport cannot have a scope (containers-policy.json(5): Supported transports and their scopes);
 * undefined where it can.
 */
export function scopeFault(transport: string, scope: string): string | undefined {
  return scope === '' ? undefined : (CHECKS.get(transport) ?? anything)(scope);
}

const TYPES: readonly PolicyRequirement['type'][] = [
  'insecureAcceptAnything',
  'reject',
  'sigstoreSigned',
  'signedBy',
  'signedBaseLayer',
];

const KEYS = ['keyPath', 'keyPaths', 'keyData', 'keyDatas'] as const;
const SIGNERS = [...KEYS, 'fulcio', 'pki'] as const;
const REKOR_KEYS = [
  'rekorPublicKeyPath',
  'rekorPublicKeyPaths',
  'rekorPublicKeyData',
  'rekorPublicKeyDatas',
] as const;

/**
 * Reads one requirement (containers-policy.json(5): Policy Requirements).
 *
 * @throws TrustError POLICY_REJECTED
 */
export function parseRequirement(text: PolicyText, node: JsonNode): PolicyRequirement {
  const untyped = new PolicyObject(text, node, 'a requirement');
  const type = untyped.choice('type', TYPES, (named) => `there is no requirement ${named}`);
  const requirement = new PolicyObject(text, node, quoted(type));
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      requirement.only('type');
      return { type };
    case 'signedBy':
      checkSignedBy(text, requirement);
      return { type };
    case 'signedBaseLayer':
      parseSignedIdentity(
        text,
        requirement.only('type', 'baseLayerIdentity').oneOf('baseLayerIdentity').value,
      );
      return { type };
    case 'sigstoreSigned':
      return sigstoreSigned(text, requirement);
  }
}

const KEY_TYPES = ['GPGKeys', 'signedByGPGKeys', 'X509Certificates', 'signedByX509CAs'];

/** It is not verified here, but a file that peers refuse is not taken for one that is understood. */
function checkSignedBy(text: PolicyText, requirement: PolicyObject): void {
  requirement.only('type', 'keyType', 'keyPath', 'keyPaths', 'keyData', 'signedIdentity');
  requirement.choice('keyType', KEY_TYPES, (named) => `there is no "keyType" ${named}`);
  policyBytesOf(text, requirement.oneOf('keyPath', 'keyPaths', 'keyData'));
  signedIdentityOf(text, requirement);
}

function sigstoreSigned(text: PolicyText, requirement: PolicyObject): SigstoreSigned {
  requirement.only('type', ...SIGNERS, ...REKOR_KEYS, 'signedIdentity');
  const signers = signersOf(text, requirement.oneOf(...SIGNERS));
  const rekor = requirement.atMostOneOf(...REKOR_KEYS);
  if (signers.kind === 'fulcio' && rekor === undefined) {
    throw requirement.fault(
      `needs one of ${listed(REKOR_KEYS)} beside "fulcio", whose certificates are valid for minutes only`,
    );
  }
  if (signers.kind === 'pki' && rekor !== undefined) {
    throw text.fault(rekor.offset, `${quoted(rekor.key)} may not stand beside "pki"`);
  }
  return {
    type: 'sigstoreSigned',
    signers,
    rekorKeys: rekor === undefined ? [] : policyBytesOf(text, rekor),
    signedIdentity: signedIdentityOf(text, requirement),
  };
}

function signersOf(text: PolicyText, field: JsonField): PolicySigners {
  switch (field.key) {
    case 'fulcio': {
      const fulcio = new PolicyObject(text, field.value, '"fulcio"');
      fulcio.only('caPath', 'caData', 'oidcIssuer', 'subjectEmail');
      return {
        kind: 'fulcio',
        ca: onlyOne(text, fulcio.oneOf('caPath', 'caData')),
        oidcIssuer: fulcio.string('oidcIssuer'),
        subjectEmail: fulcio.string('subjectEmail'),
      };
    }
    case 'pki':
      return pkiOf(text, new PolicyObject(text, field.value, '"pki"'));
    default:
      return { kind: 'keys', keys: policyBytesOf(text, field) };
  }
}

function pkiOf(text: PolicyText, pki: PolicyObject): PolicySigners {
  pki.only(
    'caRootsPath',
    'caRootsData',
    'caIntermediatesPath',
    'caIntermediatesData',
    'subjectEmail',
    'subjectHostname',
  );
  const roots = onlyOne(text, pki.oneOf('caRootsPath', 'caRootsData'));
  const intermediates = pki.atMostOneOf('caIntermediatesPath', 'caIntermediatesData');
  const subjectEmail = pki.optionalString('subjectEmail');
  const subjectHostname = pki.optionalString('subjectHostname');
  if (subjectEmail === undefined && subjectHostname === undefined) {
    throw pki.fault('needs "subjectEmail" or "subjectHostname", or both');
  }
  return {
    kind: 'pki',
    roots,
    intermediates: intermediates && onlyOne(text, intermediates),
    subjectEmail,
    subjectHostname,
  };
}

/** What a field names that is not a list. */
function onlyOne(text: PolicyText, field: JsonField): PolicyBytes {
  const [bytes] = policyBytesOf(text, field);
  if (bytes === undefined) throw new TypeError(`${field.key} names nothing`);
  return bytes;
}

function signedIdentityOf(text: PolicyText, requirement: PolicyObject): SignedIdentity {
  const field = requirement.atMostOneOf('signedIdentity');
  return field === undefined ? { type: 'matchRepoDigestOrExact' } : parseSignedIdentity(text, field.value);
}

const IDENTITY_TYPES: readonly SignedIdentity['type'][] = [
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
function parseSignedIdentity(text: PolicyText, node: JsonNode): SignedIdentity {
  const untyped = new PolicyObject(text, node, '"signedIdentity"');
  const type = untyped.choice('type', IDENTITY_TYPES, (named) => `"signedIdentity" has no type ${named}`);
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

/**
 * What a field names or holds: `…Path` one file, `…Data` the bytes of one, and with an s at the end a list of
 * such.
 */
function policyBytesOf(text: PolicyText, field: JsonField): readonly PolicyBytes[] {
  const fields = field.key.endsWith('s')
    ? itemsOf(text, field).map((value) => ({ ...field, value }))
    : [field];
  const read = /Paths?$/.test(field.key) ? pathOf : dataOf;
  return fields.map((one) => read(text, one));
}

/**
 * Peers take a path that is not absolute from wherever the program was started. That would let whoever
 * chooses the directory, of a checkout say, choose the keys.
 */
function pathOf(text: PolicyText, field: JsonField): PolicyBytes {
  const path = stringOf(text, field);
  const { offset } = field.value;
  if (!isAbsolute(path)) {
    const what = `${quoted(field.key)} has to be an absolute path, which ${quoted(path)} is not: it would name other files wherever landfall is started`;
    throw text.fault(offset, what);
  }
  if (path.includes('\0')) throw text.fault(offset, `${quoted(field.key)} has a NUL, which no path can have`);
  return { path, line: text.lineOf(offset) };
}

/** With nothing between the letters but the line breaks that tools put there. */
function dataOf(text: PolicyText, field: JsonField): PolicyBytes {
  const data = decodeBase64(stringOf(text, field).replace(/[\r\n]/g, ''));
  const { offset } = field.value;
  if (data === undefined) throw text.fault(offset, `${quoted(field.key)} has to be base64, with its padding`);
  return { data, line: text.lineOf(offset) };
}
