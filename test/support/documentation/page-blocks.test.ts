import { describe, expect, it } from 'vitest';
import { blocksIn } from './page-blocks.js';

const page = (...lines: string[]): string => lines.join('\n');
const sh = (commands: string): string => `\`\`\`sh\n${commands}\n\`\`\`\n`;
const text = (shown: string): string => `\`\`\`text\n${shown}\n\`\`\`\n`;

describe('blocks of a page', () => {
  it('have the title, the line and the commands', () => {
    expect(blocksIn('p.md', page('# One', '', '## Two', '', sh('a\nb')))).toEqual([
      expect.objectContaining({ title: 'Two', line: 6, commands: 'a\nb', exit: 0, at: 'here', first: [] }),
    ]);
  });

  it('have what the remarks above them say', () => {
    const remarks = page(
      '<!-- first: x -->',
      '<!-- first: y -->',
      '<!-- exit: 6 -->',
      '<!-- stays running -->',
      '',
    );
    expect(blocksIn('p.md', page(remarks, sh('a')))).toEqual([
      expect.objectContaining({ first: ['x', 'y'], exit: 6, staysRunning: true }),
    ]);
  });

  it('are at the machine that was named last', () => {
    const blocks = blocksIn('p.md', page(sh('a'), '<!-- at: far -->', '', sh('b'), sh('c')));
    expect(blocks.map(({ at }) => at)).toEqual(['here', 'far', 'far']);
  });

  it('are not run where that is said, with the reason', () => {
    const blocks = blocksIn('p.md', page('<!-- not run: no cluster -->', '', sh('a'), sh('b')));
    expect(blocks.map(({ notRun }) => notRun)).toEqual(['no cluster', undefined]);
  });

  it.each<[string, string, string | undefined]>([
    ['the text that is next', page(sh('a'), 'prints:', '', text('b')), 'b'],
    ['no text under another title', page(sh('a'), '# Other', '', text('b')), undefined],
    ['no text after a block of something else', page(sh('a'), '```json\n{}\n```', '', text('b')), undefined],
    [
      'no text that is said not to be its',
      page(sh('a'), '<!-- not run: of a pod -->', '', text('b')),
      undefined,
    ],
  ])('show %s', (_, written, shown) => {
    expect(blocksIn('p.md', written)[0]?.shown?.text).toBe(shown);
  });

  it.each([
    ['a block that does not end', '```sh\na', /does not end/],
    ['a remark above no block', '<!-- exit: 6 -->\n\nwords', /above no block/],
  ])('are refused with %s', (_, written, why) => {
    expect(() => blocksIn('p.md', written)).toThrow(why);
  });
});

it('are also those that are indented, where that is asked for', () => {
  const written = page(
    '# One',
    '',
    '- a list',
    '    that goes on',
    '',
    '<!-- exit: 1 -->',
    '',
    '    a',
    '    b',
    '',
    'words',
    '',
  );
  expect(blocksIn('p.md', written.replace('<!-- exit: 1 -->', ''))).toEqual([]);
  expect(blocksIn('p.md', written, { indented: true })).toEqual([
    expect.objectContaining({ line: 8, commands: 'a\nb', exit: 1, title: 'One' }),
  ]);
});
