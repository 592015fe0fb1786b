import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documented } from './archives.js';
import { type LookedAt, lookedAt } from './looked-at.js';

let at: LookedAt;
beforeAll(async () => {
  at = await lookedAt();
});
afterAll(() => at[Symbol.asyncDispose]());

const CHANGES = ['D  /etc/gone  4 B', 'M  /etc/hosts  content, mode  18 B', 'A  /srv', 'A  /srv/new  3 B'];

describe('landfall diff', () => {
  test('tells what was added, changed and removed', async () => {
    const { code, out, err } = await at.run('diff', at.names.one, at.names.two);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.split('\n')).toEqual([...CHANGES, '2 added (3 B), 1 changed, 1 removed (4 B)', '']);
  });

  test('the other way round', async () => {
    const { out } = await at.run('diff', at.names.two, at.names.one);
    expect(out.split('\n').slice(0, 4)).toEqual([
      'A  /etc/gone  4 B',
      'M  /etc/hosts  content, mode  18 B',
      'D  /srv',
      'D  /srv/new  3 B',
    ]);
  });

  test.each<[args: string[], code: number, lines: string[]]>([
    [
      ['--times'],
      0,
      [CHANGES[0] ?? '', 'M  /etc/hosts  content, mode, time  18 B', CHANGES[2] ?? '', CHANGES[3] ?? ''],
    ],
    [['--exit-code'], 1, CHANGES],
    [['--exit-code', '/bin'], 0, []],
    [['/srv'], 0, CHANGES.slice(2)],
    [['etc/hosts', '/srv/new/'], 0, [CHANGES[1] ?? '', CHANGES[3] ?? '']],
  ])('%j', async (args, code, lines) => {
    const [flags, paths] = [
      args.filter((one) => one.startsWith('-')),
      args.filter((one) => !one.startsWith('-')),
    ];
    const ran = await at.run('diff', ...flags, at.names.one, at.names.two, ...paths);
    expect(ran.code).toBe(code);
    expect(ran.out.split('\n').slice(0, -2)).toEqual(lines);
  });

  test('of an image and itself', async () => {
    const ran = await at.run('diff', '--exit-code', at.names.one, at.names.one);
    expect(ran).toMatchObject({ code: 0, out: 'no differences\n' });
  });

  test('of two layers', async () => {
    const [below, above] = at.two.manifests[0].layers;
    const { out } = await at.run(
      'diff',
      `${at.names.two}@${below?.digest ?? ''}`,
      `${at.names.two}@${above?.digest ?? ''}`,
      '/etc',
    );
    expect(out.split('\n').slice(0, -2)).toEqual([
      'D  /etc/gone  4 B',
      'M  /etc/hosts  content, mode  18 B',
      'D  /etc/link',
    ]);
  });

  test('in JSON, as documented', async () => {
    const { out } = await at.run('diff', '--output', 'json', at.names.one, at.names.two, '/etc/hosts');
    const shown = JSON.parse(out) as Documented;
    const wanted = documented('diff') as Documented;
    expect(Object.keys(shown)).toEqual(Object.keys(wanted));
    expect(shown.summary).toEqual({
      added: { count: 0, bytes: 0 },
      changed: { count: 1, bytes: 18 },
      removed: { count: 0, bytes: 0 },
    });
    const [[change], [example]] = [shown.changes, wanted.changes];
    expect(Object.keys(change ?? {}).sort()).toEqual(Object.keys(example ?? {}).sort());
    expect(Object.keys(change?.after ?? {}).sort()).toEqual(Object.keys(example?.after ?? {}).sort());
    expect(change).toMatchObject({ change: 'changed', path: '/etc/hosts', aspects: ['content', 'mode'] });
  });
});

interface Documented {
  readonly summary: object;
  readonly changes: readonly { readonly after: object }[];
}
