import { describe, expect, test } from 'vitest';
import type { Selection } from '../../../src/transfer/sync/mirror-file.js';
import { faultsIn, read } from './read.js';

/** The one selection of a file. */
function selection(text: string): Selection {
  const [source] = read(text).sources;
  const [one] = source?.selections ?? [];
  if (one === undefined) throw new Error('nothing is selected');
  return one;
}

describe("a file of landfall's own form", () => {
  test('says what is wanted of whom, and where it goes', () => {
    const file = read(`
# A comment.
version: 1
concurrency: 3
x-shared: &shared
  platforms: [linux/amd64, linux/arm64]
sources:
  - registry: quay.io
    <<: *shared
    authFile: quay.json
    repositories:
      - team/app
      - name: team/base
        tags: [1.10, "2"]
        platforms: all
        referrers: { types: [application/spdx+json], cosignTags: false }
        to: base/{name}
    tls: { ca: ca.pem, clientCert: { cert: c.pem, key: /etc/k.pem } }
    limits: { rate: 10M, requestsPerSecond: 2.5, connections: 4 }
destinations:
  - oci:images
  - to: docker://mirror.lan:5000/hub
    prefix: /quay/
    path: "{registry}/{repository}"
`);
    expect(file).toMatchObject({
      form: 'landfall',
      concurrency: 3,
      sources: [
        {
          transport: { kind: 'registry', host: 'quay.io' },
          at: { line: 8, column: 5 },
          connection: {
            authFile: '/etc/mirror/quay.json',
            ca: '/etc/mirror/ca.pem',
            clientCert: { cert: '/etc/mirror/c.pem', key: '/etc/k.pem' },
            rate: 10 * 1024 * 1024,
            requestsPerSecond: 2.5,
            connections: 4,
          },
          selections: [
            {
              name: 'team/app',
              tags: { list: [], listed: { tests: [] } },
              platforms: [{ architecture: 'amd64' }, { architecture: 'arm64' }],
              referrers: {},
            },
            {
              name: 'team/base',
              // A number would be 1.1.
              tags: { list: [{ tag: '1.10' }, { tag: '2', at: { line: 14, column: 22 } }] },
              platforms: 'all',
              referrers: { artifactTypes: ['application/spdx+json'], cosignTags: false },
              to: 'base/{name}',
            },
          ],
        },
      ],
      destinations: [
        { transport: { kind: 'layout', path: '/etc/mirror/images' }, prefix: '' },
        {
          transport: { kind: 'registry', host: 'mirror.lan:5000' },
          prefix: 'hub/quay',
          path: '{registry}/{repository}',
        },
      ],
    });
  });

  test('takes images by tag and by digest, with their registry before them or without', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const [hub, quay] = read(`
sources:
  - images: [alpine, "quay.io/team/app@${digest}", debian:trixie]
`).sources;
    expect(hub).toMatchObject({
      transport: { host: 'docker.io' },
      selections: [
        { name: 'library/alpine', tags: { list: [{ tag: 'latest' }] }, digests: [] },
        { name: 'library/debian', tags: { list: [{ tag: 'trixie' }] } },
      ],
    });
    expect(quay).toMatchObject({
      transport: { host: 'quay.io' },
      selections: [{ name: 'team/app', tags: { list: [] }, digests: [digest] }],
    });
  });

  test.each<[string, string[], string[]]>([
    ['"team/*"', ['team/app'], ['team/app/x', 'teams/app', 'a/team/app']],
    ['"**"', ['team/app', 'a/b/c'], []],
    ['"**/app?"', ['team/app1', 'a/b/app2'], ['team/app', 'app1']],
    ['{ regex: "team/(a|b)+" }', ['team/ab'], ['team/abc', 'xteam/a']],
    ['{ name: "team/*", exclude: ["team/x*"] }', ['team/app'], ['team/x1']],
  ])('the pattern %s', (pattern, meant, others) => {
    const { matches, name } = selection(`
sources:
  - registry: quay.io
    repositories: [${pattern}]
`);
    expect(name).toBeUndefined();
    expect(meant.filter((one) => matches?.(one) !== true)).toEqual([]);
    expect(others.filter((one) => matches?.(one) === true)).toEqual([]);
  });

  test('takes an archive or the store as a source, whole where it says no more', () => {
    const { sources } = read(`
sources:
  - from: oci-archive:/media/images.tar
  - from: store
    repositories: [alpine, quay.io/team/app]
`);
    expect(sources[0]).toMatchObject({ transport: { kind: 'archive', path: '/media/images.tar' } });
    expect(sources[0]?.selections[0]?.matches?.('anything/at/all')).toBe(true);
    expect(sources[1]?.selections.map(({ name }) => name)).toEqual([
      'docker.io/library/alpine',
      'quay.io/team/app',
    ]);
  });

  test.each<[string, number]>([
    ['2025-12-31', Date.parse('2025-12-31')],
    ['2025-12-31T12:00:00+02:00', Date.parse('2025-12-31T10:00:00Z')],
    ['30d', Date.parse('2026-01-01')],
    ['2w', Date.parse('2026-01-17')],
    ['36h', Date.parse('2026-01-29T12:00:00Z')],
  ])('since %s', (text, moment) => {
    const { tags } = selection(`
sources:
  - registry: quay.io
    repositories: [team/app]
    tags: { since: "${text}" }
`);
    expect(tags.listed?.since).toBe(moment);
  });

  test('says where passwords are, and never what they are', () => {
    const { sources } = read(`
sources:
  - registry: a.lan
    images: [x]
    credentials: { username: robot, passwordEnv: PASSWORD }
  - registry: b.lan
    images: [x]
    credentials: { username: robot, passwordFile: secret }
`);
    expect(sources.map(({ connection }) => connection.credentials)).toEqual([
      { username: 'robot', password: { env: 'PASSWORD' } },
      { username: 'robot', password: { file: '/etc/mirror/secret' } },
    ]);
  });
});

