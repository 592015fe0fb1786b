import { LandfallError, UnpackError } from '../../errors.js';

/** A snapshot that a caller named and that is not there. */
export function snapshotNotFound(name: string): UnpackError {
  return new UnpackError('SNAPSHOT_NOT_FOUND', `there is no snapshot ${name}`);
}

export function nameTaken(name: string): LandfallError {
  return new LandfallError('ALREADY_EXISTS', `a snapshot ${name} exists already`);
}

export function wrongKind(name: string, is: string, wanted: string): LandfallError {
  return new LandfallError(
    'INVALID_CONFIG',
    `snapshot ${name} is ${is}, and this takes one that is ${wanted}`,
  );
}
