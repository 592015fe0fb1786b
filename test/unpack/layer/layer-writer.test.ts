import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createResolver } from '../../../src/system/index.js';
import { listing, Sandbox, type ExtractOptions } from '../../support/extract-layer.js';
import { isRoot } from '../../support/needs-root.js';
import { archive } from '../../support/tar-builder.js';
import { ENTRIES } from './entries.js';
import { LINKS } from './links.js';
import { REPLACED } from './replaced.js';
import { SYMLINKS } from './symlinks.js';
import { WHITEOUTS } from './whiteouts.js';
import type { WrittenLayer } from './written-layer.js';

const RESOLVERS = [createResolver({ openat2: true }), createResolver({ openat2: false })];

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => {
  const damage = sandbox.damage();
  sandbox.remove();
  expect(damage).toEqual([]);
});

function check({ parts, tree, changes }: WrittenLayer, o: ExtractOptions): void {
  const found = sandbox.extract(archive(...parts), o);
  const expected = { implied: [''], whiteouts: [], opaques: [], pendingLinks: [], ...changes };
  expect(found.changes).toEqual(expected);
  expect(found.warnings).toEqual([]);
  expect(listing(found.directory)).toEqual(tree);
}

const GROUPS = {
  entries: ENTRIES,
  'something replaced': REPLACED,
  'the way through': SYMLINKS,
  'hard links to': LINKS,
  whiteouts: WHITEOUTS,
};

/** Whether a layer has device nodes, or had one on the way: only root can make them. */
function hasDevices({ name, tree }: WrittenLayer): boolean {
  return name.includes('device') || Object.values(tree).some((line) => /^(?:char|block) /.test(line));
}

describe('LayerWriter', () => {
  for (const resolver of RESOLVERS) {
    for (const [group, rows] of Object.entries(GROUPS)) {
      const possible = isRoot ? rows : rows.filter((row) => !hasDevices(row));
      it.each(possible)(`${group}: $name (${resolver.method})`, (row) => check(row, { resolver }));
    }
  }
});
