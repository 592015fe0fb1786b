import { isLandfallError } from '../../errors.js';
import type { TransferProgress } from '../pulls/transfer.js';
import type { TransferMessage } from './messages.js';

const STATES = {
  queued: 'QUEUED',
  resolving: 'RESOLVING',
  transferring: 'TRANSFERRING',
  done: 'DONE',
  failed: 'FAILED',
} as const;

const LAYER_STATES = {
  waiting: 'WAITING',
  downloading: 'DOWNLOADING',
  unpacking: 'UNPACKING',
  done: 'DONE',
} as const;

/** @param waiting calls that wait for it */
export function transferMessage(progress: TransferProgress, waiting: number): TransferMessage {
  const { id, reference, error } = progress;
  return {
    id,
    reference,
    state: STATES[progress.state],
    totalBytes: String(progress.totalBytes),
    presentBytes: String(progress.presentBytes),
    downloadedBytes: String(progress.downloadedBytes),
    bytesPerSecond: String(progress.bytesPerSecond),
    layers: progress.layers.map(({ digest, size, presentBytes, state }) => ({
      digest,
      size: String(size),
      presentBytes: String(presentBytes),
      state: LAYER_STATES[state],
    })),
    startedAt: String(progress.startedAt.getTime()),
    waiting,
    errorCode: isLandfallError(error) ? error.code : '',
    errorMessage: error?.message ?? '',
  };
}
