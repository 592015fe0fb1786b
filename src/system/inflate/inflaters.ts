import { isLandfallError, LandfallError } from '../../errors.js';
import {
  bindIsal,
  bindZlib,
  type InflateBinding,
  InflateError,
  type InflateLibrary,
  type Inflater,
  NativeInflater,
} from './inflater.js';
import type { Capability } from '../probe.js';

type Found = { readonly binding: InflateBinding } | { readonly failure: unknown };

/** What was found of each, once in a thread. */
const found = new Map<InflateLibrary, Found>();

/** Whether a library inflates here, found by having it inflate a little. Never throws. */
export function probeInflater(library: InflateLibrary): Capability {
  const result = find(library);
  if ('binding' in result) return { available: true, detail: 'inflated right data, refused wrong data' };
  const { failure } = result;
  const [reason = ''] = (failure instanceof Error ? failure.message : String(failure)).split('\n');
  return { available: false, detail: reason };
}

/**
 * An inflater over a library; whoever asked for it closes it.
 *
 * @throws {LandfallError} as {@link requireInflater}
 */
export function createInflater(library: InflateLibrary): Inflater {
  return new NativeInflater(requireInflater(library));
}

/**
 * @throws {LandfallError} UNSUPPORTED where {@link probeInflater} finds that the library does not inflate
 *   here
 */
export function requireInflater(library: InflateLibrary): InflateBinding {
  const result = find(library);
  if ('binding' in result) return result.binding;
  // Nothing is called here at all, which another library would not change.
  if (isLandfallError(result.failure)) throw result.failure;
  throw new LandfallError('UNSUPPORTED', `${NAMES[library]} cannot be used on this machine`, {
    cause: result.failure,
    hint: HINTS[library],
  });
}

const NAMES: Readonly<Record<InflateLibrary, string>> = { 'isa-l': 'ISA-L', zlib: "Node's zlib" };
const HINTS: Readonly<Record<InflateLibrary, string>> = {
  'isa-l':
    "Install it (Debian's package is libisal2, of 2.24 to 2.32), or leave the choice to landfall: --inflate auto.",
  zlib: 'Leave the choice to landfall: --inflate auto.',
};

function find(library: InflateLibrary): Found {
  const known = found.get(library);
  if (known !== undefined) return known;
  const result = tryLibrary(library);
  found.set(library, result);
  return result;
}

function tryLibrary(library: InflateLibrary): Found {
  try {
    const binding = bind(library);
    requireRightInflater(new NativeInflater(binding));
    return { binding };
  } catch (failure) {
    return { failure };
  }
}

function bind(library: InflateLibrary): InflateBinding {
  switch (library) {
    case 'isa-l':
      return bindIsal();
    case 'zlib':
      return bindZlib();
  }
}

interface Sample {
  /** What stands in a member after its header. */
  readonly member: Buffer;
  readonly content: Buffer;
}

/**
 * One block of each kind (RFC 1951 section 3.2.3): stored, with fixed codes, with codes of its own and
 * references back.
 */
const SAMPLES: readonly Sample[] = [
  {
    member: Buffer.from('010800f7ff6c616e6466616c6c7b92ff4b08000000', 'hex'),
    content: Buffer.from('landfall'),
  },
  { member: Buffer.from('cb49cc4b494bccc901007b92ff4b08000000', 'hex'), content: Buffer.from('landfall') },
  {
    member: Buffer.from(
      'TZIxbgQxCEWvMgdIAXwww3G2iJRiq02V20fyt82U/kLwHvj9+vv+XHL9vH4v+bre86nzCd1vm2813wFmYFk78Bl4jR3EDDJj' +
        'B4M9VE9JMgk9XW4mdZ9BxUGhh0VlwUnjLt6MriKy+zitlNBhOPOU2EPyQCnBRzW5Ej0LXUX2u6J7LXgR75G1pat3KXuZLWAU' +
        'UIzsurX0EDn9jAo6UGeu0UHzjoNnsRaJtjBamNSjjhpm8ehHD3M85q4zDGk+yP4D7QF6WGX7wta9svcCegDZ+wM9EHevGbEO' +
        '+7gG6OGifTTQw837trjXD8j+AqCHp4b+AwlDfRL5AgAA',
      'base64',
    ),
    content: Buffer.from(
      Array.from({ length: 40 }, (_, i) => `layer ${i} has ${i * i * 31}`).join(', '),
      'latin1',
    ),
  },
];

/** Of CRC32 and ISIZE, counted from the end. */
const TRAILER_AT = [8, 4] as const;

/**
 * Holds an inflater, and by it the library and what is known of its struct, against a few members, and closes
 * it.
 *
 * @throws Error where it does what it should not
 */
export function requireRightInflater(inflater: Inflater & { readonly isContained: boolean }): void {
  try {
    for (const sample of SAMPLES) {
      for (const step of [3, 4096]) requireContent(inflater, sample, step);
      requireRefused(inflater, sample);
    }
    if (!inflater.isContained) throw new Error('it is a version whose state is larger than is known');
  } finally {
    inflater.close();
  }
}

/** @param step - bytes of input and of output at a time */
function requireContent(inflater: Inflater, { member, content }: Sample, step: number): void {
  const { bytes, ended } = inflateAll(inflater, member, step);
  if (!ended || !bytes.equals(content)) throw new Error('it inflates a sample to something else');
}

function requireRefused(inflater: Inflater, { member }: Sample): void {
  if (inflateAll(inflater, member.subarray(0, -1), 4096).ended) throw new Error('it accepts truncated data');
  for (const at of TRAILER_AT) {
    const damaged = Buffer.from(member);
    const place = damaged.length - at;
    damaged.writeUInt8(damaged.readUInt8(place) ^ 1, place);
    if (!isRefused(inflater, damaged)) throw new Error('it does not verify what it inflates');
  }
}

function isRefused(inflater: Inflater, member: Buffer): boolean {
  try {
    inflateAll(inflater, member, 4096);
    return false;
  } catch (error) {
    if (error instanceof InflateError) return true;
    throw error;
  }
}

/** Goes on until the member has ended, or nothing happens any more. */
function inflateAll(
  inflater: Inflater,
  member: Buffer,
  step: number,
): { readonly bytes: Buffer; readonly ended: boolean } {
  const output = Buffer.alloc(step);
  const parts: Buffer[] = [];
  inflater.begin();
  for (let at = 0; ;) {
    const { consumed, produced, ended } = inflater.step(member.subarray(at, at + step), output);
    at += consumed;
    parts.push(Buffer.from(output.subarray(0, produced)));
    if (ended || (consumed === 0 && produced === 0)) return { bytes: Buffer.concat(parts), ended };
  }
}
