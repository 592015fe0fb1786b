import { readFileSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/cli/output/exit-codes.js';
import { GRPC_STATUS } from '../../src/daemon/grpc/calls.js';
import type { ErrorCode } from '../../src/errors.js';
import { isRoot } from '../support/needs-root.js';
import { PROVOCATIONS } from './provocations.js';
import { asOnPage, type Shown, Stage } from './stage.js';
import { SYMPTOMS } from './symptoms.js';

const PAGE = readFileSync('docs/troubleshooting.md', 'utf8');

interface Entry {
  readonly title: string;
  readonly text: string;
  /** What is shown of a terminal. */
  readonly shown: readonly string[];
}

const ENTRIES: readonly Entry[] = PAGE.split(/^### /m)
  .slice(1)
  .map((section) => {
    const [title = '', ...lines] = section.replace(/^## [^]*/m, '').split('\n');
    const text = lines.join('\n');
    return { title, text, shown: [...text.matchAll(/^```text\n([^]*?)\n```$/gm)].map(([, one = '']) => one) };
  });

/** Every code of the program: the tables are exhaustive by type. */
const CODES: readonly string[] = [...Object.keys(EXIT_CODES), 'INTERNAL'];

function isErrorCode(code: string): code is ErrorCode {
  return code in EXIT_CODES;
}

function exitCodeFor(code: string): number {
  return isErrorCode(code) ? EXIT_CODES[code] : 1;
}

function entryOf(title: string): Entry {
  const found = ENTRIES.filter((entry) => entry.title === title);
  if (found[0] === undefined || found.length > 1) throw new Error(`${found.length} entries for ${title}`);
  return found[0];
}

async function shownBy(
  provoke: (stage: Stage) => Promise<Shown>,
): Promise<Shown & { readonly page: string }> {
  await using stage = await Stage.set();
  const shown = await provoke(stage);
  return { ...shown, page: asOnPage(shown, stage) };
}

describe('docs/troubleshooting.md', () => {
  it('has an entry for each code, and none for another', () => {
    const reported = ENTRIES.map(({ title }) => title).filter((title) => /^[A-Z_]{5,}$/.test(title));
    expect(reported.sort()).toEqual([...CODES].sort());
  });

  it.each(CODES)('says with what %s ends', (code) => {
    const { text, shown } = entryOf(code);
    const grpc = isErrorCode(code) ? GRPC_STATUS[code] : status.INTERNAL;
    expect(text).toContain(`\nExit code ${exitCodeFor(code)}, gRPC ${status[grpc]}.\n`);
    expect(shown).toHaveLength(1);
    expect(shown[0]?.split('\n').filter((line) => !line.startsWith('$ ')).length).toBeLessThanOrEqual(3);
  });

  it('lists all of them by exit code', () => {
    const table = /^## By exit code\n([^]*?)^## /m.exec(PAGE)?.[1] ?? '';
    const reported = [...table.matchAll(/^\| (\d+) .*\|$/gm)].map(([row, exit = '']) => [
      Number(exit),
      [...row.matchAll(/\[([A-Z_]+)\]/g)].map(([, code = '']) => code).sort(),
    ]);
    const exits = [...new Set(CODES.map(exitCodeFor))].sort((a, b) => a - b);
    expect(reported).toEqual(
      exits.map((exit) => [exit, CODES.filter((code) => exitCodeFor(code) === exit).sort()]),
    );
  });

  it('shows what is held elsewhere as it is there', () => {
    const [shown = ''] = entryOf('SIGNATURE_INVALID').shown;
    expect(readFileSync('docs/signatures.md', 'utf8')).toContain(`\n${shown}\n`);
  });

  it('provokes all others', () => {
    const provoked = PROVOCATIONS.map(({ code }) => code);
    expect([...provoked, 'SIGNATURE_INVALID'].sort()).toEqual([...CODES].sort());
  });

  const here = PROVOCATIONS.filter(({ needsRoot }) => isRoot || needsRoot !== true);
  it.each(here)('shows $code as it is printed', async ({ code, provoke }) => {
    const { page, exitCode } = await shownBy(provoke);
    expect(entryOf(code).shown).toEqual([page]);
    if (exitCode !== undefined) expect(exitCode).toBe(exitCodeFor(code));
  });

  it.each(SYMPTOMS)('shows “$title” as it is printed', async ({ title, provoke }) => {
    const { page } = await shownBy(provoke);
    expect(entryOf(title).shown).toEqual([page]);
  });
});
