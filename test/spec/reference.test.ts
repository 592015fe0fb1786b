import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  familiarReference,
  formatReference,
  parseDigest,
  parseReference,
  type Reference,
  repositoryName,
} from '../../src/spec/index.js';
import { refusalOf } from './refusal.js';

const HEX = '86e0e091d0da6bde2456dbb48306f3956bbeb2eae1b5b9a43045843f69fe4aaa';
const DIGEST = `sha256:${HEX}`;

describe('a reference in its canonical and in its familiar form', () => {
  it.each([
    ['a familiar name', 'alpine', 'docker.io/library/alpine', 'alpine'],
    ['with a tag', 'alpine:3', 'docker.io/library/alpine:3', 'alpine:3'],
    ['with a digest', `alpine@${DIGEST}`, `docker.io/library/alpine@${DIGEST}`, `alpine@${DIGEST}`],
    [
      'with tag and digest',
      `alpine:3@${DIGEST}`,
      `docker.io/library/alpine:3@${DIGEST}`,
      `alpine:3@${DIGEST}`,
    ],
    [
      'with a digest of another algorithm',
      'alpine@blake3:af13',
      'docker.io/library/alpine@blake3:af13',
      'alpine@blake3:af13',
    ],
    ['of two components', 'team/app', 'docker.io/team/app', 'team/app'],
    ['of three', 'team/app/web', 'docker.io/team/app/web', 'team/app/web'],
    ['docker.io spelled out', 'docker.io/alpine', 'docker.io/library/alpine', 'alpine'],
    ['its old name', 'index.docker.io/alpine', 'docker.io/library/alpine', 'alpine'],
    ['its old name with a namespace', 'index.docker.io/team/app:1', 'docker.io/team/app:1', 'team/app:1'],
    ['library spelled out', 'library/alpine', 'docker.io/library/alpine', 'alpine'],
    ['a namespace below library', 'library/foo/bar', 'docker.io/library/foo/bar', 'library/foo/bar'],
    ['library as a name', 'other/library', 'docker.io/other/library', 'other/library'],
    ['another registry', 'quay.io/team/app:1', 'quay.io/team/app:1', 'quay.io/team/app:1'],
    ['another registry, one component', 'quay.io/app', 'quay.io/app', 'quay.io/app'],
    ['a port makes a registry', 'test:5000/repo', 'test:5000/repo', 'test:5000/repo'],
    ['port and tag', 'test:5000/repo:tag', 'test:5000/repo:tag', 'test:5000/repo:tag'],
    ['localhost is a registry', 'localhost/x', 'localhost/x', 'localhost/x'],
    ['localhost with a port', 'localhost:5000/x', 'localhost:5000/x', 'localhost:5000/x'],
    ['localhost alone is a name', 'localhost:5000', 'docker.io/library/localhost:5000', 'localhost:5000'],
    [
      'a name with dots alone is no registry',
      'test.com:5000',
      'docker.io/library/test.com:5000',
      'test.com:5000',
    ],
    ['an upper-case first component is a registry', 'Foo/bar', 'Foo/bar', 'Foo/bar'],
    ['an IPv4 address', '127.0.0.1:5000/a/b:c', '127.0.0.1:5000/a/b:c', '127.0.0.1:5000/a/b:c'],
    ['an IPv6 address', '[2001:db8::1]/repo', '[2001:db8::1]/repo', '[2001:db8::1]/repo'],
    [
      'an IPv6 address with port and tag',
      '[::1]:5000/repo:tag',
      '[::1]:5000/repo:tag',
      '[::1]:5000/repo:tag',
    ],
    [
      'a full IPv6 address',
      '[fc00:1:2:3:4:5:6:7]:5000/a',
      '[fc00:1:2:3:4:5:6:7]:5000/a',
      '[fc00:1:2:3:4:5:6:7]:5000/a',
    ],
    [
      'punycode',
      'xn--n3h.com/myimage:xn--n3h.com',
      'xn--n3h.com/myimage:xn--n3h.com',
      'xn--n3h.com/myimage:xn--n3h.com',
    ],
    ['every separator', 'a/b.c_d__e-f---g', 'docker.io/a/b.c_d__e-f---g', 'a/b.c_d__e-f---g'],
    ['an upper-case tag', 'lower:UPPER', 'docker.io/library/lower:UPPER', 'lower:UPPER'],
    ['a tag that starts with _', 'a:_b', 'docker.io/library/a:_b', 'a:_b'],
    ['63 digits are a name', HEX.slice(1), `docker.io/library/${HEX.slice(1)}`, HEX.slice(1)],
    [
      '64 digits with their namespace are a name',
      `library/${HEX}`,
      `docker.io/library/${HEX}`,
      `docker.io/library/${HEX}`,
    ],
    [
      'a path that starts like a registry',
      'docker.io/localhost/x',
      'docker.io/localhost/x',
      'docker.io/localhost/x',
    ],
    ['a path that has a dot like a registry', 'docker.io/a.b/x', 'docker.io/a.b/x', 'docker.io/a.b/x'],
    [
      'a path of 255 characters',
      `q.io/${'a/'.repeat(127)}a`,
      `q.io/${'a/'.repeat(127)}a`,
      `q.io/${'a/'.repeat(127)}a`,
    ],
    [
      'a tag of 128 characters',
      `a:${'t'.repeat(128)}`,
      `docker.io/library/a:${'t'.repeat(128)}`,
      `a:${'t'.repeat(128)}`,
    ],
  ])('%s', (_, text, canonical, familiar) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(canonical);
    expect(familiarReference(reference)).toBe(familiar);
    expect(parseReference(canonical)).toEqual(reference);
    expect(parseReference(familiar)).toEqual(reference);
  });

  it('has its parts', () => {
    expect(parseReference(`127.0.0.1:5000/team/app:1@${DIGEST}`)).toEqual({
      registry: '127.0.0.1:5000',
      repository: 'team/app',
      tag: '1',
      digest: DIGEST,
    });
    expect(parseReference('alpine')).toEqual({ registry: 'docker.io', repository: 'library/alpine' });
    expect(repositoryName(parseReference(`alpine:3@${DIGEST}`))).toBe('docker.io/library/alpine');
  });
});

