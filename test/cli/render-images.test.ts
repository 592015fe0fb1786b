import { describe, expect, test } from 'vitest';
import { renderImages } from '../../src/cli/commands/images.js';
import type { ImageSummary } from '../../src/engine/images/images.js';
import { digestOf } from '../../src/spec/index.js';

const NOW = new Date('2025-06-01T00:00:00Z');
const DAY = 86_400_000;

const DEBIAN: ImageSummary = {
  name: 'docker.io/library/debian:trixie',
  digest: digestOf(Buffer.from('debian')),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  platforms: ['linux/amd64'],
  size: 50e6,
  snapshotSize: 150e6,
  shared: 20e6,
  unique: 180e6,
  createdAt: new Date(NOW.getTime() - 3 * DAY),
  updatedAt: new Date(NOW.getTime() - 2 * DAY),
  usedAt: new Date(NOW.getTime() - DAY),
  labels: {},
  pinned: true,
};
const BY_DIGEST: ImageSummary = {
  ...DEBIAN,
  name: `quay.io/prometheus/node-exporter@${DEBIAN.digest}`,
  platforms: ['linux/amd64', 'linux/arm64', 'linux/arm/v7'],
  pinned: false,
};

const linesOf = (text: string): string[][] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
const short = DEBIAN.digest.slice('sha256:'.length, 'sha256:'.length + 12);

describe('images as a table', () => {
  test('with what they take, blobs and unpacked layers', () => {
    expect(linesOf(renderImages([DEBIAN, BY_DIGEST], NOW)).slice(1)).toEqual([
      [
        'debian',
        'trixie',
        short,
        'linux/amd64',
        '200 MB',
        '180 MB',
        '20.0 MB',
        'yes',
        '3 days ago',
        '1 day ago',
      ],
      [
        'quay.io/prometheus/node-exporter',
        '-',
        short,
        'linux/amd64, linux/arm64, linux/arm/v7',
        '200 MB',
        '180 MB',
        '20.0 MB',
      ].concat(['3 days ago', '1 day ago']),
    ]);
  });

  test('on a narrow terminal without what matters least', () => {
    const titles = (width: number): string[] =>
      linesOf(renderImages([DEBIAN, BY_DIGEST], NOW, { width }))[0] ?? [];
    const least = ['REPOSITORY', 'TAG', 'DIGEST', 'PLATFORM', 'SIZE'];
    const sizes = [...least, 'UNIQUE', 'SHARED'];
    for (const width of [200, 120])
      expect(titles(width)).toEqual([...sizes, 'PINNED', 'CREATED', 'LAST USED']);
    for (const width of [119, 109]) expect(titles(width)).toEqual([...sizes, 'PINNED', 'CREATED']);
    for (const width of [108, 97]) expect(titles(width)).toEqual([...sizes, 'PINNED']);
    for (const width of [96, 88]) expect(titles(width)).toEqual([...least, 'UNIQUE', 'PINNED']);
    for (const width of [87, 80, 70]) expect(titles(width)).toEqual([...least, 'PINNED']);
    for (const width of [200, 110, 100, 80, 70]) {
      const lines = renderImages([DEBIAN, BY_DIGEST], NOW, { width }).split('\n');
      expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(width);
    }
  });

  test('with where those lie that only an additional store has', () => {
    const baked = { ...DEBIAN, additionalRoot: '/usr/share/images' };
    const [titles, first, second] = linesOf(renderImages([baked, BY_DIGEST], NOW));
    expect(titles?.at(-1)).toBe('ADDITIONAL ROOT');
    expect(first?.at(-1)).toBe('/usr/share/images');
    expect(second?.at(-1)).toBe('1 day ago');
  });
});
