import type { ErrorCode } from '../../../src/errors.js';
import type { ReaderName } from './readers.js';

/** What another program does with an archive, where it does not do as landfall does. */
export type Deviation =
  /** landfall reads it. */
  | 'refuses'
  /** landfall reads it, and makes something else of it. */
  | 'reads otherwise'
  /** landfall refuses it. */
  | 'reads';

/** An archive that no ordinary program writes, and what is made of it. */
export interface OddArchive {
  readonly name: string;
  readonly bytes: Buffer;
  /** The code of the error where landfall refuses it; absent where it reads it. */
  readonly refusal?: ErrorCode;
  /** Those that are not named do as landfall does. */
  readonly unlike?: Readonly<Partial<Record<ReaderName, Deviation>>>;
  /** Why landfall does not do as these. */
  readonly because?: string;
}
