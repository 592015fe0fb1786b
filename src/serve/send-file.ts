import type { ServerResponse } from 'node:http';

import { type BlobFileStream, BLOB_CHUNK_BYTES } from '../content/index.js';

/** So many that are not in use are kept, in bytes of {@link BLOB_CHUNK_BYTES} each: 16 MiB. */
const MOST_SPARE = 64;

/** Buffers that no connection is writing from. Making one for each part of a blob costs more than copying the part. */
const spare: Buffer[] = [];

/**
 * Sends a file as the body of an answer, one part at a time: the next is read when the connection has taken the last, so
 * that a client which takes long holds one buffer. Half the time that a stream of fresh buffers takes.
 *
 * @param onBytes told of every part that was given to the connection
 * @throws what reading throws, or an error where the client has gone; the file is closed in any case
 */
export async function sendFile(
  file: BlobFileStream,
  response: ServerResponse,
  onBytes: (length: number) => void,
): Promise<void> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(BLOB_CHUNK_BYTES);
  let inUse = false;
  try {
    for (;;) {
      const length = await file.readNext(buffer);
      if (length === 0) break;
      onBytes(length);
      inUse = true;
      await write(response, buffer.subarray(0, length));
      inUse = false;
    }
    await end(response);
  } finally {
    file.destroy();
    // What a broken connection has not written may still be looked at.
    if (!inUse && spare.length < MOST_SPARE) spare.push(buffer);
  }
}

function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  return untilDone(response, (done) => response.write(chunk, done));
}

function end(response: ServerResponse): Promise<void> {
  return untilDone(response, (done) => response.end(done));
}

/** Resolves when the connection has taken what was given to it; rejects when it ends before. */
function untilDone(
  response: ServerResponse,
  give: (done: (error?: Error | null) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error('the client has gone'));
    if (response.destroyed || response.closed) {
      gone();
      return;
    }
    response.once('close', gone);
    give((error) => {
      response.off('close', gone);
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}
