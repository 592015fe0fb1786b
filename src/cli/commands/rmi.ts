import { removeImage } from '../../engine/remove.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { errorFacts } from '../error-facts.js';
import { formatSize } from '../format/size.js';
import { type Outcome, outcomeOf, reportFailures } from '../several.js';
import { withStore } from '../with-store.js';

type Removed = Awaited<ReturnType<typeof removeImage>>;

export async function rmiCommand(names: readonly string[], context: CommandContext): CommandResult {
  const outcomes = await withStore(context, async (store) => {
    const done: Outcome<Removed>[] = [];
    // One after the other, so that what two images share is freed with the second.
    for (const name of names) done.push(await outcomeOf(name, () => removeImage(store, name)));
    return done;
  });
  answer(
    context,
    outcomes.map((outcome) =>
      'value' in outcome ? outcome.value : { name: outcome.subject, error: errorFacts(outcome.error) },
    ),
    () =>
      outcomes
        .flatMap((outcome) => ('value' in outcome ? [outcome.value] : []))
        .map(({ name, freed }) => `removed ${name} (freed ${formatSize(freed)})\n`)
        .join(''),
  );
  return reportFailures(outcomes, context);
}
