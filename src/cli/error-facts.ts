import { type ErrorCode, type ErrorDetails, isLandfallError, systemCode } from '../errors.js';

/** What can be told of a failure. These are the keys of the JSON object on standard error. */
export interface ErrorFacts {
  /** `INTERNAL` marks what landfall did not foresee: a defect of its own. */
  readonly code: ErrorCode | 'INTERNAL';
  readonly message: string;
  readonly hint: string;
  readonly details?: ErrorDetails;
  readonly retryable: boolean;
}

/** The facts of anything that was thrown, in the order in which JSON shows them. */
export function errorFacts(error: unknown): ErrorFacts {
  if (isLandfallError(error)) {
    return {
      code: error.code,
      message: error.message,
      hint: error.hint,
      ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
      retryable: error.retryable,
    };
  }
  const code = systemCode(error);
  return {
    code: 'INTERNAL',
    message: `internal error: ${messageOf(error)}`,
    hint: 'This is a defect in landfall: run it again with --log-level debug and report what it prints.',
    ...(code === undefined ? {} : { details: { systemCode: code } }),
    retryable: false,
  };
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
