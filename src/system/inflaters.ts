import { isLandfallError, LandfallError } from '../errors.js';
import type { Inflater, InflateLibrary } from './inflater.js';
import { bindIsal } from './isal-binding.js';
import { type InflateBinding, NativeInflater } from './native-inflater.js';
import type { Capability } from './probe.js';
import { requireRightInflater } from './require-right-inflater.js';
import { bindZlib } from './zlib-binding.js';

type Found = { readonly binding: InflateBinding } | { readonly failure: unknown };

/** What was found of each, once in a thread. */
const found = new Map<InflateLibrary, Found>();

/** Whether a library inflates here, found by having it inflate a little. Never throws. */
export function probeInflater(library: InflateLibrary): Capability {
  const result = find(library);
  if ('binding' in result)
    return { available: true, detail: 'inflated what is right, refused what is wrong' };
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

/** @throws {LandfallError} UNSUPPORTED where {@link probeInflater} finds that the library does not inflate here */
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
  'isa-l': "Install it (Debian's package is libisal2), or leave the choice to landfall: --inflate auto.",
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
