import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documented } from './archives.js';
import { type LookedAt, lookedAt } from './looked-at.js';

let at: LookedAt;
beforeAll(async () => {
  at = await lookedAt();
});
afterAll(() => at[Symbol.asyncDispose]());

const lines = (text: string): string[] => text.split('\n').slice(0, -1);

describe('landfall ls', () => {
  test.each<[args: string[], shown: string[]]>([
    [[], ['bin', 'dev', 'etc', 'odd\\u001b[2J�', 'srv']],
    [['/'], ['bin', 'dev', 'etc', 'odd\\u001b[2J�', 'srv']],
    [['etc'], ['hosts', 'link']],
    [['/etc/link'], ['/etc/link']],
    [['-d', '/etc'], ['/etc']],
    [
      ['-R', '/srv/..//bin/.'],
      ['/bin/flood', '/bin/tide'],
    ],
  ])('%j', async (args, shown) => {
    const { code, out, err } = await at.run('ls', at.names.two, ...args);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(lines(out)).toEqual(shown);
  });

  test('in long form', async () => {
    const { out } = await at.run('ls', '-l', '-R', at.names.two);
    const wanted = [
      'drwxr-xr-x  0:0       -  1970-01-01 00:00  /dev',
      'drwxr-xr-x  0:0       -  2001-09-09 01:46  /bin',
      '-rwsr-xr-x  5:6    13 B  2001-09-09 01:46  /bin/flood',
      '-rwsr-xr-x  5:6    13 B  2001-09-09 01:46  /bin/tide',
      'crw-rw-rw-  0:0    1, 3  2001-09-09 01:46  /dev/null',
      '-rw-------  0:0    18 B  2023-11-14 22:13  /etc/hosts',
      'lrwxrwxrwx  0:0       -  2001-09-09 01:46  /etc/link -> hosts',
    ];
    const shown = lines(out).map((line) => line.replace(/ +/g, ' '));
    for (const line of wanted) expect(shown).toContain(line.replace(/ +/g, ' '));
    expect(new Set(lines(out).map((line) => line.indexOf('  /'))).size).toBe(1);
  });

  test('the exact bytes of names', async () => {
    const { bytes } = await at.run('ls', '-0', at.names.two);
    expect(bytes.toString('latin1').split('\0')).toEqual(['bin', 'dev', 'etc', 'odd\x1b[2J\xff', 'srv', '']);
  });

  test('in JSON', async () => {
    const { out } = await at.run('ls', '--output', 'json', at.names.two, '/');
    const { entries, ...image } = JSON.parse(out) as { entries: { path: string; pathBase64?: string }[] };
    const { manifest } = at.two.manifests[0];
    expect(image).toEqual({
      name: at.names.two,
      digest: manifest.digest,
      platform: 'linux/amd64',
      path: '/',
    });
    expect(entries.find(({ path }) => path.startsWith('/odd'))).toEqual({
      path: '/odd\u001b[2J\ufffd',
      pathBase64: Buffer.from('/odd\x1b[2J\xff', 'latin1').toString('base64'),
      type: 'file',
      mode: '0644',
      uid: 0,
      gid: 0,
      size: 3,
      modifiedAt: '2001-09-09T01:46:40Z',
      layer: at.two.manifests[0].layers[0]?.digest,
    });
  });

  test('as docs/json-output.md has it', async () => {
    const { out } = await at.run('ls', '--output', 'json', '-l', at.names.two, '/etc/link');
    const shown = JSON.parse(out) as { entries: object[] };
    const wanted = documented('ls') as { entries: object[] };
    expect(Object.keys(shown)).toEqual(Object.keys(wanted));
    expect(Object.keys(shown.entries[0] ?? {})).toEqual(Object.keys(wanted.entries[0] ?? {}));
  });

  test('one layer alone', async () => {
    const [, layer] = at.two.manifests[0].layers;
    const [, diffId] = at.two.manifests[0].diffIds;
    for (const digest of [layer?.digest, diffId]) {
      const { code, out } = await at.run('ls', '-R', `${at.names.two}@${String(digest)}`);
      expect({ code, shown: lines(out) }).toEqual({
        code: 0,
        shown: ['/etc', '/etc/hosts', '/srv', '/srv/new'],
      });
    }
  });

  test.each<[args: string[], code: number, err: RegExp]>([
    [['/etc/nothing/here'], 3, /"\/etc\/nothing" is not in the image\n {2}hint: .*"\/etc"/],
    [['--platform', 'linux/s390x'], 3, /no manifest for linux\/s390x/],
  ])('%j fails', async (args, code, err) => {
    const ran = await at.run('ls', at.names.two, ...args);
    expect(ran.code).toBe(code);
    expect(ran.err).toMatch(err);
    expect(ran.out).toBe('');
  });

  test('says where to look for what the store does not have', async () => {
    const { code, err } = await at.run('ls', 'registry.invalid/team/app');
    expect(code).toBe(3);
    expect(err).toContain('docker://registry.invalid/team/app');
  });
});
