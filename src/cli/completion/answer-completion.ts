import { homedir } from 'node:os';
import type { Command } from 'commander';
import type { Surroundings } from '../command-context.js';
import { readLine } from '../line-words.js';
import { createProgram } from '../program.js';
import type { GlobalFlags } from '../settings.js';
import { complete } from './complete.js';
import { renderCompletions } from './completions.js';
import { StoreNames } from './store-names.js';

/** The options that say which stores a command uses. */
const WHICH_STORES: readonly string[] = ['--root', '--additional-root', '--config'];

/**
 * Answers a shell that asks what may stand where a word is being typed. It says nothing at all where something is wrong: whoever presses Tab
 * has not asked for anything yet.
 *
 * @param words see {@link complete}
 */
export async function answerCompletion(words: readonly string[], around: Surroundings): Promise<void> {
  try {
    const program = createProgram(() => Promise.resolve());
    const names = new StoreNames(() => rootsOf(program, words.slice(0, -1), around));
    const found = await complete(program, words, names);
    around.stdout.write(renderCompletions(found, words.at(-1) ?? ''));
  } catch {
    // See above.
  }
}

/** The stores that the command would use, as the line, the environment and configuration files say. */
async function rootsOf(
  program: Command,
  words: readonly string[],
  around: Surroundings,
): Promise<readonly string[]> {
  const [{ Configuration }, { resolveSettings }] = await Promise.all([
    import('../configuration.js'),
    import('../settings.js'),
  ]);
  for (const [option, values] of readLine(program, words).options) {
    if (!WHICH_STORES.includes(option.long ?? '')) continue;
    const paths = values.map((value) => withoutTilde(value, around));
    const value = option.parseArg === undefined ? paths.at(-1) : paths;
    program.setOptionValueWithSource(option.attributeName(), value, 'cli');
  }
  (await Configuration.read(program, around)).apply(program);
  const { root, additionalRoots } = resolveSettings(program.opts<GlobalFlags>(), around);
  return [root, ...additionalRoots];
}

/** A line that is being typed has not been expanded yet. */
function withoutTilde(path: string, { env }: Surroundings): string {
  return path.replace(/^(?:~|\$HOME|\$\{HOME\})(?=\/|$)/, () => env['HOME'] ?? homedir());
}
