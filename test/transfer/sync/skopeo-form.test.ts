import { describe, expect, test } from 'vitest';
import { type MirrorFile, type Selection, selectTags } from '../../../src/transfer/sync/mirror-file.js';
import { faultsIn, read } from './read.js';

const FILE = `
registry.example.com:
    images:
        busybox: []
        redis:
            - "1.0"
            - 2.10
            - sha256:0000000000000000000000000000000011111111111111111111111111111111
    images-by-tag-regex:
        nginx: ^1\\.13\\.[12]-alpine-perl$
    images-by-semver:
        alpine: ">= 3.12.0"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
quay.io:
    tls-verify: false
    images:
        coreos/etcd:
            - latest
`;

/** Which of some tags a selection takes. */
async function taken(file: MirrorFile, name: string, tags: readonly string[]): Promise<string[]> {
  const all: Selection[] = file.sources.flatMap(({ selections }) => selections);
  const found = all.find((selection) => selection.name === name);
  if (found === undefined) throw new Error(`${name} is not selected`);
  return await selectTags(found.tags, tags, () => Promise.resolve(undefined));
}

describe("a file of skopeo's form", () => {
  test('is taken as skopeo sync takes it', async () => {
    const file = read(FILE, { name: 'skopeo.yaml' });
    expect(file).toMatchObject({
      form: 'skopeo',
      destinations: [],
      sources: [
        {
          transport: { host: 'registry.example.com' },
          connection: {
            credentials: { username: 'john', password: { literal: 'this is a secret' } },
            certDirectory: '/home/john/certs',
          },
          selections: [
            { name: 'busybox', platforms: 'one' },
            { name: 'redis', digests: [expect.stringMatching(/^sha256:0/)] },
            { name: 'nginx' },
            { name: 'alpine' },
          ],
        },
        { transport: { host: 'quay.io' }, connection: { insecure: true, mayBePlain: true } },
      ],
    });
    const signature = `sha256-${'a'.repeat(64)}.sig`;
    expect(await taken(file, 'busybox', ['1', 'latest', signature])).toEqual(['1', 'latest', signature]);
    expect(await taken(file, 'redis', [])).toEqual(['1.0', '2.10']);
    expect(await taken(file, 'nginx', ['1.13.1-alpine-perl', '1.13.1', 'x1.13.2-alpine-perl'])).toEqual([
      '1.13.1-alpine-perl',
    ]);
    expect(
      await taken(file, 'alpine', ['3.11', '3.12', 'v3.13.1', '3.14.0-rc1', '20240101', 'edge']),
    ).toEqual(['3.12', 'v3.13.1', '20240101']);
  });

  test('says what it took, and that a password in it is seen by all who read it', () => {
    const { notes, warnings } = read(FILE, { name: 'skopeo.yaml' });
    expect(notes).toEqual([
      'skopeo.yaml is a file of skopeo sync: took 5 repositories of 2 registries, each image for this platform alone; --all takes all of them',
      'quay.io: took tls-verify: false as any certificate, or HTTP without TLS',
    ]);
    expect(warnings).toEqual([expect.stringContaining('holds the password for registry.example.com')]);
    expect([...notes, ...warnings].join()).not.toContain('this is a secret');
  });

  test('with all platforms', () => {
    const file = read(FILE, { allPlatforms: true });
    expect(file.sources[0]?.selections[0]?.platforms).toBe('all');
    expect(file.notes[0]).toContain('with all their platforms');
  });

  test('an expression that is not tied to an end is looked for anywhere', async () => {
    const file = read('a.lan:\n  images-by-tag-regex:\n    app: "1\\\\.2|(?:x)"\n');
    expect(await taken(file, 'app', ['v1.2.3', 'axb', '2'])).toEqual(['v1.2.3', 'axb']);
  });

  test('a range that has a hyphen takes versions that have one', async () => {
    const file = read('a.lan:\n  images-by-semver:\n    app: ">=1.0.0-0, <2"\n');
    expect(await taken(file, 'app', ['1.1.0-rc1', '1.2', '2.1'])).toEqual(['1.1.0-rc1', '1.2']);
  });

  test.each<[string, string, string[]]>([
    [
      'an unknown key',
      'a.lan:\n  images:\n    x: []\n  image: 3\n',
      ['4:3: in a.lan there is no key "image" (Did you mean "images"?)'],
    ],
    [
      'something that is no registry',
      'a.lan:\n  images: { x: [] }\nnot/a/host:\n  images: { x: [] }\n',
      ['3:1: "not/a/host" is not the host of a registry'],
    ],
    [
      'a range that cannot be read',
      'a.lan:\n  images-by-semver: { x: "!=1" }\n',
      ['2:26: "!=1" is not a range of versions that landfall can read'],
    ],
    ['tags that are no list', 'a.lan:\n  images:\n    x: 1.0\n', ['3:8: a.lan.images.x must not be "1.0"']],
  ])('%s is refused with the line', (_name, text, faults) => {
    expect(faultsIn(text)).toEqual(faults);
  });

  test.each([
    ['without any registry', 'sources: [{ registry: a.lan, images: [x] }]\n', 'landfall'],
    ['with one', 'localhost:5000:\n  images: { x: [] }\n', 'skopeo'],
  ])('is told by its shape: %s', (_name, text, form) => {
    expect(read(text).form).toBe(form);
  });
});
