import type { BytePath } from '../../src/system/index.js';
import type { Random } from './random.js';

/** What a path is made of: a few names that meet again and again, and all that has a meaning to somebody. */
const PLAIN: readonly BytePath[] = ['a', 'b', 'c', 'd', 'etc', 'link', 'passwd'];
const NASTY: readonly BytePath[] = [
  '..',
  '.',
  '',
  '...',
  '.wh.',
  '.wh.a',
  '.wh.b',
  '.wh.link',
  '.wh..',
  '.wh...',
  '.wh..wh.',
  '.wh..wh.a',
  '.wh..wh..opq',
  '.wh..wh.plnk',
  'n'.repeat(99),
  'n'.repeat(100),
  'n'.repeat(255),
  'n'.repeat(256),
  '\xff\xfe',
  '\xc3\xa9',
  'e\xcc\x81',
  '\xe2\x80\xae',
  '\x1b[2J',
  'a\nb',
  'a\0b',
  '\\',
  ':',
  ',',
  'lowerdir=a',
  '-rf',
  '~',
  '$(a)',
  '.landfall-',
  '__proto__',
  'constructor',
];

/** A sandbox's directory outside of all layers, wherever that lies: it is in the working directory. */
export const OUTSIDE_DIRECTORY: BytePath = '/proc/self/cwd/outside';

/**
 * Places outside, by each way that somebody could think of; all of them lie in the sandbox, since whatever is
 * broken when this runs must not break the machine.
 */
export const OUTSIDE: readonly BytePath[] = [
  OUTSIDE_DIRECTORY,
  '/proc/self/cwd/outside/sentinel',
  '/proc/self/cwd/outside/directory',
  '/proc/self/cwd',
  '/proc/self/cwd/outside/link',
  '/proc/thread-self/cwd/outside/sentinel',
  '../outside',
  '../outside/sentinel',
  '../../outside/sentinel',
  '../../../../../../../../outside/sentinel',
  'a/../../outside/sentinel',
  '..',
  '../..',
  'link/..',
  'link/../outside/sentinel',
  'link/sentinel',
];

export function component(random: Random): BytePath {
  return random.chance(0.8) ? random.pick(PLAIN) : random.pick(NASTY);
}

export function path(random: Random): BytePath {
  if (random.chance(0.05)) return random.pick(OUTSIDE);
  const depth = random.chance(0.004) ? random.pick([40, 300, 1023, 1024, 1025, 2100]) : random.between(1, 4);
  const parts = Array.from({ length: depth }, () => (depth > 4 ? random.pick(PLAIN) : component(random)));
  const joined = parts.join('/');
  if (random.chance(0.04)) return `/${joined}`;
  if (random.chance(0.04)) return `./${joined}`;
  return random.chance(0.04) ? `${joined}/` : joined;
}

/** Where a symlink or a hard link leads. */
export function target(random: Random): BytePath {
  if (random.chance(0.25)) return random.pick(OUTSIDE);
  if (random.chance(0.02)) return 't'.repeat(random.pick([4094, 4095, 4096, 5000]));
  return path(random);
}

/** Text or bytes where text or bytes are expected. */
export function value(random: Random): Buffer {
  switch (random.below(5)) {
    case 0:
      return random.bytes(random.between(0, 40));
    case 1:
      return Buffer.from(path(random), 'latin1');
    case 2:
      return Buffer.from(random.pick(NASTY), 'latin1');
    case 3:
      return Buffer.from(String(number(random)));
    default:
      return Buffer.from(decimal(random));
  }
}

/** Numbers at the borders of what fits somewhere. */
const BORDERS: readonly number[] = [
  0,
  1,
  2,
  7,
  0o7777,
  0o10000,
  511,
  512,
  513,
  1000,
  65_535,
  65_536,
  2 ** 21 - 1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 2,
  2 ** 32 - 1,
  2 ** 32,
  8 ** 11 - 1,
  2 ** 39,
  2 ** 39 + 1,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 60,
  2 ** 63,
  -1,
  -2,
  -(2 ** 31),
  -(2 ** 53),
];

export function number(random: Random): number {
  return random.chance(0.5) ? random.pick(BORDERS) : random.below(2000);
}

/** What stands where pax expects a decimal number or a time. */
export function decimal(random: Random): string {
  const plain = BigInt(number(random)).toString();
  return random.pick([
    plain,
    `${plain}.5`,
    `${plain}.123456789012`,
    `-${plain}`,
    `${plain}.`,
    `.${plain}`,
    `+${plain}`,
    `0${plain}`,
    `0x${plain}`,
    ` ${plain}`,
    `${plain}e3`,
    '9'.repeat(30),
    '',
    'NaN',
    '-0',
    '-0.0000000001',
  ]);
}
