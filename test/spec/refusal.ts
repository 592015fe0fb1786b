import { LandfallError } from '../../src/errors.js';

/** The error that an action is refused with; fails the test when it is not refused, or by accident. */
export function refusalOf(action: () => unknown): LandfallError {
  let result: unknown;
  try {
    result = action();
  } catch (error) {
    if (error instanceof LandfallError) return error as LandfallError;
    throw error;
  }
  throw new Error(`not refused, but ${JSON.stringify(result)}`);
}

/** The bytes of a manifest that a registry might send: JSON of a value, or a text as it stands. */
export function documentOf(value: unknown): Uint8Array {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
}