const SOURCE = `sources:
  - registry: quay.io
    repositories: [team/app]
`;

describe('a file that is wrong is refused, with the line', () => {
  test.each<[string, string, string[]]>([
    [
      'an unknown key',
      `${SOURCE}    tag: [1]\n`,
      ['4:5: in sources[0] there is no key "tag" (Did you mean "tags"?)'],
    ],
    [
      'an unknown key that is like no other',
      `${SOURCE}destination: []\nzzzz: 1\n`,
      [
        '4:1: there is no key "destination" (Did you mean "destinations"?)',
        '5:1: there is no key "zzzz" (The keys here are version, concurrency, defaults, sources, destinations.)',
      ],
    ],
    ['no sources', 'version: 1\n', ['1:1: sources is missing']],
    ['an empty file', '', ['1:1: the file must be a group of keys, not nothing']],
    ['a list', '- a\n', ['1:1: the file must be a group of keys, not a list']],
    ['another version', `version: 2\n${SOURCE}`, ['1:10: version must be 1, not 2']],
    [
      'a number that is none',
      `concurrency: many\n${SOURCE}`,
      ['1:14: concurrency must be a whole number, not "many"'],
    ],
    [
      'yes',
      `${SOURCE}    referrers: yes\n`,
      ['4:16: sources[0].referrers must be true or false or a group of keys, not "yes"'],
    ],
    [
      'a word that is nearly right',
      `${SOURCE}    tags: { newest: { count: 3, by: create } }\n`,
      ['4:37: sources[0].tags.newest.by must be semver or created, not "create" (Did you mean "created"?)'],
    ],
    ['a key twice', `${SOURCE}    tags: [1]\n    tags: [2]\n`, ['5:5: this key stands here twice']],
    ['a tab', 'sources:\n\t- registry: x\n', ['2:1: a tab indents this line; YAML wants blanks']],
    [
      'two documents',
      `${SOURCE}---\n${SOURCE}`,
      ['4:1: a second document begins here; the file is to have one'],
    ],
    [
      'a password',
      `${SOURCE}    credentials: { username: robot, password: hunter2 }\n`,
      [
        '4:37: a password does not belong in this file (Use passwordEnv or passwordFile, an authFile, or `landfall login`.)',
      ],
    ],
    [
      'credentials without a password',
      `${SOURCE}    credentials: { username: robot }\n`,
      ['4:18: the credentials need either passwordEnv or passwordFile'],
    ],
    [
      'two kinds of credentials',
      `${SOURCE}    authFile: x\n    credentials: { username: robot, passwordEnv: X }\n`,
      ['5:5: authFile and credentials exclude each other'],
    ],
    [
      'a registry that is a path',
      'sources:\n  - registry: quay.io/team\n    images: [a]\n',
      [
        '2:15: "quay.io/team" is not the host of a registry (Write HOST or HOST:PORT with a dot or a port in it; paths go to repositories.)',
      ],
    ],
    [
      'a repository with a tag',
      'sources:\n  - registry: quay.io\n    repositories:\n      - team/app:1\n',
      ['4:9: team/app:1 is an image, not a repository (Put it below `images`.)'],
    ],
    [
      'an upper-case repository',
      'sources:\n  - registry: quay.io\n    repositories: [Team/app]\n',
      [
        '3:20: invalid reference "quay.io/Team/app": the repository "Team/app" has upper-case letters (Write "team/app".)',
      ],
    ],
    [
      'a pattern without a registry',
      'sources:\n  - repositories: ["team/*"]\n',
      ['2:20: a pattern needs a registry to be looked for in (Give the source a registry.)'],
    ],
    [
      'a source of nothing',
      'sources:\n  - registry: quay.io\n',
      ['2:5: neither repositories nor images are named (Name them; "**" means all.)'],
    ],
    [
      'a regular expression',
      `${SOURCE}    tags:\n      include: ["1.*", "("]\n`,
      ['5:24: "(" is not a regular expression: Unterminated group'],
    ],
    [
      'a range of versions',
      `${SOURCE}    tags: { semver: "newer than 1" }\n`,
      [
        '4:21: "newer than 1" is not a range of versions (Write for example ">=1.2 <3", "^1.4 || ~2.0" or "1.x".)',
      ],
    ],
    [
      'a date',
      `${SOURCE}    tags: { since: yesterday }\n`,
      [
        '4:20: "yesterday" is neither a date nor a span of time (Write for example 2025-01-31, 2025-01-31T12:00:00Z, or 90d.)',
      ],
    ],
    ['a tag', `${SOURCE}    tags: ["1:2"]\n`, [expect.stringMatching(/^4:12: .*"1:2" is not a tag/)]],
    ['none of newest', `${SOURCE}    tags: { newest: 0 }\n`, ['4:21: sources[0].tags.newest must be >= 1']],
    [
      'a platform',
      `${SOURCE}    platforms: [linux/amd64, "a/b/c/d"]\n`,
      [expect.stringMatching(/^4:30: .*a\/b\/c\/d/)],
    ],
    [
      'a rate',
      `${SOURCE}    limits: { rate: fast }\n`,
      ['4:21: "fast" is not a number of bytes (Write for example 500K or 10M.)'],
    ],
    [
      'a destination',
      `${SOURCE}destinations: [mirror.lan]\n`,
      [
        '4:16: mirror.lan is no place that images can be mirrored to or from (Write docker://HOST[/PATH], oci:DIR, oci-archive:FILE or store.)',
      ],
    ],
    [
      'a template',
      `${SOURCE}destinations:\n  - to: store\n    path: "{repo}/x"\n`,
      ['6:11: "{repo}/x": there is no {repo}; there are {registry}, {repository}, {name}'],
    ],
    [
      'several things at once, in the order of their lines',
      'sources:\n  - registry: x/y\n    images: [a]\n  - registry: quay.io\ndestinations: [nowhere]\n',
      [expect.stringMatching(/^2:15: /), expect.stringMatching(/^4:5: /), expect.stringMatching(/^5:16: /)],
    ],
  ])('%s', (_name, text, faults) => {
    expect(faultsIn(text)).toEqual(faults);
  });

  test('the message names file, line and column, and no secret', () => {
    try {
      read(`${SOURCE}    credentials: { username: robot, password: hunter2 }\n`);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({
        code: 'INVALID_CONFIG',
        message: 'mirror.yaml:4:37: a password does not belong in this file',
        details: { file: 'mirror.yaml', line: 4, column: 37 },
      });
      expect(JSON.stringify(error)).not.toContain('hunter2');
    }
  });
});
