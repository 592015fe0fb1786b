import { SpecError } from '../errors.js';
import { type Digest, isDigest, isVerifiable, parseDigest } from './digest.js';
import { LIMITS } from './limits.js';
import { quoted } from './quoted.js';

/**
 * Names an image at a registry, by tag or digest or both; in canonical form. Made by {@link parseReference}.
 */
export interface Reference {
  /** Host and port: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** `library/alpine` */
  readonly repository: string;
  /** `latest`, where it has one. */
  readonly tag?: string | undefined;
  /** Where both stand, the digest says what the content is, and the tag is a note. */
  readonly digest?: Digest | undefined;
}

const DEFAULT_REGISTRY = 'docker.io';
const LEGACY_REGISTRY = 'index.docker.io';
const OFFICIAL = 'library/';

const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const REGISTRY = new RegExp(String.raw`^(?:${LABEL}(?:\.${LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$`);
const PATH = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${PATH}(?:/${PATH})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
/** With a separator before each part but the first. */
const MAX_LENGTH =
  LIMITS.registryLength + LIMITS.referenceLength + LIMITS.tagLength + LIMITS.digestLength + 3;
const BARE_HEX = /^[a-f0-9]{64}$/;

/**
 * Parses a reference by the grammar of github.com/distribution/reference:
 * `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. A first component is a host if it is `localhost`, has a dot, a colon
 * or an upper-case letter; else the host is docker.io, where a path of one component lies below `library/`.
 *
 * @param o `defaultTag` adds `latest` where neither tag nor digest stands
 * @throws {SpecError} INVALID_REFERENCE
 */
export function parseReference(text: string, o: { defaultTag?: boolean } = {}): Reference {
  refuseOtherThings(text);
  const at = text.indexOf('@');
  const tagged = at === -1 ? text : text.slice(0, at);
  const digest = at === -1 ? undefined : digestWithin(text, text.slice(at + 1));

  const { registry, remainder } = splitRegistry(tagged);
  const colon = remainder.indexOf(':');
  const path = colon === -1 ? remainder : remainder.slice(0, colon);
  const repository = registry === DEFAULT_REGISTRY && !path.includes('/') ? OFFICIAL + path : path;
  const isBare = colon === -1 && digest === undefined;
  const tag = colon !== -1 ? remainder.slice(colon + 1) : isBare && o.defaultTag ? 'latest' : undefined;
  checkRegistry(text, registry);
  checkRepository(text, path, repository);
  if (tag !== undefined) checkTag(text, tag);
  return { registry, repository, tag, digest };
}

function splitRegistry(text: string): { registry: string; remainder: string } {
  const slash = text.indexOf('/');
  const first = text.slice(0, Math.max(0, slash));
  // A colon in the last component starts a tag; in an earlier one it starts a port.
  if (first !== 'localhost' && !/[.:A-Z]/.test(first)) return { registry: DEFAULT_REGISTRY, remainder: text };
  return { registry: first === LEGACY_REGISTRY ? DEFAULT_REGISTRY : first, remainder: text.slice(slash + 1) };
}

/** What people paste in place of a reference, each with the hint that it needs. */
function refuseOtherThings(text: string): void {
  // Before any pattern sees it, so that a hostile text cannot make one backtrack for long.
  if (text.length > MAX_LENGTH) {
    throw invalid(text, `it has ${text.length} characters, more than any reference`);
  }
  if (text === '') throw invalid(text, 'it is empty', 'Name an image: alpine, quay.io/team/app:1.');
  if (credentialsLength(text) > 0) {
    throw invalid(
      text,
      'it has a user and a password',
      'Leave them out: credentials are given on their own.',
    );
  }
  if (/\s/u.test(text)) throw invalid(text, 'it has white space', 'Leave out the white space.');
  if (text.includes('://')) {
    throw invalid(
      text,
      'it has a URL scheme',
      `Leave out ${quoted(text.slice(0, text.indexOf('://') + 3))}.`,
    );
  }
  const digest = BARE_HEX.test(text) ? `sha256:${text}` : text;
  // Of other algorithms, a digest cannot be told from a name with its tag.
  if (isDigest(digest) && isVerifiable(digest)) {
    throw invalid(
      text,
      'a digest alone names no repository',
      `Name the repository too: REPOSITORY@${digest}.`,
    );
  }
}

