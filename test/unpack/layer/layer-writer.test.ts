import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createResolver, lgetxattr } from '../../../src/system/index.js';
import type { LayerForm } from '../../../src/unpack/layer-snapshotter.js';
import { listing, Sandbox, type ExtractOptions } from '../../support/extract-layer.js';
import { isRoot } from '../../support/needs-root.js';
import { archive } from '../../support/tar-builder.js';
import { ENTRIES } from './entries.js';
import { LINKS } from './links.js';
import { REPLACED } from './replaced.js';
import { SYMLINKS } from './symlinks.js';
import { WHITEOUTS } from './whiteouts.js';
import type { WrittenLayer } from './written-layer.js';

// Only root can write overlay's marks as trusted xattrs, and devices.
const FORMS: readonly LayerForm[] = isRoot ? ['plain', 'overlay', 'userxattr'] : ['plain', 'userxattr'];
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

function check({ parts, tree, changes }: WrittenLayer, form: LayerForm, o: ExtractOptions): void {
  const found = sandbox.extract(archive(...parts), { ...o, form });
  const expected = { implied: [''], whiteouts: [], opaques: [], pendingLinks: [], ...changes };
  expect(found.changes).toEqual(expected);
  expect(found.warnings).toEqual([]);
  const devices = form === 'plain' ? [] : expected.whiteouts.map((path) => [path, 'char 0:0 0'] as const);
  expect(listing(found.directory)).toEqual({ ...tree, ...Object.fromEntries(devices) });
  const opaque = form === 'plain' ? [] : expected.opaques.map((path) => [path, 'y'] as const);
  expect(opaqueMarks(form)).toEqual(Object.fromEntries(opaque));
}

function opaqueMarks(form: LayerForm): Record<string, string> {
  const xattr = form === 'overlay' ? 'trusted.overlay.opaque' : 'user.overlay.opaque';
  const found = Object.entries(listing(sandbox.layer)).filter(([, line]) => line.startsWith('dir '));
  return Object.fromEntries(
    ['', ...found.map(([path]) => path)].flatMap((path) => {
      const value = lgetxattr(`${sandbox.layer}/${path}`, xattr);
      return value === undefined ? [] : [[path, value.toString()]];
    }),
  );
}

const GROUPS = {
  entries: ENTRIES,
  'something replaced': REPLACED,
  'the way through': SYMLINKS,
  'hard links to': LINKS,
  whiteouts: WHITEOUTS,
};

/** Whether a layer has device nodes other than those that stand for whiteouts, or had one on the way. */
function hasDevices({ name, tree }: WrittenLayer): boolean {
  return name.includes('device') || Object.values(tree).some((line) => /^(?:char|block) /.test(line));
}

describe.each(FORMS)('LayerWriter, form %s', (form) => {
  for (const resolver of RESOLVERS) {
    for (const [group, rows] of Object.entries(GROUPS)) {
      const possible = isRoot ? rows : rows.filter((row) => !hasDevices(row));
      it.each(possible)(`${group}: $name (${resolver.method})`, (row) => check(row, form, { resolver }));
    }
  }
});