describe('the default tag', () => {
  it.each([
    ['is added to a bare name', 'alpine', 'alpine:latest'],
    ['is not added to a tag', 'alpine:3', 'alpine:3'],
    ['is not added to a digest', `alpine@${DIGEST}`, `alpine@${DIGEST}`],
  ])('%s', (_, text, expected) => {
    expect(familiarReference(parseReference(text, { defaultTag: true }))).toBe(expected);
  });

  it('is not added unasked', () => {
    expect(parseReference('alpine', { defaultTag: false }).tag).toBeUndefined();
  });
});

describe('a reference is refused', () => {
  it.each([
    ['empty', '', /empty/, /Name an image/],
    ['with white space around it', ' alpine', /white space/, /white space/],
    ['with a line break', 'alpine\n', /white space/, /white space/],
    ['a URL', 'https://quay.io/team/app', /scheme/, /"https:\/\/"/],
    ['a transport', 'docker://alpine', /scheme/, /"docker:\/\/"/],
    ['64 digits', HEX, /digest alone/, new RegExp(`REPOSITORY@sha256:${HEX}`)],
    ['a digest alone', DIGEST, /digest alone/, new RegExp(`REPOSITORY@sha256:${HEX}`)],
    ['an upper-case name', 'Alpine:3', /upper-case/, /"alpine"/],
    ['an upper-case repository', 'quay.io/Team/App:1', /upper-case/, /"team\/app"/],
    [
      'an upper-case repository at a port',
      'test:5000/Uppercase/lowercase:tag',
      /upper-case/,
      /"uppercase\/lowercase"/,
    ],
    ['a tag alone', ':justtag', /no repository/, /lower-case/],
    ['a digest with its @ alone', `@${DIGEST}`, /no repository/, /lower-case/],
    ['a registry alone', 'quay.io/', /no repository/, /lower-case/],
    ['an empty tag', 'alpine:', /tag is empty/, /A tag has/],
    ['a tag that starts with -', 'alpine:-1', /"-1" is not a tag/, /A tag has/],
    ['a tag with a +', 'alpine:1+2', /"1\+2" is not a tag/, /A tag has/],
    ['two tags', 'alpine:1:2', /"1:2" is not a tag/, /A tag has/],
    ['a tag before a slash', 'quay.io/team:1/app', /"1\/app" is not a tag/, /A tag has/],
    ['a tag of 129 characters', `a:${'t'.repeat(129)}`, /tag has 129/, undefined],
    ['a path of 256 characters', `q.io/a${'/a'.repeat(127)}b`, /repository has 256/, undefined],
    ['a path of 256 characters with library', 'a'.repeat(248), /repository has 256/, undefined],
    ['longer than any', `q.io/${'a'.repeat(2000)}`, /more than any reference/, undefined],
    ['an empty digest', 'alpine@', /invalid digest ""/, /sha256:/],
    ['a short digest', 'alpine@sha256:abc', /64 hexadecimal digits/, /sha256:/],
    ['an upper-case digest', `alpine@sha256:${HEX.toUpperCase()}`, /lower-case/, /sha256:/],
    ['two digests', `alpine@${DIGEST}@${DIGEST}`, /invalid digest/, /sha256:/],
    ['a path that leaves', '../../etc/passwd', /not a registry/, /HOST/],
    ['a path that leaves within', 'quay.io/a/../b', /not a repository/, /lower-case/],
    ['an absolute path', '/etc/passwd', /not a repository/, /lower-case/],
    ['an empty component', 'docker///docker', /not a repository/, /lower-case/],
    ['a trailing slash', 'team/app/', /not a repository/, /lower-case/],
    ['a leading dash', '-docker/docker', /not a repository/, /lower-case/],
    ['a trailing dash', 'docker-/docker', /not a repository/, /lower-case/],
    ['two dots', 'dock..er/docker', /not a registry/, /HOST/],
    ['two dots in a path', 'a/dock..er', /not a repository/, /lower-case/],
    ['mixed separators', 'a/dock_.er', /not a repository/, /lower-case/],
    ['three underscores', 'a/b___c', /not a repository/, /lower-case/],
    ['underscores alone', '____/____', /not a repository/, /lower-case/],
    ['other characters', 'aa/asdf$$^/aa', /not a repository/, /lower-case/],
    ['other letters', 'team/äpp', /not a repository/, /lower-case/],
    ['a registry that starts with a dash', '-docker.io/docker', /not a registry/, /HOST/],
    ['a registry with an underscore', 'my_host:5000/app', /not a registry/, /HOST/],
    ['with a user and a password', 'user:secret@host/app', /"\*\*\*@host\/app".* password/, /Leave them out/],
    [
      'a URL with a user and a password',
      'https://u:secret@quay.io/x:1',
      /"\*\*\*@quay.io\/x:1".* password/,
      /Leave/,
    ],
    ['a password with @ and /', 'u:sec/r@secret@quay.io/x', /"\*\*\*@quay.io\/x".* password/, /Leave/],
    ['a port beyond 65535', 'localhost:65536/x', /not a registry/, /HOST/],
    ['an empty port', 'localhost:/x', /not a registry/, /HOST/],
    ['an IPv4 address that is none', '256.0.0.1/x', /not a registry/, /HOST/],
    ['an IPv6 address that is none', '[:::]/x', /not a registry/, /HOST/],
    ['an IPv6 address without brackets', 'fc00::1:5000/debian', /not a registry/, /HOST/],
    ['an IPv6 address with a zone', '[fe80::1%eth0]:5000/debian', /not a registry/, /HOST/],
    ['an IPv6 address that embeds IPv4', '[2001:db8:3:4::192.0.2.33]:5000/debian', /not a registry/, /HOST/],
    ['an IPv6 address without a repository', '[fc00::1]:5000', /not a repository/, /lower-case/],
    ['a host name too long', `${'a.'.repeat(130)}b/x`, /not a registry/, /HOST/],
  ])('%s', (_, text, message, hint) => {
    const refusal = refusalOf(() => parseReference(text));
    expect(refusal.code).toBe('INVALID_REFERENCE');
    expect(refusal.message).toMatch(message);
    expect(JSON.stringify(refusal)).not.toContain('secret');
    expect(refusal.hint).toMatch(hint ?? /./);
  });

  it('without repainting the terminal', () => {
    const refusal = refusalOf(() => parseReference('al\u001b[2Jpine'));
    expect(refusal.message).not.toContain('\u001b');
  });

  it('with the digest error as its cause', () => {
    expect(refusalOf(() => parseReference('alpine@sha256:abc')).cause).toMatchObject({
      code: 'INVALID_DIGEST',
    });
  });
});

