import type { UploadWriter } from '../../content/index.js';
import { isLandfallError } from '../../errors.js';
import { RegistryFault } from '../registry-fault.js';
import { announcedLength, bodyOf } from '../request-body.js';
import type { PushRequest } from './push-request.js';

/**
 * Adds the body of a request to an upload (distribution-spec: Pushing a blob in chunks). A chunk that says where it
 * begins has to begin where the last one ended. When the client goes in the middle, what has come is kept.
 *
 * @throws {RegistryFault} 416 for a chunk out of order, 413 for too much, 400 where the lengths disagree or the client has gone
 */
export async function receiveUpload(
  { request, mostUploadBytes }: PushRequest,
  writer: UploadWriter,
  o: { /** Told to who is to ask again, with a 416. */ readonly where: Readonly<Record<string, string>> },
): Promise<void> {
  const length = announcedLength(request);
  const chunk = readContentRange(request.headers['content-range']);
  if (chunk !== undefined && chunk.start !== writer.size) throw outOfOrder(writer.size, o.where);
  const expected = chunk === undefined ? length : chunk.end - chunk.start + 1;
  if (length !== undefined && expected !== undefined && expected !== length) {
    throw new RegistryFault(400, 'SIZE_INVALID', `the range has ${expected} bytes, and the body ${length}`);
  }
  if (writer.size + (expected ?? 0) > mostUploadBytes) throw await tooLarge(writer, mostUploadBytes);
  const before = writer.size;
  const stop = (): void => void request.destroy();
  writer.superseded.addEventListener('abort', stop);
  try {
    for await (const part of bodyOf(request)) {
      if (writer.size + part.length > mostUploadBytes) throw await tooLarge(writer, mostUploadBytes);
      await writer.append(part);
    }
  } catch (error) {
    if (error instanceof RegistryFault || (isLandfallError(error) && error.code !== 'ABORTED')) throw error;
    throw new RegistryFault(400, 'BLOB_UPLOAD_INVALID', 'the request broke off', { Connection: 'close' });
  } finally {
    writer.superseded.removeEventListener('abort', stop);
  }
  if (expected !== undefined && writer.size - before !== expected) {
    throw new RegistryFault(400, 'SIZE_INVALID', `the body has not the ${expected} bytes of its range`);
  }
}

/** `0-` and the last byte that has come. With none it is `0-0` too, as docker-registry says it. */
export function rangeOf(size: number): string {
  return `0-${Math.max(0, size - 1)}`;
}

/** The specification writes `0-99`; some clients write it as RFC 9110 does, `bytes 0-99/100`. */
function readContentRange(header: string | undefined): { start: number; end: number } | undefined {
  if (header === undefined) return undefined;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/.exec(header.trim());
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || end < start) {
    throw new RegistryFault(400, 'BLOB_UPLOAD_INVALID', 'the Content-Range is malformed');
  }
  return { start, end };
}

function outOfOrder(size: number, where: Readonly<Record<string, string>>): RegistryFault {
  return new RegistryFault(416, 'BLOB_UPLOAD_INVALID', `the next chunk begins at ${size}`, {
    ...where,
    Range: rangeOf(size),
  });
}

/** Nobody will go on with it. */
async function tooLarge(writer: UploadWriter, most: number): Promise<RegistryFault> {
  await writer.discard();
  return new RegistryFault(413, 'SIZE_INVALID', `a blob may have ${most} bytes at most`);
}
