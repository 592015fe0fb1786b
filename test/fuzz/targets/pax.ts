import { parsePax, paxName, paxNumber, paxTime } from '../../../src/unpack/tar/extended-headers.js';
import { paxRecord } from '../../support/tar-builder.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { mutatePax } from '../mutate-archive.js';
import { paxPair } from '../pax-words.js';
import { checkSame, outcomeOfSync, Violation } from '../violation.js';

/** pax headers alone: what is read of one, written and read again, is the same. */
export const paxTarget: FuzzTarget = {
  name: 'pax',
  weight: 10,
  isPure: true,
  generate: (random) => {
    const pairs = Array.from({ length: random.below(8) }, () => paxPair(random));
    let bytes: Buffer = Buffer.concat(pairs.map(([key, text]) => paxRecord(key, text)));
    for (let count = random.below(3); count > 0; count--) bytes = mutatePax(bytes, random);
    return { layers: [bytes] };
  },
  check: ({ layers: [bytes = Buffer.alloc(0)] }) => {
    const parsed = outcomeOfSync(() => parsePax(bytes));
    if (!('done' in parsed)) return;
    const { values, sparsePairs } = parsed.done;
    const written = Buffer.concat([...values].map(([key, text]) => paxRecord(key, text)));
    checkSame('the values written again', shown(values), shown(parsePax(written).values));
    const total = [...values.values(), ...sparsePairs].reduce((sum, text) => sum + text.length, 0);
    if (total > bytes.length) throw new Violation('wrong', 'more values than the header has bytes');
    for (const [key, text] of values) checkValue(key, text);
  },
};

function checkValue(key: string, text: Buffer): void {
  outcomeOfSync(() => paxName(text, 'path'));
  const number = outcomeOfSync(() => paxNumber(text, 'size'));
  if ('done' in number && !(Number.isSafeInteger(number.done) && number.done >= 0)) {
    throw new Violation('wrong', `${key} is read as the number ${number.done}`);
  }
  const time = outcomeOfSync(() => paxTime(text, 'mtime'));
  if (!('done' in time)) return;
  const { seconds, nanoseconds } = time.done;
  if (!Number.isSafeInteger(seconds) || nanoseconds < 0 || nanoseconds > 999_999_999) {
    throw new Violation('wrong', `${key} is read as the time ${seconds} and ${nanoseconds} ns`);
  }
}

function shown(values: ReadonlyMap<string, Buffer>): string[] {
  return [...values].map(([key, text]) => `${key}=${text.toString('latin1')}`);
}
