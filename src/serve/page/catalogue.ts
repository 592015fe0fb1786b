import { mapLimited } from '../../concurrency/index.js';
import type { ManifestInfo } from '../../content/index.js';
import {
  type Descriptor,
  type Digest,
  familiarReference,
  isDigest,
  isIndexType,
  parseReference,
  type Reference,
  repositoryName,
} from '../../spec/index.js';

/** A name of the mirror, before anything is known of what it stands for. */
export interface NamedImage {
  /** Canonical. */
  readonly name: string;
  readonly target: Descriptor;
  /** Since when the name stands for it here; absent where that is not kept. */
  readonly since?: Date;
}

/** Something that refers to an image: a signature, say. */
export interface CatalogueReferrer {
  readonly digest: Digest;
  readonly kind: ReferrerKind;
  /** What its publisher calls it: an artifact type, or the tag that it stands under. */
  readonly type: string;
  /** Of a signature: that it held when a policy asked for it, here. */
  readonly verified: boolean;
}

export type DescribedReferrer = Pick<CatalogueReferrer, 'kind' | 'type'>;

/** An image of the mirror, as the catalogue shows it. */
export interface CatalogueImage extends NamedImage {
  readonly reference: Reference;
  /** Canonical: `docker.io/library/alpine`. */
  readonly repository: string;
  /** The name as people write it. */
  readonly familiar: string;
  readonly platforms: readonly string[];
  /** Bytes of all its blobs that were brought. */
  readonly size: number;
  /** The fewest and the most that one of its platforms has. */
  readonly layers: readonly [least: number, most: number];
  readonly referrers: readonly CatalogueReferrer[];
}

/** What a mirror holds. */
export interface Catalogue {
  /** By name. */
  readonly images: readonly CatalogueImage[];
  readonly repositories: number;
  /** Bytes of all blobs, each once. */
  readonly size: number;
}

/** What the catalogue is made of. */
export interface CatalogueParts {
  readonly images: readonly NamedImage[];
  /** Of all documents that are here. */
  readonly documents: ReadonlyMap<Digest, ManifestInfo>;
  /** The kind of a referrer; undefined where it is not known. */
  readonly describe: (digest: Digest) => Promise<DescribedReferrer | undefined>;
  /** Signatures that held, by their manifests. Default: none. */
  readonly verified?: ReadonlySet<Digest> | undefined;
}

/** So many referrers are read at once, which are small documents. */
const DESCRIBED_AT_ONCE = 16;

/**
 * Makes a catalogue. What refers to an image that is here is shown with that image, and not as one of its
 * own.
 */
export async function makeCatalogue(parts: CatalogueParts): Promise<Catalogue> {
  const { images, documents } = parts;
  const referrers = await referrersOf(parts);
  const signed = addTagged(parts, referrers);
  const bySubject = (subjects: readonly Digest[]): CatalogueReferrer[] =>
    [...new Set(subjects)].flatMap((subject) => referrers.get(subject) ?? []);
  const blobs = new Map<Digest, number>();
  const shown: CatalogueImage[] = [];
  for (const image of images) {
    const info = reach(image.target, documents);
    for (const [digest, size] of info.blobs) blobs.set(digest, size);
    const subject = documents.get(image.target.digest)?.subject;
    if (signed.has(image.name) || (subject !== undefined && documents.has(subject))) continue;
    const reference = parseReference(image.name);
    const counts = info.manifests.map(({ children }) => Math.max(0, children.length - 1));
    shown.push({
      ...image,
      reference,
      repository: repositoryName(reference),
      familiar: familiarReference(reference),
      platforms: info.manifests.flatMap(({ platform }) => platform ?? []),
      size: sum(info.blobs.values()),
      layers: counts.length === 0 ? [0, 0] : [Math.min(...counts), Math.max(...counts)],
      referrers: bySubject([image.target.digest, ...info.manifests.map(({ digest }) => digest)]),
    });
  }
  return {
    images: shown.sort((a, b) => compare(a.name, b.name)),
    repositories: new Set(shown.map(({ repository }) => repository)).size,
    size: sum(blobs.values()),
  };
}

