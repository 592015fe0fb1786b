import { isDigest } from '../../spec/index.js';
import { LandfallError } from '../../errors.js';
import { answer, type CommandContext, type CommandResult, errorInfo } from '../output/command-context.js';
import { printable } from '../format/text.js';
import { parseTransport } from '../../transfer/transports/image-transport.js';
import { CommandTransports } from '../images/command-transports.js';
import { type Outcome, outcomeOf, reportFailures } from '../output/several.js';

/** Deletes tags, or manifests by their digests, at registries or in layouts. */
export async function deleteCommand(names: readonly string[], context: CommandContext): CommandResult {
  await using transports = new CommandTransports(context);
  const outcomes: Outcome<undefined>[] = [];
  // One after the other: of two tags of one image the second may be all that keeps it.
  for (const name of names)
    outcomes.push(await outcomeOf(name, () => deleteImage(name, transports, context)));
  const json = outcomes.map((outcome) =>
    'error' in outcome
      ? { name: outcome.subject, deleted: false, error: errorInfo(outcome.error) }
      : { name: outcome.subject, deleted: true },
  );
  answer(context, json, () =>
    outcomes
      .filter((outcome) => 'value' in outcome)
      .map(({ subject }) => `deleted ${printable(subject)}\n`)
      .join(''),
  );
  return reportFailures(outcomes, context);
}

async function deleteImage(
  name: string,
  transports: CommandTransports,
  { signal }: CommandContext,
): Promise<undefined> {
  const named = parseTransport(name);
  if (named.kind !== 'registry' && named.kind !== 'layout') {
    throw new LandfallError('INVALID_CONFIG', `${name} is neither at a registry nor in a layout`, {
      hint:
        named.kind === 'store'
          ? `Use landfall rmi ${name}, or docker://${name}.`
          : 'Write the archive or the directory anew.',
    });
  }
  const { repository, from } = await transports.deletable(named);
  if (isDigest(from)) await repository.deleteManifest(from, { signal });
  else await repository.deleteTag(from, { signal });
}
