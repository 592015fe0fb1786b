import { describe, expect, test } from 'vitest';

import {
  type Referrer,
  referrerTree,
  type ReferrerTreeOptions,
} from '../../../src/engine/images/referrer-tree.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { failure } from '../../support/registry-fixture.js';

function digest(name: string): Digest {
  return digestOf(Buffer.from(name));
}

function descriptor(name: string): Descriptor {
  return { mediaType: MEDIA_TYPES.ociManifest, digest: digest(name), size: 1, annotations: { name } };
}

interface Repository extends Pick<ReferrerTreeOptions, 'repository'> {
  /** `SUBJECT`, or `SUBJECT TYPE`. */
  readonly asked: string[];
}

/** A repository that lists these names for each name. */
function repositoryOf(lists: (name: string) => Iterable<string>): Repository {
  const names = new Map<Digest, string>([[digest('image'), 'image']]);
  const asked: string[] = [];
  async function* referrers(
    subject: Digest,
    { artifactType }: { artifactType?: string } = {},
  ): AsyncGenerator<Descriptor> {
    await Promise.resolve();
    const name = names.get(subject) ?? '?';
    asked.push(artifactType === undefined ? name : `${name} ${artifactType}`);
    for (const one of lists(name)) {
      names.set(digest(one), one);
      yield descriptor(one);
    }
  }
  return { repository: { referrers }, asked };
}

function text(referrers: readonly Referrer[]): string {
  return referrers
    .map((one) => `${one.descriptor.annotations?.['name'] ?? '?'}(${text(one.referrers)})`)
    .join(' ');
}

const LISTS: Readonly<Record<string, string[]>> = {
  image: ['sbom', 'signature'],
  sbom: ['sbom.signature', 'sbom.attestation'],
  'sbom.attestation': ['attestation.signature'],
};

describe('what refers to an image', () => {
  test('is shown with what refers to that, in the order of the registry', async () => {
    const { repository, asked } = repositoryOf((name) => LISTS[name] ?? []);
    expect(text(await referrerTree(digest('image'), { repository }))).toBe(
      'sbom(sbom.signature() sbom.attestation(attestation.signature())) signature()',
    );
    expect(asked.sort()).toEqual(['image', ...Object.values(LISTS).flat()].sort());
  });

  test('is nothing', async () => {
    const { repository } = repositoryOf(() => []);
    expect(await referrerTree(digest('image'), { repository })).toEqual([]);
  });

  test('is of one type, but not what refers to that', async () => {
    const { repository, asked } = repositoryOf((name) => (name === 'image' ? ['sbom'] : []));
    await referrerTree(digest('image'), { repository, artifactType: 'x/y' });
    expect(asked).toEqual(['image x/y', 'sbom']);
  });

  test('is not followed in a circle', async () => {
    const round: Record<string, string[]> = { image: ['a', 'b'], a: ['b', 'image'], b: ['a', 'b'] };
    const { repository, asked } = repositoryOf((name) => round[name] ?? []);
    expect(text(await referrerTree(digest('image'), { repository }))).toBe('a(b() image()) b(a() b())');
    expect(asked).toEqual(['image', 'a', 'b']);
  });

  test('is not followed without end', async () => {
    const warnings: string[] = [];
    const { repository, asked } = repositoryOf((name) => [`${name}+`]);
    const options = { repository, onWarning: (message: string) => warnings.push(message) };
    const shown = text(await referrerTree(digest('image'), options));
    expect(shown.match(/image/g)).toHaveLength(8);
    expect(asked).toHaveLength(8);
    expect(warnings).toEqual(['what refers to referrers more than 8 deep is not shown']);
  });

  test('is not listed without end', async () => {
    let made = 0;
    function* endless(): Generator<string> {
      for (;;) yield String((made += 1));
    }
    const { repository } = repositoryOf(endless);
    expect(await failure(referrerTree(digest('image'), { repository }))).toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
    expect(made).toBe(10_001);
  });
});
