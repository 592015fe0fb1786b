import type { Option } from 'commander';
import type { Origin } from './origin.js';

/** A value that an option has without having been typed. */
export interface GivenValue {
  /** As a configuration file calls it: `root`, `pull.platform`, `unpack-limit.layers`. */
  readonly key: string;
  readonly option: Option;
  /** What the option's parser made of it; of a table, only what the key names. */
  readonly value: unknown;
  /** What a file has it made of. */
  readonly texts?: readonly string[];
  readonly origin: Origin;
}

/** By their keys, each with the one that counts. */
export type GivenValues = ReadonlyMap<string, GivenValue>;
