import * as fc from 'fast-check';
import { isRoot } from './needs-root.js';
import {
  archive,
  device,
  directory,
  type EntryOptions,
  fifo,
  file,
  hardLink,
  symlink,
} from './tar-builder.js';

/* Random layers over a small name space, so that they meet. Paths are bytes, from the root and without slashes at the ends. */

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds, of which some have halves. */
  readonly time: number;
  readonly xattrs: Readonly<Record<string, string>>;
}

/** One entry of a layer. */
export type Operation =
  | ({ readonly kind: 'file' | 'fifo'; readonly path: string } & Attributes)
  /** `''` is the root. */
  | ({ readonly kind: 'directory'; readonly path: string } & Attributes)
  | ({
      readonly kind: 'device';
      readonly path: string;
      readonly type: 'c' | 'b';
      readonly minor: number;
    } & Attributes)
  | ({ readonly kind: 'symlink'; readonly path: string; readonly target: string } & Attributes)
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'whiteout'; readonly path: string }
  /** Hides all that lower layers have in the directory. */
  | { readonly kind: 'opaque'; readonly path: string }
  /** What aufs left behind, in a directory. */
  | { readonly kind: 'special'; readonly path: string; readonly name: string };

/** Few, so that layers hide, replace and link to what others have. The last is no UTF-8. */
const NAMES = ['a', '\xe9'];
const PATHS = [
  ...NAMES,
  ...NAMES.flatMap((x) => NAMES.map((y) => `${x}/${y}`)),
  ...NAMES.flatMap((x) => NAMES.flatMap((y) => NAMES.map((z) => `${x}/${y}/${z}`))),
];
/** Major number of the devices: of memory, which is harmless to have. */
export const MAJOR = 1;

const path = fc.constantFrom(...PATHS);
const path0 = fc.constantFrom('', ...PATHS);

function attributes(o: { modes: readonly number[]; xattrs: readonly string[] }): fc.Arbitrary<Attributes> {
  return fc.record({
    mode: fc.constantFrom(...o.modes),
    uid: fc.constantFrom(0, 0, 5, 70_000),
    gid: fc.constantFrom(0, 0, 6),
    time: fc.integer({ min: 2, max: 2_000_000 }).map((halves) => halves / 2),
    xattrs: fc.oneof(
      { weight: 3, arbitrary: fc.constant({}) },
      fc.dictionary(fc.constantFrom(...o.xattrs), fc.constantFrom('', 'one', '\x00\xff\n='), { maxKeys: 2 }),
    ),
  });
}

/** Only root sees these, and only on what is neither file nor directory are there no others. */
const TRUSTED = ['trusted.a', 'trusted.b'];
const FILES = { modes: [0o644, 0o600, 0o6755], xattrs: ['user.a', 'user.b', 'trusted.a'] };
const DIRECTORIES = { modes: [0o755, 0o700, 0o1777, 0o2750], xattrs: ['user.a', 'user.b', 'trusted.a'] };

/** Absolute, relative, upwards, and to what no layer has. */
const target = fc.oneof(
  path.map((to) => `/${to}`),
  path,
  fc.constantFrom('..', '../a', '../../b', '/', '.', '/nowhere', 'a/nowhere'),
);

function node<K extends string, A extends object>(
  kind: K,
  paths: fc.Arbitrary<string>,
  more: fc.Arbitrary<A>,
): fc.Arbitrary<{ readonly kind: K; readonly path: string } & A> {
  return fc.tuple(paths, more).map(([at, rest]) => ({ kind, path: at, ...rest }));
}

function operation(o: { readonly devices: boolean }): fc.Arbitrary<Operation> {
  const special = attributes({ modes: [0o644, 0o600], xattrs: TRUSTED });
  const symlinks = fc.tuple(target, attributes({ modes: [0o777], xattrs: TRUSTED }));
  const devices = fc.tuple(
    fc.record({ type: fc.constantFrom('c' as const, 'b' as const), minor: fc.integer({ min: 1, max: 300 }) }),
    special,
  );
  const all: fc.WeightedArbitrary<Operation>[] = [
    { weight: 8, arbitrary: node('file', path, attributes(FILES)) },
    { weight: 5, arbitrary: node('directory', path, attributes(DIRECTORIES)) },
    { weight: 1, arbitrary: node('directory', fc.constant(''), attributes(DIRECTORIES)) },
    {
      weight: 4,
      arbitrary: node(
        'symlink',
        path,
        symlinks.map(([to, rest]) => ({ target: to, ...rest })),
      ),
    },
    { weight: 1, arbitrary: node('fifo', path, special) },
    { weight: 5, arbitrary: node('link', path, fc.record({ target: path })) },
    { weight: 6, arbitrary: node('whiteout', path, fc.constant({})) },
    { weight: 2, arbitrary: node('opaque', path0, fc.constant({})) },
    {
      weight: 1,
      arbitrary: node(
        'special',
        path0,
        fc.record({ name: fc.constantFrom('.wh..wh.aufs', '.wh..wh.orph/x', '.wh..wh.plnk/1.2') }),
      ),
    },
  ];
  if (o.devices) {
    const arbitrary = node(
      'device',
      path,
      devices.map(([which, rest]) => ({ ...which, ...rest })),
    );
    all.push({ weight: 1, arbitrary });
  }
  return fc.oneof(...all);
}

/** Layers, bottom first; what would be a malformed archive is left out of them when the model is run. */
export function layerSequence(
  o: { readonly devices: boolean } = { devices: isRoot },
): fc.Arbitrary<readonly (readonly Operation[])[]> {
  const layer = fc.array(operation(o), { minLength: 1, maxLength: 12, size: 'max' });
  return fc.array(layer, { minLength: 1, maxLength: 5, size: 'max' });
}

/** @param index - of the layer, from 0 */
export function archiveOf(operations: readonly Operation[], index: number): Buffer {
  return archive(...operations.map((operation) => entryOf(operation, index)));
}

function entryOf(o: Operation, index: number): Buffer {
  switch (o.kind) {
    case 'file':
      return file(o.path, contentOf(o.path, index, o.time), optionsOf(o));
    case 'directory':
      return directory(o.path === '' ? './' : `${o.path}/`, optionsOf(o));
    case 'symlink':
      return symlink(o.path, o.target, optionsOf(o));
    case 'fifo':
      return fifo(o.path, optionsOf(o));
    case 'device':
      return device(o.type, o.path, MAJOR, o.minor, optionsOf(o));
    case 'link':
      return hardLink(o.path, o.target);
    case 'whiteout':
      return file(inDirectory(parentOf(o.path), `.wh.${o.path.slice(o.path.lastIndexOf('/') + 1)}`));
    case 'opaque':
      return file(inDirectory(o.path, '.wh..wh..opq'));
    case 'special':
      return file(inDirectory(o.path, o.name));
  }
}

function optionsOf({ mode, uid, gid, time, xattrs }: Attributes): EntryOptions {
  const whole = Math.floor(time);
  return {
    mode,
    uid,
    gid,
    mtime: whole,
    xattrs,
    ...(whole === time ? {} : { pax: { mtime: String(time) } }),
  };
}

export function contentOf(at: string, index: number, time: number): string {
  return `${at} of layer ${index} at ${time}`;
}

export function inDirectory(at: string, name: string): string {
  return at === '' ? name : `${at}/${name}`;
}

export function parentOf(at: string): string {
  return at.slice(0, Math.max(0, at.lastIndexOf('/')));
}
