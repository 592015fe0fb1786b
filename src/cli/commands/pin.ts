import { pinImage } from '../../engine/pin.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { errorFacts } from '../error-facts.js';
import { printable } from '../format/printable.js';
import { type Outcome, outcomeOf, reportFailures } from '../several.js';
import { withStore } from '../with-store.js';

type Pinned = Awaited<ReturnType<typeof pinImage>>;

export function pinCommand(names: readonly string[], context: CommandContext): CommandResult {
  return setPinned(names, true, context);
}

/** Of `pin` and of `unpin`. */
export async function setPinned(
  names: readonly string[],
  pinned: boolean,
  context: CommandContext,
): CommandResult {
  const outcomes = await withStore(context, async (store) => {
    const done: Outcome<Pinned>[] = [];
    for (const name of names) done.push(await outcomeOf(name, () => pinImage(store, name, pinned)));
    return done;
  });
  answer(
    context,
    outcomes.map((outcome) =>
      'value' in outcome
        ? { name: outcome.value.name, digest: outcome.value.target.digest, pinned: outcome.value.pinned }
        : { name: outcome.subject, error: errorFacts(outcome.error) },
    ),
    () =>
      outcomes
        .flatMap((outcome) => ('value' in outcome ? [outcome.value] : []))
        .map((image) => `${image.pinned ? 'pinned' : 'unpinned'} ${printable(image.name)}\n`)
        .join(''),
  );
  return reportFailures(outcomes, context);
}
