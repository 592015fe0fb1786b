export type Random = () => number;

/**
 * Numbers from 0 to below 1, the same for the same seed (a linear congruential generator, as in POSIX's
 * drand48).
 */
export function randomNumbers(seed: number): Random {
  let state = (BigInt(seed) << 16n) + 0x330en;
  return () => {
    state = (state * 0x5deece66dn + 0xbn) & ((1n << 48n) - 1n);
    return Number(state) / 2 ** 48;
  };
}

/** Words in lines: it compresses about as source code does, to a quarter. */
export function textLike(random: Random, bytes: number): Buffer {
  const syllables = [
    'ba',
    'con',
    'der',
    'en',
    'fi',
    'get',
    'in',
    'lo',
    'mar',
    'no',
    'port',
    're',
    'set',
    'ti',
    'un',
  ];
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const words = Array.from({ length: 2000 }, () =>
    Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(syllables)).join(''),
  );
  const text = Buffer.alloc(bytes);
  let at = 0;
  while (at < bytes) at += text.write(`${pick(words)}${pick([' ', ' ', ' ', '(', '.', ';\n', ',\n  '])}`, at);
  return text;
}
