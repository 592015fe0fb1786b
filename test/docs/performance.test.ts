import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const PAGE = readFileSync('docs/performance.md', 'utf8');

interface Figure {
  readonly median: number;
  readonly minimum: number;
  readonly maximum: number;
}

interface Contestant {
  readonly name: string;
  readonly figures: { readonly wall: Figure; readonly cpu: Figure; readonly peak: Figure };
}

const { cases, machine } = JSON.parse(readFileSync('docs/benchmark.json', 'utf8')) as {
  cases: readonly { readonly id: string; readonly contestants: readonly Contestant[] }[];
  machine: { readonly cores: number; readonly node: string };
};

function seconds({ median, minimum, maximum }: Figure): string {
  return `${median.toFixed(2)} s (${minimum.toFixed(2)} to ${maximum.toFixed(2)})`;
}

/** The rows of a case, as the page is to have them. */
function rowsOf(contestants: readonly Contestant[]): string[][] {
  return contestants.map(({ name, figures: { wall, cpu, peak } }) => [
    name,
    seconds(wall),
    `${cpu.median.toFixed(2)} s`,
    `${Math.round(peak.median / 1e6)} MB`,
  ]);
}

/** The table behind a mark, without its head. */
function tableAt(mark: string): string[][] {
  const [, lines = ''] = new RegExp(`^<!-- ${mark} -->\\n\\n((?:\\|.*\\n)+)`, 'm').exec(PAGE) ?? [];
  return lines
    .trim()
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

describe('docs/performance.md', () => {
  it.each(cases)('has of case $id what was measured', ({ id, contestants }) => {
    expect(tableAt(`figures: ${id}`)).toEqual(rowsOf(contestants));
  });

  it('says on what it was measured', () => {
    const flat = PAGE.replaceAll(/\s+/g, ' ');
    expect(flat).toContain(`on ${machine.cores} cores of an AMD EPYC with Node.js ${machine.node.slice(1)}`);
  });

  it.each(
    [...PAGE.matchAll(/^\| (.*?) +\| (.*?) +\| \[internals\/decisions\/.*\]\((.*)\) +\|$/gm)].map(
      ([, question = '', figures = '', file = '']) => ({ question, figures, file }),
    ),
  )('takes “$question” from a decision', ({ figures, file }) => {
    const decision = readFileSync(`docs/${file}`, 'utf8');
    for (const figure of figures.match(/\d[\d.,]*\d|\d+(?= ms| µs)/g) ?? [])
      expect(decision).toContain(figure);
  });

  it('names no option that there is not', () => {
    const cli = readFileSync('docs/cli.md', 'utf8');
    const [, section = ''] = /^## What can be set\n([^]*?)^## /m.exec(PAGE) ?? [];
    const options = section.match(/^\| `(--[a-z-]+)/gm) ?? [];
    expect(options.length).toBeGreaterThan(5);
    for (const option of options) expect(cli).toContain(option.replace('| `', '`'));
  });
});
