import { paxRecord } from '../support/tar-builder.js';
import { BLOCK, contentOf, FIELDS, partsOf, repairChecksum, withContent } from './archive-parts.js';
import { number, path, target, value } from './nasty.js';
import { paxPair } from './pax-words.js';
import { lyingEntry, randomEntry } from './random-layer.js';
import type { Random } from './random.js';

/** Changes an archive in one to four places, from whole entries down to single bits. */
export function mutateArchive(archive: Buffer, random: Random): Buffer {
  let parts = partsOf(archive);
  for (let count = random.between(1, 4); count > 0; count--) parts = mutateParts(parts, random);
  const mutated = Buffer.concat(parts);
  return random.chance(0.15) ? mutateBytes(mutated, random) : mutated;
}

function mutateParts(parts: Buffer[], random: Random): Buffer[] {
  if (parts.length === 0) return [randomEntry(random)];
  const at = random.below(parts.length);
  const part = parts[at] ?? Buffer.alloc(0);
  const other = parts[random.below(parts.length)] ?? part;
  switch (random.below(12)) {
    case 0:
      return parts.toSpliced(at, 1);
    case 1:
      return parts.toSpliced(at, 0, other);
    case 2:
      return parts.toSpliced(at, 1, other, part);
    case 3:
      return parts.toSpliced(at, 0, random.chance(0.5) ? randomEntry(random) : lyingEntry(random));
    case 4:
      return parts.toSpliced(at, 0, Buffer.alloc(BLOCK * random.between(1, 3)));
    case 5:
      return parts.toSpliced(at, 1, mutateContent(part, random));
    case 6:
      // The next header stands where this one's content should be.
      return parts.toSpliced(at, 1, part.subarray(0, BLOCK));
    default:
      return parts.toSpliced(at, 1, mutateHeader(part, random));
  }
}

function mutateHeader(part: Buffer, random: Random): Buffer {
  if (part.length < BLOCK) return part;
  const mutated = Buffer.from(part);
  for (let count = random.between(1, 3); count > 0; count--) mutateField(mutated, random);
  if (random.chance(0.93)) repairChecksum(mutated);
  return mutated;
}

const TYPEFLAGS = '\x0001234567xgLKSDMNVAX8Z \xff'.split('');

function mutateField(header: Buffer, random: Random): void {
  const name = random.pick(Object.keys(FIELDS));
  const [offset, length] = FIELDS[name] ?? [0, 0];
  const field = header.subarray(offset, offset + length);
  switch (name) {
    case 'typeflag':
      field.write(random.pick(TYPEFLAGS), 0, 'latin1');
      return;
    case 'name':
    case 'prefix':
      fill(field, path(random));
      return;
    case 'linkname':
      fill(field, target(random));
      return;
    case 'magic':
      fill(field, random.pick(['ustar\x0000', 'ustar  \0', 'ustar\0', 'Ustar', '']));
      return;
    case 'starMagic':
      fill(field, 'tar\0');
      return;
    default:
      mutateNumber(field, random);
  }
}

function mutateNumber(field: Buffer, random: Random): void {
  const wanted = number(random);
  switch (random.below(6)) {
    case 0:
    case 1:
      fill(field, `${Math.abs(wanted).toString(8)}${random.pick(['\0', ' ', ''])}`);
      return;
    case 2:
      base256(field, BigInt(wanted));
      return;
    case 3:
      fill(field, value(random).toString('latin1'));
      return;
    case 4:
      field.fill(random.pick([0, 0x20, 0x37, 0x80, 0xff]));
      return;
    default:
      fill(
        field,
        Math.abs(wanted)
          .toString(8)
          .padStart(field.length, random.pick(['0', ' '])),
      );
  }
}

function fill(field: Buffer, text: string): void {
  field.fill(0);
  field.write(text.slice(0, field.length), 0, 'latin1');
}

function base256(field: Buffer, wanted: bigint): void {
  let rest = wanted;
  for (let i = field.length - 1; i >= 0; i--) {
    field[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  field[0] = (field[0] ?? 0) | 0x80;
}

/** Content that is read as headers are, or that somebody counts on. */
function mutateContent(part: Buffer, random: Random): Buffer {
  const content = contentOf(part);
  const typeflag = part.toString('latin1', 156, 157);
  if ((typeflag === 'x' || typeflag === 'g') && random.chance(0.8)) {
    return withContent(part, mutatePax(content, random));
  }
  return withContent(part, random.chance(0.5) ? mutateBytes(content, random) : value(random));
}

/** A pax header with other records, or with broken ones. */
export function mutatePax(content: Buffer, random: Random): Buffer {
  const records = content.toString('latin1').split('\n');
  const at = random.below(records.length);
  const record = records[at] ?? '';
  switch (random.below(7)) {
    case 0:
      return joined(records.toSpliced(at, 1));
    case 1:
      return joined(records.toSpliced(at, 0, record));
    case 2: {
      const [key, text] = paxPair(random);
      return joined(records.toSpliced(at, 1, paxRecord(key, text).toString('latin1').slice(0, -1)));
    }
    case 3:
      return joined(
        records.toSpliced(at, 1, `${Math.abs(number(random))}${record.slice(record.indexOf(' '))}`),
      );
    case 4:
      return joined(records.toSpliced(at, 1, record.replace('=', random.pick(['', ' ', '==', '\0']))));
    case 5:
      return Buffer.concat([content, value(random)]);
    default:
      return mutateBytes(content, random);
  }
}

function joined(records: readonly string[]): Buffer {
  return Buffer.from(records.join('\n'), 'latin1');
}

/** Changes that know nothing of any structure. */
export function mutateBytes(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return random.bytes(random.below(20));
  const at = random.below(bytes.length);
  const count = random.between(1, random.pick([1, 4, 600]));
  switch (random.below(6)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(count), bytes.subarray(at)]);
    case 3:
      return Buffer.concat([bytes, random.chance(0.5) ? random.bytes(count) : Buffer.alloc(count)]);
    default: {
      const flipped = Buffer.from(bytes);
      for (let flips = random.between(1, 8); flips > 0; flips--) {
        const where = random.below(flipped.length);
        flipped[where] = (flipped[where] ?? 0) ^ (1 << random.below(8));
      }
      return flipped;
    }
  }
}
