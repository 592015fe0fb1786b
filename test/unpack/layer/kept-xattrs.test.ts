import { expect, test } from 'vitest';
import { keptXattrs } from '../../../src/unpack/layer/entry-attributes.js';
import type { TarEntry } from '../../../src/unpack/tar/tar-header.js';
import { Warnings } from '../../../src/unpack/terms/layer-fault.js';

function keep(xattrs: Readonly<Record<string, string>>): { kept: string[]; warnings: string[] } {
  const entry: TarEntry = {
    path: 'a',
    type: 'file',
    linkPath: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    major: 0,
    minor: 0,
    xattrs: new Map(Object.entries(xattrs).map(([name, value]) => [name, Buffer.from(value)])),
  };
  const warnings = new Warnings();
  const kept = [...keptXattrs(entry, 10, warnings)].map(([name, value]) => `${name}=${value.toString()}`);
  return { kept, warnings: warnings.list() };
}

test('capabilities of no bytes, which the kernel could not read again, are not kept', () => {
  expect(keep({ 'security.capability': '', 'user.a': '' })).toEqual({
    kept: ['user.a='],
    warnings: ['an empty security.capability is not kept; the first is of "a"'],
  });
});

test('others are kept, in order', () => {
  expect(keep({ 'user.b': 'x', 'security.capability': 'y' })).toEqual({
    kept: ['user.b=x', 'security.capability=y'],
    warnings: [],
  });
});

test.each([{ 'user.a': 'x'.repeat(11) }, { [`user.${'x'.repeat(251)}`]: '' }])('%j is too long', (xattrs) => {
  expect(() => keep(xattrs)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
});
