import { type ErrorCode, LandfallError, systemCode } from '../../src/errors.js';
import { SystemError } from '../../src/system/index.js';
import { filesystemError } from '../../src/unpack/terms/layer-fault.js';

/** What must not happen, whatever the input. */
export type ViolationKind =
  /** An error that is not one of the answers to a bad layer. */
  | 'crash'
  /** Something outside of the layer's directory is different. */
  | 'escape'
  /** A descriptor stayed open. */
  | 'leak'
  /** Two ways to read the same bytes came to different ends. */
  | 'differs'
  /** A result that cannot be right. */
  | 'wrong'
  /** More memory than the bytes themselves can be worth. */
  | 'memory'
  /** The input was not done with in the time that it has. */
  | 'hang'
  /** The process ended: out of memory, or by a signal. */
  | 'died';

export class Violation extends Error {
  readonly kind: ViolationKind;

  constructor(kind: ViolationKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'Violation';
    this.kind = kind;
  }
}

/** How an attempt ended that was allowed to end so. */
export type Outcome<T> =
  { readonly done: T } | { readonly refused: ErrorCode; readonly message: string; readonly entry?: unknown };

/** What a layer may be refused with. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'BAD_ARCHIVE',
  'UNSAFE_PATH',
  'UNSUPPORTED_ENTRY',
  'LIMIT_EXCEEDED',
]);

/** What the kernel may say of a layer that is well-formed, and why. */
const KERNEL_REFUSALS: ReadonlyMap<string | undefined, string> = new Map([
  ['EFBIG', 'a file is larger than this file system takes'],
  ['ENOSPC', 'the file system is full, or an inode has no room for more attributes'],
]);

/** Control and format characters that would act on a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

/** Runs what works on a layer. @throws {Violation} crash, for an error that no layer may cause */
export async function outcomeOf<T>(attempt: () => T | Promise<T>): Promise<Outcome<Awaited<T>>> {
  try {
    return { done: await attempt() };
  } catch (error) {
    return refusal(error, []);
  }
}

/**
 * As {@link outcomeOf}, for what does not wait.
 *
 * @param more - codes that are answers to a bad input here, beside those to a bad layer
 */
export function outcomeOfSync<T>(attempt: () => T, more: readonly ErrorCode[] = []): Outcome<T> {
  try {
    return { done: attempt() };
  } catch (error) {
    return refusal(error, more);
  }
}

function refusal(
  error: unknown,
  more: readonly ErrorCode[],
): { refused: ErrorCode; message: string; entry?: unknown } {
  if (error instanceof Violation) throw error;
  // Whoever gives jobs to threads wraps errors of system calls in the same way.
  const known =
    error instanceof LandfallError || error instanceof SystemError
      ? filesystemError(error, 'working on a layer')
      : undefined;
  if (known === undefined || !(isRefusal(known) || more.includes(known.code))) {
    throw new Violation('crash', `an error that no layer may cause: ${String(error)}`, error);
  }
  // A system call's own words name the file as it is, and descriptors; whoever prints them has to see to
  // that.
  const isKernels = known.code === 'FILESYSTEM' || known.code === 'NO_SPACE';
  if (!isKernels) checkPrintable(known.message);
  const message = isKernels ? (systemCode(known.cause) ?? '') : known.message;
  return { refused: known.code, message, entry: known.details['entry'] };
}

function isRefusal(error: LandfallError): boolean {
  if (REFUSALS.has(error.code)) return true;
  // The layer's own root may have a mode that shuts out its owner, who is not root; not every way says so by
  // a cause.
  if (error.code === 'FILESYSTEM' && process.geteuid?.() !== 0) return true;
  const fromKernel = error.code === 'FILESYSTEM' || error.code === 'NO_SPACE';
  return fromKernel && KERNEL_REFUSALS.has(systemCode(error.cause));
}

/** @throws {Violation} wrong, for a message that a terminal would obey */
export function checkPrintable(...messages: readonly string[]): void {
  const bad = messages.find((message) => UNPRINTABLE.test(message));
  if (bad !== undefined)
    throw new Violation('wrong', `a message that is not fit to print: ${JSON.stringify(bad)}`);
}

/** @throws {Violation} differs */
export function checkSame(what: string, expected: unknown, actual: unknown): void {
  const [first, second] = [stable(expected), stable(actual)];
  if (first === second) return;
  let at = 0;
  while (first[at] === second[at]) at += 1;
  const shown = (text: string): string => text.slice(Math.max(0, at - 120), at + 200);
  throw new Violation('differs', `${what}:\n  ${shown(first)}\n  ${shown(second)}`);
}

function stable(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner instanceof Map
      ? [...(inner as ReadonlyMap<unknown, unknown>)]
      : typeof inner === 'bigint'
        ? `${inner}`
        : inner,
  );
}