async function referrersOf({
  documents,
  describe,
  verified,
}: CatalogueParts): Promise<Map<Digest, CatalogueReferrer[]>> {
  const found = new Map<Digest, CatalogueReferrer[]>();
  const referring = [...documents.values()].filter(({ subject }) => subject !== undefined);
  await mapLimited(referring, DESCRIBED_AT_ONCE, async ({ digest, subject }) => {
    const described = await describe(digest);
    if (subject === undefined || described === undefined) return;
    const list = found.get(subject) ?? [];
    list.push({ digest, ...described, verified: verified?.has(digest) ?? false });
    found.set(subject, list);
  });
  for (const list of found.values()) list.sort((a, b) => compare(a.digest, b.digest));
  return found;
}

/** Adds what is kept beside an image under a tag that is made of its digest. Returns the names of these. */
function addTagged(
  { images, verified }: CatalogueParts,
  referrers: Map<Digest, CatalogueReferrer[]>,
): ReadonlySet<string> {
  const here = new Set(images.map(({ name, target }) => `${repositoryOf(name)} ${target.digest}`));
  const names = new Set<string>();
  for (const { name, target } of images) {
    const { tag } = parseReference(name);
    const tagged = tag === undefined ? undefined : referrerTagOf(tag);
    // Where the image itself is not here, no other row would show it.
    if (tag === undefined || tagged === undefined) continue;
    if (!here.has(`${repositoryOf(name)} ${tagged.subject}`)) continue;
    names.add(name);
    // A signature may be on record for what it signs, too.
    const others = referrers.get(tagged.subject)?.filter(({ digest }) => digest !== target.digest) ?? [];
    const { digest } = target;
    const found = { digest, kind: tagged.kind, type: tag, verified: verified?.has(digest) ?? false };
    referrers.set(tagged.subject, [...others, found]);
  }
  return names;
}

/** What a target leads to, as far as it is here. */
function reach(
  target: Descriptor,
  documents: ReadonlyMap<Digest, ManifestInfo>,
): { readonly manifests: readonly ManifestInfo[]; readonly blobs: ReadonlyMap<Digest, number> } {
  const blobs = new Map<Digest, number>([[target.digest, target.size]]);
  const manifests: ManifestInfo[] = [];
  const seen = new Set<Digest>();
  const waiting = [target.digest];
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    const info = documents.get(digest);
    if (info === undefined || seen.has(digest)) continue;
    seen.add(digest);
    const isIndex = isIndexType(info.mediaType);
    if (!isIndex) manifests.push(info);
    for (const child of info.children.toReversed()) {
      // Of an index, what was not brought is not here.
      if (!isIndex || documents.has(child.digest)) blobs.set(child.digest, child.size);
      if (isIndex) waiting.push(child.digest);
    }
  }
  const images = manifests.filter(({ platform }) => platform !== undefined);
  return { manifests: images.length > 0 ? images : manifests, blobs };
}

function repositoryOf(name: string): string {
  return repositoryName(parseReference(name));
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

/** In the order of code units. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What something that refers to an image is for. */
export type ReferrerKind = 'signature' | 'SBOM' | 'attestation' | 'other';

/** By words that the artifact types of the tools at hand hold. */
const WORDS: readonly (readonly [words: RegExp, kind: ReferrerKind])[] = [
  [/spdx|cyclonedx|sbom|syft/i, 'SBOM'],
  [/in-toto|attestation|dsse|provenance|slsa/i, 'attestation'],
  [/sign|sigstore|notary|cosign/i, 'signature'],
];

/** @param artifactType as its publisher wrote it */
export function referrerKind(artifactType: string): ReferrerKind {
  return WORDS.find(([words]) => words.test(artifactType))?.[1] ?? 'other';
}

const TAG_KINDS: Readonly<Record<string, ReferrerKind>> = {
  sig: 'signature',
  att: 'attestation',
  sbom: 'SBOM',
};

/** What a tag says that cosign keeps something under: `sha256-HEX.sig`; undefined for any other. */
export function referrerTagOf(tag: string): { subject: Digest; kind: ReferrerKind } | undefined {
  const [, algorithm = '', encoded = '', suffix = ''] =
    /^(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})\.(sig|att|sbom)$/.exec(tag) ?? [];
  const subject = `${algorithm}:${encoded}`;
  const kind = TAG_KINDS[suffix];
  return kind === undefined || !isDigest(subject) ? undefined : { subject, kind };
}
