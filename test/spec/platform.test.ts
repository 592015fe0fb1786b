import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  type Descriptor,
  digestOf,
  formatPlatform,
  hostPlatform,
  MEDIA_TYPES,
  normalizePlatform,
  parsePlatform,
  parsePlatformObject,
  type Platform,
  platformMatcher,
  selectPlatform,
} from '../../src/spec/index.js';
import { refusalOf } from './refusal.js';

const host = hostPlatform();

describe('a platform is parsed and normalised', () => {
  it.each<[string, Platform]>([
    ['linux/amd64', { os: 'linux', architecture: 'amd64' }],
    ['Linux/AMD64', { os: 'linux', architecture: 'amd64' }],
    ['linux/x86_64', { os: 'linux', architecture: 'amd64' }],
    ['linux/x86-64', { os: 'linux', architecture: 'amd64' }],
    ['linux/amd64/v1', { os: 'linux', architecture: 'amd64' }],
    ['linux/amd64/v2', { os: 'linux', architecture: 'amd64', variant: 'v2' }],
    ['linux/amd64/V3', { os: 'linux', architecture: 'amd64', variant: 'v3' }],
    ['linux/i386', { os: 'linux', architecture: '386' }],
    ['linux/aarch64', { os: 'linux', architecture: 'arm64' }],
    ['linux/arm64', { os: 'linux', architecture: 'arm64' }],
    ['linux/arm64/v8', { os: 'linux', architecture: 'arm64' }],
    ['linux/arm64/8', { os: 'linux', architecture: 'arm64' }],
    ['linux/arm64/v8.0', { os: 'linux', architecture: 'arm64' }],
    ['linux/arm64/v8.2', { os: 'linux', architecture: 'arm64', variant: 'v8.2' }],
    ['linux/arm64/v9.0', { os: 'linux', architecture: 'arm64', variant: 'v9' }],
    ['linux/arm', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['linux/arm/7', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['linux/arm/v7', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['linux/arm/5', { os: 'linux', architecture: 'arm', variant: 'v5' }],
    ['linux/arm/6', { os: 'linux', architecture: 'arm', variant: 'v6' }],
    ['linux/arm/v8', { os: 'linux', architecture: 'arm', variant: 'v8' }],
    ['linux/arm/other', { os: 'linux', architecture: 'arm', variant: 'other' }],
    ['linux/armhf', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['linux/armel', { os: 'linux', architecture: 'arm', variant: 'v6' }],
    ['linux/riscv64', { os: 'linux', architecture: 'riscv64' }],
    ['linux/novel', { os: 'linux', architecture: 'novel' }],
    ['macos/arm64', { os: 'darwin', architecture: 'arm64' }],
    ['linux(10.0)/amd64', { os: 'linux', architecture: 'amd64', 'os.version': '10.0' }],
    [
      'windows(10.0.17763+win32k)/amd64',
      { os: 'windows', architecture: 'amd64', 'os.version': '10.0.17763', 'os.features': ['win32k'] },
    ],
    ['windows(+b+a+b)/amd64', { os: 'windows', architecture: 'amd64', 'os.features': ['a', 'b'] }],
    ['windows(1%2B2)/amd64', { os: 'windows', architecture: 'amd64', 'os.version': '1+2' }],
    ['linux', { ...host, os: 'linux' }],
    ['windows(10.0.1)', { ...host, os: 'windows', 'os.version': '10.0.1' }],
    ['macos', { ...host, os: 'darwin' }],
    ['arm64', { os: host.os, architecture: 'arm64' }],
    ['aarch64', { os: host.os, architecture: 'arm64' }],
    ['x86_64', { os: host.os, architecture: 'amd64' }],
    ['armhf', { os: host.os, architecture: 'arm', variant: 'v7' }],
    ['386', { os: host.os, architecture: '386' }],
  ])('%s', (text, expected) => {
    const platform = parsePlatform(text);
    expect(platform).toEqual(expected);
    expect(parsePlatform(formatPlatform(platform))).toEqual(platform);
  });
});

describe('a platform is refused', () => {
  it.each([
    ['empty', ''],
    ['of a name that is neither system nor processor', 'novel'],
    ['with a wildcard', 'linux/*'],
    ['of four components', 'linux/arm/v7/x'],
    ['without a system', '/amd64'],
    ['without a processor', 'linux/'],
    ['without a variant', 'linux/arm/'],
    ['with white space', 'linux /amd64'],
    ['with a bracket that is not closed', 'linux(1/amd64'],
    ['with a broken escape', 'linux(%zz)/amd64'],
    ['with a broken escape in a feature', 'linux(1+%)/amd64'],
    ['with a line break', 'linux/amd64\n'],
    ['with a version of a processor', 'amd64(1)'],
  ])('%s', (_, text) => {
    const refusal = refusalOf(() => parsePlatform(text));
    expect(refusal.code).toBe('INVALID_CONFIG');
    expect(refusal.hint).toContain('linux/amd64');
  });
});

describe('a platform from JSON', () => {
  it.each<[string, unknown, Platform & Record<string, unknown>]>([
    ['stays as it stands', { os: 'Linux', architecture: 'x86_64' }, { os: 'Linux', architecture: 'x86_64' }],
    ['has neither', {}, { os: '', architecture: '' }],
    ['has nulls', { os: null, architecture: null, variant: null }, { os: '', architecture: '' }],
    [
      'has it all, and more',
      { os: 'a', architecture: 'b', variant: 'c', 'os.version': 'd', 'os.features': ['e'], features: ['f'] },
      { os: 'a', architecture: 'b', variant: 'c', 'os.version': 'd', 'os.features': ['e'], features: ['f'] },
    ],
  ])('%s', (_, value, expected) => {
    expect(parsePlatformObject(value, 'platform')).toEqual(expected);
  });

  it.each([
    ['a string', 'linux/amd64', /^manifests\[0\].platform must be an object/],
    ['a list', [], /^manifests\[0\].platform must be an object/],
    ['a number for the system', { os: 7 }, /^manifests\[0\].platform.os must be a string/],
    ['features that are no list', { os: 'a', 'os.features': 'x' }, /os.features must be a list/],
    [
      'features that are no strings',
      { os: 'a', 'os.features': ['x', 7] },
      /os.features\[1\] must be a string/,
    ],
  ])('is refused: %s', (_, value, message) => {
    const refusal = refusalOf(() => parsePlatformObject(value, 'manifests[0].platform'));
    expect(refusal.code).toBe('INVALID_MANIFEST');
    expect(refusal.message).toMatch(message);
  });
});

describe('a platform is written', () => {
  it.each<[string, Platform]>([
    ['linux/amd64', { os: 'linux', architecture: 'amd64' }],
    ['linux/arm/v7', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    [
      'windows(10.0+a+b)/amd64',
      { os: 'windows', architecture: 'amd64', 'os.version': '10.0', 'os.features': ['b', 'a'] },
    ],
    ['windows(+a)/amd64', { os: 'windows', architecture: 'amd64', 'os.features': ['a'] }],
    ['linux', { os: 'linux', architecture: '' }],
    ['unknown/unknown', { os: 'unknown', architecture: 'unknown' }],
    ['unknown', { os: '', architecture: 'amd64' }],
    ['li%1B%5B2Jnux/a%2Fb', { os: 'li\u001b[2Jnux', architecture: 'a/b' }],
    ['windows(%EF%BF%BD)/x', { os: 'windows', architecture: 'x', 'os.version': '\ud800' }],
  ])('%s', (expected, platform) => {
    expect(formatPlatform(platform)).toBe(expected);
  });
});

it('this machine is Linux, in normal form', () => {
  expect(host.os).toBe('linux');
  expect(normalizePlatform(host)).toEqual(host);
});

describe('what a wanted platform accepts, closest first', () => {
  it.each([
    ['linux/amd64', ['linux/amd64', 'linux/386']],
    ['linux/amd64/v2', ['linux/amd64/v2', 'linux/amd64', 'linux/386']],
    ['linux/amd64/v3', ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64', 'linux/386']],
    ['linux/386', ['linux/386']],
    ['linux/arm/v5', ['linux/arm/v5']],
    ['linux/arm/v6', ['linux/arm/v6', 'linux/arm/v5']],
    ['linux/arm/v7', ['linux/arm', 'linux/arm/v6', 'linux/arm/v5']],
    ['linux/arm/v8', ['linux/arm/v8', 'linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']],
    ['linux/arm64', ['linux/arm64/v8', 'linux/arm/v8', 'linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']],
    [
      'linux/arm64/v8.2',
      [
        'linux/arm64/v8.2',
        'linux/arm64/v8.1',
        'linux/arm64',
        'linux/arm/v8',
        'linux/arm/v7',
        'linux/arm/v6',
        'linux/arm/v5',
      ],
    ],
    [
      'linux/arm64/v9.1',
      [
        'linux/arm64/v9.1',
        'linux/arm64/v9',
        'linux/arm64/v8.6',
        'linux/arm64/v8.5',
        'linux/arm64/v8.4',
        'linux/arm64/v8.3',
        'linux/arm64/v8.2',
        'linux/arm64/v8.1',
        'linux/arm64',
        'linux/arm/v8',
        'linux/arm/v7',
        'linux/arm/v6',
        'linux/arm/v5',
      ],
    ],
    ['linux/riscv64', ['linux/riscv64']],
    ['linux/ppc64le/power9', ['linux/ppc64le/power9', 'linux/ppc64le']],
    ['linux/amd64/novel', ['linux/amd64/novel', 'linux/386']],
    ['linux/arm/novel', ['linux/arm/novel']],
    ['linux/arm64/novel', ['linux/arm64/novel', 'linux/arm/novel']],
    ['darwin/amd64', ['darwin/amd64', 'darwin/386']],
  ])('%s', (wanted, accepted) => {
    const levels = ['', '/v1', '/v2', '/v3', '/v4', '/v5', '/v6', '/v7', '/v8', '/v9', '/power9', '/novel'];
    const minors = ['v8.1', 'v8.2', 'v8.3', 'v8.4', 'v8.5', 'v8.6', 'v8.7', 'v9.1', 'v9.2'].map(
      (each) => `/${each}`,
    );
    const all = ['linux', 'darwin']
      .flatMap((os) =>
        ['amd64', '386', 'arm', 'arm64', 'riscv64', 'ppc64le'].map((processor) => `${os}/${processor}`),
      )
      .flatMap((each) => [...levels, ...minors].map((level) => parsePlatform(each + level)));
    const unique = [...new Map(all.map((each) => [formatPlatform(each), each])).values()];
    const matcher = platformMatcher(parsePlatform(wanted));

    const found = unique.filter((each) => matcher.matches(each)).sort((a, b) => matcher.compare(a, b));
    expect(found.map(formatPlatform)).toEqual(accepted.map((each) => formatPlatform(parsePlatform(each))));

    const sorted = unique.reverse().sort((a, b) => matcher.compare(a, b));
    expect(sorted.slice(0, found.length)).toEqual(found);
  });

  it('a variant with a huge number costs nothing', () => {
    expect(
      platformMatcher(parsePlatform('linux/arm64/v8.999999999')).matches(parsePlatform('linux/arm64')),
    ).toBe(false);
  });
});

describe('the version of the system', () => {
  it.each([
    ['is nothing to Linux', 'linux(5)/amd64', 'linux(6)/amd64', true],
    ['is nothing when none is wanted', 'windows/amd64', 'windows(10.0.17763.1)/amd64', true],
    ['is nothing when the image names none', 'windows(10.0.17763)/amd64', 'windows/amd64', true],
    ['is the same build', 'windows(10.0.17763.5)/amd64', 'windows(10.0.17763.1)/amd64', true],
    ['is another build', 'windows(10.0.17763.5)/amd64', 'windows(10.0.18362.1)/amd64', false],
    ['is another release', 'windows(10.0.17763)/amd64', 'windows(11.0.17763)/amd64', false],
    [
      'is older, on a host that runs older ones',
      'windows(10.0.26100)/amd64',
      'windows(10.0.20348)/amd64',
      true,
    ],
    [
      'is too old for a host that runs older ones',
      'windows(10.0.26100)/amd64',
      'windows(10.0.17763)/amd64',
      false,
    ],
    ['is newer than the host', 'windows(10.0.20348)/amd64', 'windows(10.0.26100)/amd64', false],
    ['of the image is no version', 'windows(10.0.17763)/amd64', 'windows(ltsc)/amd64', false],
    ['that is wanted is no version', 'windows(ltsc)/amd64', 'windows(10.0.17763)/amd64', true],
  ])('%s', (_, wanted, offered, matches) => {
    expect(platformMatcher(parsePlatform(wanted)).matches(parsePlatform(offered))).toBe(matches);
  });
});

describe('the features of the system', () => {
  it.each([
    ['are none', 'linux(+a)/amd64', 'linux/amd64', true],
    ['are wanted', 'linux(+a+b)/amd64', 'linux(+b)/amd64', true],
    ['are all wanted', 'linux(+a+b)/amd64', 'linux(+b+a)/amd64', true],
    ['are not wanted', 'linux/amd64', 'linux(+a)/amd64', false],
    ['are not all wanted', 'linux(+a)/amd64', 'linux(+a+b)/amd64', false],
  ])('%s', (_, wanted, offered, matches) => {
    expect(platformMatcher(parsePlatform(wanted)).matches(parsePlatform(offered))).toBe(matches);
  });
});

describe('of the manifests of an index', () => {
  const entry = (
    platform: Platform | string | undefined,
    mediaType: string = MEDIA_TYPES.ociManifest,
  ): Descriptor => ({
    mediaType,
    digest: digestOf(Buffer.from(JSON.stringify([platform, mediaType]))),
    size: 1,
    ...(platform === undefined
      ? {}
      : { platform: typeof platform === 'string' ? parsePlatform(platform) : platform }),
  });
  const amd64 = entry('linux/amd64');
  const amd64v2 = entry('linux/amd64/v2');
  const i386 = entry('linux/386');
  const arm64 = entry({ os: 'linux', architecture: 'arm64', variant: 'v8' });
  const attestation = entry({ os: 'unknown', architecture: 'unknown' });
  const anywhere = entry(undefined);
  const nested = entry('linux/amd64', MEDIA_TYPES.ociIndex);
  const artifact = entry('linux/amd64', 'application/vnd.example+json');
  const windows = ['10.0.20348.9', '10.0.20348.10', '10.0.17763.1'].map((version) =>
    entry(`windows(${version})/amd64`),
  );
  const featured = entry('linux(+gpu)/amd64');

  it.each<[string, Descriptor[], string, Descriptor | undefined]>([
    ['the exact one', [i386, arm64, amd64], 'linux/amd64', amd64],
    ['the exact one, whatever the order', [amd64, arm64, i386], 'linux/amd64', amd64],
    ['the closest variant', [i386, amd64, amd64v2], 'linux/amd64/v3', amd64v2],
    ['not a higher variant', [amd64v2, i386], 'linux/amd64', i386],
    ['arm64 however it is written', [amd64, arm64], 'linux/aarch64', arm64],
    ['the first of equals', [nested, amd64], 'linux/amd64', nested],
    ['an index within the index', [i386, nested], 'linux/amd64', nested],
    ['never an attestation', [attestation], 'linux/amd64', undefined],
    ['never an attestation, even if asked for', [attestation], 'unknown/unknown', undefined],
    ['never one without a platform', [anywhere], 'linux/amd64', undefined],
    ['never one with an empty platform', [entry({ os: '', architecture: '' })], 'linux/amd64', undefined],
    ['never an artifact', [artifact, i386], 'linux/amd64', i386],
    ['the newest revision of the system', windows, 'windows(10.0.20348)/amd64', windows[1]],
    ['the newest system when none is wanted', windows, 'windows/amd64', windows[1]],
    ['the one that uses the features', [amd64, featured], 'linux(+gpu)/amd64', featured],
    ['none', [], 'linux/amd64', undefined],
  ])('%s', (_, descriptors, wanted, expected) => {
    expect(selectPlatform(descriptors, parsePlatform(wanted))).toBe(expected);
  });
});

describe('whatever the platform', () => {
  const word = fc.stringMatching(/^[a-z0-9_-]{1,8}$/);
  const option = fc.string({ unit: 'binary', minLength: 1, maxLength: 6 });
  const platform: fc.Arbitrary<Platform> = fc.record(
    {
      os: fc.oneof(fc.constantFrom('linux', 'Linux', 'macos', 'windows'), word),
      architecture: fc.oneof(
        fc.constantFrom('x86_64', 'AMD64', 'aarch64', 'arm', 'armhf', 'armel', 'i386'),
        word,
      ),
      variant: fc.oneof(
        fc.constantFrom('', 'v1', 'V2', '5', '6', '7', '8', 'v8', 'v8.0', 'v8.3', 'v9.0', 'v9.2'),
        word,
      ),
      'os.version': fc.oneof(fc.constant(''), option),
      'os.features': fc.array(option, { maxLength: 3 }),
    },
    { requiredKeys: ['os', 'architecture'] },
  );

  it('normalising twice is normalising once', () => {
    fc.assert(
      fc.property(platform, (each) => {
        const normal = normalizePlatform(each);
        expect(normalizePlatform(normal)).toEqual(normal);
      }),
    );
  });

  it('what is written reads as itself', () => {
    fc.assert(
      fc.property(platform, (each) => {
        expect(parsePlatform(formatPlatform(each))).toEqual(normalizePlatform(each));
      }),
    );
  });

  it('it accepts itself, and nothing is closer', () => {
    fc.assert(
      fc.property(platform, platform, (each, other) => {
        fc.pre(each.os !== 'unknown');
        const matcher = platformMatcher(each);
        expect(matcher.matches(each)).toBe(true);
        // Of two that are equally close, one may be preferred for its system or for the features it uses.
        const { os, architecture, variant } = other;
        const alike = { ...each, os, architecture, ...(variant === undefined ? {} : { variant }) };
        expect(matcher.compare(each, alike)).toBeLessThanOrEqual(0);
      }),
    );
  });

  it('the order is one: antisymmetric and transitive', () => {
    fc.assert(
      fc.property(platform, fc.tuple(platform, platform, platform), (wanted, [a, b, c]) => {
        const { compare } = platformMatcher(wanted);
        expect(Math.sign(compare(a, b))).toBe(0 - Math.sign(compare(b, a)));
        if (compare(a, b) <= 0 && compare(b, c) <= 0) expect(compare(a, c)).toBeLessThanOrEqual(0);
      }),
    );
  });
});
