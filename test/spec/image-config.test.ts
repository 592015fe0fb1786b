import { describe, expect, it } from 'vitest';

import { formatPlatform, LIMITS, parseImageConfig, platformOf } from '../../src/spec/index.js';
import { documentOf, refusalOf } from './refusal.js';

const DIFF_ID = `sha256:${'a'.repeat(64)}`;
const ROOTFS = { type: 'layers', diff_ids: [DIFF_ID] };
const PLAIN = { os: 'linux', architecture: 'amd64', rootfs: ROOTFS };

describe('an image config is parsed', () => {
  const run = {
    User: '1000:1000',
    ExposedPorts: { '80/tcp': {} },
    Env: ['PATH=/bin'],
    Entrypoint: ['/bin/sh'],
    Cmd: ['-c', 'true'],
    Volumes: { '/data': {} },
    WorkingDir: '/',
    Labels: { a: 'b' },
    StopSignal: 'SIGTERM',
    ArgsEscaped: true,
  };
  const step = {
    created: '2024-01-01T00:00:00Z',
    author: 'a',
    created_by: 'RUN true',
    comment: 'c',
    empty_layer: true,
  };
  it.each<[string, object, object]>([
    ['plain', PLAIN, PLAIN],
    [
      'full',
      { ...PLAIN, config: run, created: 'x', author: 'y' },
      { ...PLAIN, config: run, created: 'x', author: 'y' },
    ],
    ['with its history', { ...PLAIN, history: [step, {}] }, { ...PLAIN, history: [step, {}] }],
    ['with null history', { ...PLAIN, history: null }, PLAIN],
    ['with null config', { ...PLAIN, config: null }, PLAIN],
    [
      'with nulls in config, as Docker writes it',
      { ...PLAIN, config: { Env: null, Cmd: null, Volumes: null, Labels: null } },
      { ...PLAIN, config: {} },
    ],
    [
      'with null for a member of a set',
      { ...PLAIN, config: { Volumes: { '/a': null } } },
      { ...PLAIN, config: { Volumes: { '/a': {} } } },
    ],
    [
      'with null diff_ids, as Go writes it',
      { ...PLAIN, rootfs: { type: 'layers', diff_ids: null } },
      { ...PLAIN, rootfs: { type: 'layers', diff_ids: [] } },
    ],
    ['without a platform', { rootfs: ROOTFS }, { os: '', architecture: '', rootfs: ROOTFS }],
    [
      'with unknown fields at every level',
      {
        ...PLAIN,
        docker_version: '1',
        config: { Healthcheck: { Test: ['x'] }, OnBuild: null },
        rootfs: { ...ROOTFS, novel: 1 },
      },
      {
        ...PLAIN,
        docker_version: '1',
        config: { Healthcheck: { Test: ['x'] }, OnBuild: null },
        rootfs: { ...ROOTFS, novel: 1 },
      },
    ],
  ])('%s', (_, document, expected) => {
    expect(parseImageConfig(documentOf(document))).toStrictEqual(expected);
  });
});