/** How much of `user:password@host/…` no message may repeat. What follows the @ of a digest has no slash. */
function credentialsLength(text: string): number {
  const at = text.lastIndexOf('@');
  return at > 0 && text.lastIndexOf(':', at) !== -1 && text.includes('/', at) ? at : 0;
}

function digestWithin(text: string, digest: string): Digest {
  try {
    return parseDigest(digest);
  } catch (cause) {
    if (!(cause instanceof SpecError)) throw cause;
    throw invalid(text, cause.message, cause.hint, cause);
  }
}

function checkRegistry(text: string, registry: string): void {
  // The grammar alone lets pass ports beyond 65535 and addresses that are none.
  const valid =
    registry.length <= LIMITS.registryLength &&
    REGISTRY.test(registry) &&
    URL.canParse(`https://${registry}/`);
  if (!valid) {
    throw invalid(text, `${quoted(registry)} is not a registry`, 'Write a registry as HOST or HOST:PORT.');
  }
}

function checkRepository(text: string, written: string, repository: string): void {
  if (REPOSITORY.test(repository)) {
    if (repository.length <= LIMITS.referenceLength) return;
    throw invalid(
      text,
      `the repository has ${repository.length} characters, more than ${LIMITS.referenceLength}`,
    );
  }
  const lower = written.toLowerCase();
  if (lower !== written && REPOSITORY.test(lower)) {
    throw invalid(
      text,
      `the repository ${quoted(written)} has upper-case letters`,
      `Write ${quoted(lower)}.`,
    );
  }
  throw invalid(
    text,
    written === '' ? 'it names no repository' : `${quoted(written)} is not a repository`,
    'A repository has lower-case letters and digits, with single . or _, __ or dashes between them, and / between components.',
  );
}

function checkTag(text: string, tag: string): void {
  if (tag.length > LIMITS.tagLength) {
    throw invalid(text, `the tag has ${tag.length} characters, more than ${LIMITS.tagLength}`);
  }
  if (!TAG.test(tag)) {
    throw invalid(
      text,
      tag === '' ? 'the tag is empty' : `${quoted(tag)} is not a tag`,
      'A tag has letters, digits, _, . and -, and starts with a letter, digit or _.',
    );
  }
}

function invalid(text: string, fault: string, hint?: string, cause?: unknown): SpecError {
  const shown = quoted(withoutCredentials(text), 300);
  return new SpecError('INVALID_REFERENCE', `invalid reference ${shown}: ${fault}`, { hint, cause });
}

/**
 * A reference as somebody gave it, to be shown: `***@host/…` where it has a user and a password, which makes
 * it none.
 */
export function withoutCredentials(text: string): string {
  const secret = credentialsLength(text);
  return secret === 0 ? text : `***${text.slice(secret)}`;
}

/** `docker.io/library/alpine`: the repository with its registry, without tag and digest. */
export function repositoryName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/**
 * The canonical text: `docker.io/library/alpine:3`, `…@sha256:…`, or both. {@link parseReference} takes it
 * back.
 */
export function formatReference(reference: Reference): string {
  return repositoryName(reference) + suffixOf(reference);
}

/**
 * The text as people write it, `alpine:3`, where {@link parseReference} would take it back; else the
 * canonical one.
 */
export function familiarReference(reference: Reference): string {
  const { registry, repository } = reference;
  const canonical = formatReference(reference);
  if (registry !== DEFAULT_REGISTRY) return canonical;
  const official = repository.startsWith(OFFICIAL) && !repository.includes('/', OFFICIAL.length);
  const familiar = (official ? repository.slice(OFFICIAL.length) : repository) + suffixOf(reference);
  return readsAs(familiar, canonical) ? familiar : canonical;
}

/** `docker.io/localhost/x` without its host would be read as a registry's name, and 64 digits as a digest. */
function readsAs(familiar: string, canonical: string): boolean {
  try {
    return formatReference(parseReference(familiar)) === canonical;
  } catch {
    return false;
  }
}

function suffixOf({ tag, digest }: Reference): string {
  return `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}
