import { type Capability, type InflateLibrary, probeInflater, requireInflater } from '../../system/index.js';

/** What gzip layers are inflated by; `auto` is ISA-L where it works, and zlib elsewhere. */
export type InflateChoice = 'auto' | 'zlib' | 'isa-l';

/** `zlib-stream` is zlib where it cannot be called as a library. */
export type GzipDecompressor = InflateLibrary | 'zlib-stream';

/**
 * What a choice comes to on this machine.
 *
 * @throws {LandfallError} as {@link requireInflate}
 */
export function gzipDecompressor(choice: InflateChoice): GzipDecompressor {
  requireInflate(choice);
  if (choice !== 'zlib' && probeInflater('isa-l').available) return 'isa-l';
  return probeInflater('zlib').available ? 'zlib' : 'zlib-stream';
}

/**
 * Refuses a choice that this machine does not have, before anything is done that would be in vain.
 *
 * @throws {LandfallError} UNSUPPORTED
 */
export function requireInflate(choice: InflateChoice): void {
  if (choice === 'isa-l') requireInflater('isa-l');
}

/** Whether each of the libraries inflates here. Never throws. */
export function probeInflate(): Readonly<Record<InflateLibrary, Capability>> {
  return { 'isa-l': probeInflater('isa-l'), zlib: probeInflater('zlib') };
}