describe('an image config is refused', () => {
  it.each<[string, object | string, string, RegExp]>([
    ['not JSON', 'x', 'INVALID_MANIFEST', /the image config is not JSON/],
    ['a list', '[]', 'INVALID_MANIFEST', /the document must be an object/],
    ['without rootfs, as an artifact is', {}, 'INVALID_MANIFEST', /rootfs must be an object/],
    [
      'without the type of rootfs',
      { rootfs: { diff_ids: [] } },
      'INVALID_MANIFEST',
      /rootfs.type is missing/,
    ],
    [
      'with another type of rootfs',
      { rootfs: { type: 'base' } },
      'INVALID_MANIFEST',
      /rootfs.type must be "layers"/,
    ],
    [
      'with diff_ids that are no list',
      { rootfs: { type: 'layers', diff_ids: DIFF_ID } },
      'INVALID_MANIFEST',
      /rootfs.diff_ids must be a list/,
    ],
    [
      'with a diffId that is no digest',
      { rootfs: { type: 'layers', diff_ids: [DIFF_ID, 'x'] } },
      'INVALID_DIGEST',
      /rootfs.diff_ids\[1\]: invalid digest/,
    ],
    [
      'with a null diffId',
      { rootfs: { type: 'layers', diff_ids: [null] } },
      'INVALID_MANIFEST',
      /rootfs.diff_ids\[0\] is missing/,
    ],
    [
      'with too many diffIds',
      {
        rootfs: {
          type: 'layers',
          diff_ids: Array.from({ length: LIMITS.manifestLayers + 1 }, () => DIFF_ID),
        },
      },
      'LIMIT_EXCEEDED',
      /diff_ids has 10001/,
    ],
    [
      'with diff_ids in two cases',
      { rootfs: { ...ROOTFS, DIFF_IDS: [] } },
      'INVALID_MANIFEST',
      /rootfs.diff_ids stands twice/,
    ],
    ['with rootfs in two cases', { ...PLAIN, RootFS: ROOTFS }, 'INVALID_MANIFEST', /rootfs stands twice/],
    ['with a number for the system', { ...PLAIN, os: 7 }, 'INVALID_MANIFEST', /os must be a string/],
    [
      'with a config that is a list',
      { ...PLAIN, config: [] },
      'INVALID_MANIFEST',
      /config must be an object/,
    ],
    [
      'with a command that is a string',
      { ...PLAIN, config: { Cmd: 'sh' } },
      'INVALID_MANIFEST',
      /config.Cmd must be a list/,
    ],
    [
      'with a variable that is no string',
      { ...PLAIN, config: { Env: [7] } },
      'INVALID_MANIFEST',
      /config.Env\[0\] must be a string/,
    ],
    [
      'with a label that is no string',
      { ...PLAIN, config: { Labels: { a: 7 } } },
      'INVALID_MANIFEST',
      /config.Labels\["a"\] must be a string/,
    ],
    [
      'with volumes that are a list',
      { ...PLAIN, config: { Volumes: ['/a'] } },
      'INVALID_MANIFEST',
      /config.Volumes must be an object/,
    ],
    [
      'with a volume that is a string',
      { ...PLAIN, config: { Volumes: { '/a': 'x' } } },
      'INVALID_MANIFEST',
      /config.Volumes\["\/a"\] must be an object/,
    ],
    [
      'with a flag that is a string',
      { ...PLAIN, history: [{ empty_layer: 'true' }] },
      'INVALID_MANIFEST',
      /history\[0\].empty_layer must be true or false/,
    ],
    [
      'with too long a history',
      { ...PLAIN, history: Array.from({ length: LIMITS.listItems + 1 }, () => ({})) },
      'LIMIT_EXCEEDED',
      /history has 10001/,
    ],
    ['too large', `{"a":"${'x'.repeat(LIMITS.configBytes)}"}`, 'LIMIT_EXCEEDED', /the image config has/],
  ])('%s', (_, document, code, message) => {
    const refusal = refusalOf(() => parseImageConfig(documentOf(document)));
    expect(refusal.code).toBe(code);
    expect(refusal.message).toMatch(message);
  });
});

describe('the platform of a config', () => {
  it.each([
    ['plain', {}, 'linux/amd64'],
    ['with a variant', { architecture: 'aarch64', variant: 'v8' }, 'linux/arm64'],
    [
      'with version and features',
      { os: 'windows', 'os.version': '10.0.1', 'os.features': ['win32k'] },
      'windows(10.0.1+win32k)/amd64',
    ],
    ['left out', { os: '', architecture: '' }, 'unknown'],
  ])('%s', (_, fields, expected) => {
    expect(formatPlatform(platformOf(parseImageConfig(documentOf({ ...PLAIN, ...fields }))))).toBe(expected);
  });
});
