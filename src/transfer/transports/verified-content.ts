import { addAbortSignal } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type Abortable, ContentError, isLandfallError, throwIfAborted } from '../../errors.js';
import { createDigester, type Descriptor, type Digest, exactSize } from '../../spec/index.js';
import type { OpenContent } from './destination.js';

export interface VerifiedContentOptions extends Abortable {
  /** The bytes that have been taken. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * The bytes of content in order, of which the last are given only when size and digest were found right. A
 * source that breaks is opened again from where it stopped, for as long as each time brings more.
 *
 * Errors: SIZE_MISMATCH, DIGEST_MISMATCH, INVALID_DIGEST (an algorithm that cannot be verified); what `open`
 * and its stream throw; ABORTED.
 */
export async function* verifiedContent(
  descriptor: Descriptor,
  open: OpenContent,
  { signal, onProgress }: VerifiedContentOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const { digest, size } = descriptor;
  const digester = createDigester(digest);
  // One chunk is held back until it is known to be followed by another, or to be right.
  let held: Buffer | undefined;
  let at = 0;
  for (;;) {
    const from = at;
    try {
      throwIfAborted(signal);
      const stream = await open(from);
      for await (const chunk of signal === undefined ? stream : addAbortSignal(signal, stream)) {
        const bytes = chunk as Buffer;
        at += bytes.length;
        if (at > size) throw wrongSize(descriptor, at);
        digester.update(bytes);
        if (held !== undefined) yield held;
        held = bytes;
        onProgress?.(at);
      }
      break;
    } catch (error) {
      throwIfAborted(signal);
      // A source that brings nothing has tried by itself as often as is of use.
      if (at === from || !isLandfallError(error) || !error.retryable) throw error;
    }
  }
  if (at !== size) throw wrongSize(descriptor, at);
  refuseOther(digest, digester.digest());
  if (held !== undefined) yield held;
}

/** All of it at once, for what is small. Errors: as {@link verifiedContent}. */
export async function readVerifiedContent(
  descriptor: Descriptor,
  open: OpenContent,
  o: VerifiedContentOptions = {},
): Promise<Buffer> {
  return await buffer(verifiedContent(descriptor, open, o));
}

function wrongSize({ digest, size }: Descriptor, actual: number): ContentError {
  return new ContentError(
    'SIZE_MISMATCH',
    `${digest} has ${actual > size ? 'more than ' : ''}${exactSize(Math.min(actual, size))}, not ${exactSize(size)} as announced`,
    { details: { digest, expected: size, actual } },
  );
}

function refuseOther(expected: Digest, actual: Digest): void {
  if (actual === expected) return;
  throw new ContentError('DIGEST_MISMATCH', `${expected} reads as ${actual}`, {
    details: { digest: expected, expected, actual },
    hint: 'The copy at the source is damaged or has been altered; do not use it.',
  });
}
