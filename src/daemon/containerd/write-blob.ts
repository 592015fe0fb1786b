import { randomUUID } from 'node:crypto';
import type { BlobProvider } from '../../content/index.js';
import { readVerified } from '../../engine/index.js';
import { LIMITS } from '../../spec/index.js';
import type { ContainerdCallOptions, ContainerdConnection } from './connection.js';
import { isAlreadyThere, unlessMissing } from './containerd-error.js';
import { hasLabels } from './labels.js';
import type { WriteContentRequest } from './messages.js';
import type { WantedBlob } from './wanted.js';

/** Bytes of one message, well below the most that containerd takes. */
const MESSAGE_BYTES = 1024 * 1024;

/** Whether containerd has a blob with its labels. */
export async function hasBlob(
  connection: ContainerdConnection,
  { descriptor, labels }: WantedBlob,
  o: ContainerdCallOptions,
): Promise<boolean> {
  const found = await connection
    .call('content/Info', { digest: descriptor.digest }, o)
    .catch((error: unknown) => unlessMissing(error));
  const info = found?.info ?? undefined;
  return info !== undefined && hasLabels(info.labels, labels);
}

/**
 * Writes a small blob of a store to containerd's content store, or gives one that is there its labels; under the lease either way.
 * Errors: those of a call, and of reading the blob.
 */
export async function writeBlob(
  connection: ContainerdConnection,
  content: BlobProvider,
  blob: WantedBlob,
  o: ContainerdCallOptions,
): Promise<void> {
  const { descriptor, labels } = blob;
  const bytes = await readVerified(content, descriptor, LIMITS.configBytes);
  try {
    await connection.write(messagesOf(blob, bytes), o);
  } catch (error) {
    if (!isAlreadyThere(error)) throw error;
    const paths = Object.keys(labels).map((label) => `labels.${label}`);
    if (paths.length === 0) return;
    const info = { digest: descriptor.digest, labels };
    await connection.call('content/Update', { info, updateMask: { paths } }, o);
  }
}

function* messagesOf({ descriptor, labels }: WantedBlob, bytes: Buffer): Iterable<WriteContentRequest> {
  const ref = `landfall-${randomUUID()}`;
  const common = {
    ref,
    total: `${descriptor.size}`,
    expected: descriptor.digest,
  } satisfies Partial<WriteContentRequest>;
  for (let offset = 0; offset < bytes.length; offset += MESSAGE_BYTES) {
    const data = bytes.subarray(offset, offset + MESSAGE_BYTES);
    const isLast = offset + MESSAGE_BYTES >= bytes.length;
    yield {
      ...common,
      action: isLast ? 'COMMIT' : 'WRITE',
      offset: `${offset}`,
      data,
      labels: isLast ? labels : {},
    };
  }
}
