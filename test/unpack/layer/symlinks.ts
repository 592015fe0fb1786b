import { directory, file, symlink } from '../../support/tar-builder.js';
import { OPQ, type WrittenLayer } from './written-layer.js';

/** Ways through symlinks of the layer. */
export const SYMLINKS: readonly WrittenLayer[] = [
  {
    name: 'a symlink of the layer',
    parts: [directory('usr/lib'), symlink('lib', 'usr/lib'), file('lib/f', 'x')],
    tree: { usr: 'dir 755', 'usr/lib': 'dir 755', 'usr/lib/f': 'file 644 x', lib: 'symlink usr/lib' },
    changes: { implied: ['', 'usr'] },
  },
  {
    name: 'an absolute symlink, from the root of the layer',
    parts: [directory('usr'), symlink('s', '/usr'), file('s/f', 'x')],
    tree: { usr: 'dir 755', 'usr/f': 'file 644 x', s: 'symlink /usr' },
  },
  {
    name: 'an absolute symlink deeper down',
    parts: [directory('usr'), symlink('d/s', '/usr'), file('d/s/f', 'x')],
    tree: { usr: 'dir 755', 'usr/f': 'file 644 x', d: 'dir 755', 'd/s': 'symlink /usr' },
    changes: { implied: ['', 'd'] },
  },
  {
    name: 'a symlink with .. that stays within',
    parts: [directory('a/b'), directory('c'), symlink('a/b/s', '../../c'), file('a/b/s/f', 'x')],
    tree: { a: 'dir 755', 'a/b': 'dir 755', 'a/b/s': 'symlink ../../c', c: 'dir 755', 'c/f': 'file 644 x' },
    changes: { implied: ['', 'a'] },
  },
  {
    name: 'a dangling symlink, whose target is made',
    parts: [symlink('s', 'to/here'), file('s/d/f', 'x')],
    tree: {
      s: 'symlink to/here',
      to: 'dir 755',
      'to/here': 'dir 755',
      'to/here/d': 'dir 755',
      'to/here/d/f': 'file 644 x',
    },
    changes: { implied: ['', 'to', 'to/here', 'to/here/d'] },
  },
  {
    name: 'a chain of symlinks',
    parts: [symlink('a', 'b'), symlink('b', '/c'), symlink('c', 'd'), directory('d'), file('a/f', 'x')],
    tree: { a: 'symlink b', b: 'symlink /c', c: 'symlink d', d: 'dir 755', 'd/f': 'file 644 x' },
  },
  {
    name: 'a dangling symlink that goes back through another',
    parts: [directory('d'), symlink('t', 'd'), symlink('s', 'missing/../t/e'), file('s/f', 'x')],
    tree: {
      d: 'dir 755',
      t: 'symlink d',
      s: 'symlink missing/../t/e',
      missing: 'dir 755',
      'd/e': 'dir 755',
      'd/e/f': 'file 644 x',
    },
    changes: { implied: ['', 'd/e', 'missing'] },
  },
  {
    name: 'a symlink that leads elsewhere later',
    parts: [symlink('s', 'a'), file('s/f', '1'), symlink('s', 'b'), file('s/f', '2')],
    tree: { s: 'symlink b', a: 'dir 755', 'a/f': 'file 644 1', b: 'dir 755', 'b/f': 'file 644 2' },
    changes: { implied: ['', 'a', 'b'] },
  },
  {
    name: 'whiteouts below a symlink, which they do not go through',
    parts: [directory('d'), symlink('s', 'd'), file('s/.wh.gone'), file(`s/${OPQ}`)],
    tree: { d: 'dir 755', s: 'symlink d' },
  },
];