describe('whatever the reference', () => {
  const joined = (unit: fc.Arbitrary<string>, separators: fc.Arbitrary<string>, maxLength: number) =>
    fc
      .tuple(unit, fc.array(fc.tuple(separators, unit), { maxLength }))
      .map(([first, rest]) => first + rest.flat().join(''));
  const alphanumeric = fc.stringMatching(/^[a-z0-9]{1,6}$/);
  const separator = fc.constantFrom('.', '_', '__', '-', '--', '-----');
  const component = joined(alphanumeric, separator, 3);
  const path = joined(component, fc.constant('/'), 3);
  const label = fc
    .stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,5}[a-zA-Z]$/)
    .filter((text) => !/^xn--/i.test(text));
  const port = fc.integer({ min: 1, max: 65535 }).map((number) => `:${number}`);
  const host = fc.oneof(
    fc.constant('localhost'),
    fc.tuple(label, label).map((labels) => labels.join('.')),
    fc.ipV4(),
    fc
      .ipV6()
      .filter((text) => !text.includes('.'))
      .map((text) => `[${text}]`),
  );
  const registry = fc.oneof(
    fc.constant('docker.io'),
    host,
    fc.tuple(fc.oneof(host, label), port).map((parts) => parts.join('')),
  );
  const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);
  const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => parseDigest(`sha256:${hex}`));
  const reference: fc.Arbitrary<Reference> = fc
    .record({ registry, repository: path, tag, digest }, { requiredKeys: ['registry', 'repository'] })
    .map((each) =>
      each.registry === 'docker.io' && !each.repository.includes('/')
        ? { ...each, repository: `library/${each.repository}` }
        : each,
    );

  it('its canonical and its familiar form read as itself', () => {
    fc.assert(
      fc.property(reference, (each) => {
        expect(parseReference(formatReference(each))).toEqual(each);
        expect(parseReference(familiarReference(each))).toEqual(each);
      }),
      { numRuns: 500 },
    );
  });

  it('what the grammar makes parses, and canonical form is a fixed point', () => {
    const text = fc
      .tuple(
        fc.option(registry, { nil: '' }),
        path,
        fc.option(tag, { nil: '' }),
        fc.option(digest, { nil: '' }),
      )
      .map(
        ([r, p, t, d]) =>
          `${r === '' ? '' : `${r}/`}${p}${t === '' ? '' : `:${t}`}${d === '' ? '' : `@${d}`}`,
      )
      .filter((each) => !/^[a-f0-9]{64}$/.test(each));
    fc.assert(
      fc.property(text, (each) => {
        // A path whose first component has a dot is read as a registry, which it need not be fit for.
        fc.pre(/^[^/.]*(?:\/|$)|^[^/]*$|^(?:docker\.io|localhost)/.test(each) || each.startsWith('['));
        const canonical = formatReference(parseReference(each));
        expect(formatReference(parseReference(canonical))).toBe(canonical);
        expect(familiarReference(parseReference(canonical))).toBe(familiarReference(parseReference(each)));
      }),
      { numRuns: 500 },
    );
  });

  it('any text parses to what the grammar allows, or is refused as a reference', () => {
    const near = fc.tuple(reference, fc.string({ maxLength: 3 }), fc.nat(60)).map(([each, noise, at]) => {
      const text = formatReference(each);
      return text.slice(0, at) + noise + text.slice(at);
    });
    fc.assert(
      fc.property(fc.oneof(near, fc.string(), fc.string({ unit: 'binary' })), (text) => {
        let parsed: Reference;
        try {
          parsed = parseReference(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_REFERENCE' });
          return;
        }
        expect(parsed.repository).toMatch(/^[a-z0-9][a-z0-9._/-]*$/);
        expect(parsed.repository).not.toMatch(/\.\.|\/\/|\/$/);
        expect(new URL(`https://${parsed.registry}/v2/${parsed.repository}/`).pathname).toBe(
          `/v2/${parsed.repository}/`,
        );
        expect(parseReference(formatReference(parsed))).toEqual(parsed);
      }),
      { numRuns: 1000 },
    );
  });
});
