import { repositoryName } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { printable } from '../format/printable.js';
import { openRegistry } from '../open-registry.js';
import { parseRepositoryName } from '../registry-name.js';

export interface TagsFlags {
  /** At most so many. */
  readonly limit?: number;
}

/** Lists the tags of a repository, in the registry's order; as text while they come. */
export async function tagsCommand(name: string, flags: TagsFlags, context: CommandContext): CommandResult {
  const { signal, settings, stdout } = context;
  const reference = parseRepositoryName(name);
  const repository = repositoryName(reference);
  await using registry = await openRegistry(context, [repository]);
  const tags: string[] = [];
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  for await (const tag of registry.repository(reference).tags({ signal })) {
    if (settings.output === 'json') tags.push(tag);
    else stdout.write(`${printable(tag)}\n`);
    left -= 1;
    if (left === 0) break;
  }
  if (settings.output === 'json') answer(context, { repository, tags }, () => '');
  return 0;
}
