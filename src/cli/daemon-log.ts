import type { EndedPull, LeftLayer } from '../daemon/index.js';
import { isLandfallError } from '../errors.js';
import type { Digest } from '../spec/index.js';
import { messageOf } from './error-facts.js';
import { formatDuration } from './format/duration.js';
import { formatSize } from './format/size.js';
import type { LogFacts } from './log.js';

/** What the log has of a pull that has ended, for programs. */
export function endFacts({ id, reference, durationMs, outcome, progress }: EndedPull): LogFacts {
  return {
    pull: id,
    reference,
    durationMs: Math.round(durationMs),
    bytesDownloaded: progress.downloadedBytes,
    ...('error' in outcome
      ? { error: isLandfallError(outcome.error) ? outcome.error.code : 'INTERNAL' }
      : {}),
  };
}

/** The same for people. */
export function endLine({ id, reference, durationMs, outcome, progress }: EndedPull): string {
  const subject = `pull ${id}: ${reference}`;
  if ('error' in outcome) return `${subject}: failed: ${messageOf(outcome.error)}`;
  return `${subject}: done in ${formatDuration(durationMs)}, ${formatSize(progress.downloadedBytes)} downloaded`;
}

/** A layer that containerd brings itself, and why. */
export function leftLine(chainId: Digest, { image, reason }: LeftLayer): string {
  const of = image === undefined ? '' : `${image}: `;
  return `${of}layer ${chainId}, and those on it, are left to containerd: ${messageOf(reason)}`;
}

/** The same for programs. */
export function leftFacts(chainId: Digest, { image, reason }: LeftLayer): LogFacts {
  const error = isLandfallError(reason) ? reason.code : 'INTERNAL';
  return { ...(image === undefined ? {} : { image }), chainId, error };
}
