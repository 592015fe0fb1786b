import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { secret } from '../../support/secrets.js';
import { run } from './serve-lists.js';

const HOSTS = `
server = "https://registry.example"

[host."https://mirror.example/cache"]
  capabilities = ["pull"]
  override_path = true
  [host."https://mirror.example/cache".landfall]
    credentials = { username = "robot", password = "${secret('doctor-password')}" }
    max_connections = 8
    requests_per_second = 20

[host."http://second.example:5000"]
  skip_verify = true
`;

describe('doctor --hosts', () => {
  let directory: string;
  let empty: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-doctor-'));
    empty = join(directory, 'empty');
    await mkdir(empty);
    await mkdir(join(directory, 'registry.example'));
    await writeFile(join(directory, 'registry.example/hosts.toml'), HOSTS);
  });
  afterAll(() => rm(directory, { recursive: true }));

  const hosts = (reference: string, ...options: string[]): ReturnType<typeof run> =>
    run('doctor', '--hosts', reference, ...options);

  test.each(['registry.example/team/app:1', 'docker://registry.example/team/app'])(
    'shows where %s would be asked for, in that order, and why',
    async (reference) => {
      const { code, out } = await hosts(reference, '--hosts-dir', directory, '--output', 'json');
      expect(code).toBe(0);
      const file = join(directory, 'registry.example/hosts.toml');
      expect(JSON.parse(out)).toEqual({
        registry: 'registry.example',
        hosts: [
          {
            url: 'https://mirror.example/cache',
            role: 'mirror',
            capabilities: ['pull'],
            credentials: 'configured',
            verified: true,
            clientCertificate: false,
            maxConnections: 8,
            requestsPerSecond: 20,
            why: `mirror 1 in ${file}`,
          },
          {
            url: expect.stringContaining('://second.example:5000/v2') as string,
            role: 'mirror',
            capabilities: ['pull', 'resolve', 'push'],
            credentials: 'own',
            verified: false,
            clientCertificate: false,
            why: `mirror 2 in ${file}`,
          },
          {
            url: 'https://registry.example/v2',
            role: 'upstream',
            capabilities: ['pull', 'resolve', 'push'],
            credentials: 'own',
            verified: true,
            clientCertificate: false,
            why: `server in ${file}`,
          },
        ],
      });
    },
  );

  test('for people, without what is secret', async () => {
    const { out } = await hosts('registry.example/app', '--hosts-dir', directory);
    expect(out.split('\n').filter((line) => /^\d/.test(line))).toHaveLength(3);
    expect(out).toMatch(/^1 +https:\/\/mirror\.example\/cache +pull +configured +mirror 1 in /m);
    expect(out).not.toContain('doctor-password');
  });

  test('asks the first directory that knows the registry', async () => {
    const { out } = await hosts('registry.example/app', '--hosts-dir', empty, '--hosts-dir', directory);
    expect(out).toContain('mirror.example');
  });

  test('the registry itself where nothing is configured', async () => {
    const { out } = await hosts('debian', '--hosts-dir', empty, '--output', 'json');
    expect(JSON.parse(out)).toMatchObject({
      registry: 'docker.io',
      hosts: [{ url: 'https://registry-1.docker.io/v2', role: 'upstream', why: 'the registry itself' }],
    });
  });

  test.each([
    ['what is no reference', 'UPPER CASE', 'INVALID_REFERENCE'],
    ['a file that is broken', 'broken.example/app', 'INVALID_CONFIG'],
  ])('%s is an error with exit code 2', async (_what, reference, errorCode) => {
    await mkdir(join(directory, 'broken.example'), { recursive: true });
    await writeFile(join(directory, 'broken.example/hosts.toml'), 'server = \n');
    const { code, err } = await hosts(reference, '--hosts-dir', directory, '--output', 'json');
    expect(code).toBe(2);
    expect(err).toContain(errorCode);
  });
});

describe('doctor says what is asked of images', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-doctor-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  const rows: [string, string | undefined, { asks: string; error?: unknown }, RegExp][] = [
    [
      'nothing, by a policy that accepts everything',
      '{"default":[{"type":"insecureAcceptAnything"}]}',
      { asks: 'nothing' },
      /^signatures: .*policy\.json accepts every image$/m,
    ],
    [
      'what its policy says',
      '{"default":[{"type":"reject"}]}',
      { asks: 'something' },
      /^signatures: .*policy\.json says which are needed$/m,
    ],
    [
      'that a policy refuses everything which nobody understands',
      '{"default":[]}',
      { asks: 'everything is refused', error: expect.stringContaining('policy.json:1') },
      /^signatures: every image is refused: .*policy\.json:1/m,
    ],
    [
      'and one that is named and not there',
      undefined,
      { asks: 'everything is refused', error: expect.stringContaining('policy.json') },
      /^signatures: every image is refused: /m,
    ],
  ];
  test.each(rows)('%s', async (name, policy, info, line) => {
    const file = join(directory, `${name.length}-policy.json`);
    if (policy !== undefined) await writeFile(file, policy);
    const { out } = await run('doctor', '--policy', file, '--output', 'json');
    expect((JSON.parse(out) as { signaturePolicy: unknown }).signaturePolicy).toEqual({
      file,
      origin: 'option',
      ...info,
    });
    expect((await run('doctor', '--policy', file)).out).toMatch(line);
  });
});
