import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const PAGE = readFileSync('docs/security.md', 'utf8');

/** The rows of the tables whose head ends with this column. */
function rowsUnder(column: string): string[] {
  const tables = PAGE.matchAll(/^\|(?<head>.*)\|\n\|[-| ]+\|\n(?<rows>(?:\|.*\|\n)+)/gm);
  return [...tables].flatMap(({ groups = {} }) => {
    const last = groups['head']?.split('|').at(-1)?.trim();
    return last === column ? (groups['rows'] ?? '').trim().split('\n') : [];
  });
}

/** The files of the repository that a text names; the package has none of them, so they are no links. */
function filesOf(text: string): string[] {
  return [...text.matchAll(/`((?:test|src|scripts)\/[^`\s]+|package-lock\.json)`/g)].map(
    ([, path = '']) => path,
  );
}

describe('docs/security.md', () => {
  it('names for each claim what holds it', () => {
    const rows = rowsUnder('tested by');
    expect(rows.length).toBeGreaterThan(30);
    for (const row of rows) {
      const held = filesOf(row.split(' | ').at(-1) ?? '');
      expect(held, row).not.toEqual([]);
    }
  });

  it('promises nothing, outside of two sections, without what holds it', () => {
    const [, ...sections] = PAGE.split(/^## /m);
    const promising = sections.filter((text) => !/^(?:Trust|Not defended)\n/.test(text));
    expect(promising).toHaveLength(sections.length - 2);
    for (const section of promising) {
      const [title = '', ...blocks] = section.split(/\n\n+/);
      // Paragraphs; rows of tables are looked at one by one, and commands promise nothing.
      for (const block of blocks.filter((text) => !/^(?:\||#| {4}|$)/.test(text))) {
        const held = filesOf(block).filter((path) => path.startsWith('test/'));
        expect(held, `${title}: ${block}`).not.toEqual([]);
      }
    }
  });

  it('names nothing that is not there', () => {
    const files = filesOf(PAGE);
    expect(files.length).toBeGreaterThan(50);
    expect(files.filter((path) => !existsSync(path))).toEqual([]);
  });

  it('says which packages run a script when they are installed', () => {
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
      packages: Record<string, { dev?: boolean; hasInstallScript?: boolean }>;
    };
    const running = Object.entries(lock.packages)
      .filter(([path, { dev, hasInstallScript }]) => path !== '' && hasInstallScript === true && dev !== true)
      .map(([path]) => path.replace('node_modules/', ''));
    expect(running.sort()).toEqual(['koffi']);
    for (const name of running)
      expect(PAGE).toMatch(new RegExp(`scripts that run at installation: .*${name}`));
  });

  it('says which of them download a binary that the lock has no digest of', () => {
    const scriptOf = (name: string): string => {
      const { scripts } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as {
        scripts?: Record<string, string>;
      };
      return scripts?.['install'] ?? '';
    };
    const running = ['koffi', 'protobufjs', 'sqlite3', 'zstd-napi'];
    const downloading = running.filter((name) => scriptOf(name).includes('prebuild-install'));
    expect(downloading).toEqual(['sqlite3', 'zstd-napi']);
    expect(PAGE).toContain('The scripts of sqlite3 and zstd-napi run `prebuild-install`');
  });
});
