import { type Command, InvalidArgumentError } from 'commander';
import type { IdRange } from '../unpack/index.js';

export interface IdMapFlags {
  readonly uidMap?: readonly IdRange[];
  readonly gidMap?: readonly IdRange[];
}

/** The options of a command that gives what it unpacks to other owners than the image names. */
export function addIdMapOptions(command: Command): Command {
  return command
    .option(
      '--uid-map <container:host:size>',
      'give what belongs to these user IDs in the image to others; may be given several times',
      collectIdRange,
    )
    .option(
      '--gid-map <container:host:size>',
      'the same for group IDs; may be given several times',
      collectIdRange,
    );
}

/** `CONTAINER:HOST:SIZE` of one range, added to those that came before. */
export function collectIdRange(text: string, before: readonly IdRange[] = []): readonly IdRange[] {
  const [, container, host, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (container === undefined || host === undefined || size === undefined) {
    throw new InvalidArgumentError('Write CONTAINER:HOST:SIZE, for example 0:100000:65536.');
  }
  return [...before, { container: Number(container), host: Number(host), size: Number(size) }];
}
