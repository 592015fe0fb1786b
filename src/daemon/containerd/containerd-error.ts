import { type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCode, isLandfallError, LandfallError } from '../../errors.js';

/** What a status means here; the others say that containerd cannot do what it was asked. */
const CODES: ReadonlyMap<status, ErrorCode> = new Map<status, ErrorCode>([
  [status.NOT_FOUND, 'NOT_FOUND'],
  [status.ALREADY_EXISTS, 'ALREADY_EXISTS'],
  [status.FAILED_PRECONDITION, 'IN_USE'],
  [status.UNAVAILABLE, 'UNAVAILABLE'],
  [status.DEADLINE_EXCEEDED, 'UNAVAILABLE'],
  [status.CANCELLED, 'UNAVAILABLE'],
]);

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  UNAVAILABLE: 'Check that containerd runs, and that landfall may use its socket.',
  PROTOCOL: "See containerd's log, and that its configuration names landfall as a proxy plugin.",
};

/** What a call of containerd failed with. */
export function containerdError(error: ServiceError, call: string): LandfallError {
  const code = CODES.get(error.code) ?? 'PROTOCOL';
  const hint = HINTS[code];
  return new LandfallError(code, `containerd's ${call} failed: ${error.details} (${status[error.code]})`, {
    cause: error,
    retryable: code === 'UNAVAILABLE',
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Undefined in place of an answer that something is not there. */
export function unlessMissing(error: unknown): undefined {
  if (isLandfallError(error) && error.code === 'NOT_FOUND') return undefined;
  throw error;
}

export function isAlreadyThere(error: unknown): boolean {
  return isLandfallError(error) && error.code === 'ALREADY_EXISTS';
}
