/** A word that may stand where one is being typed. One that ends with `=`, `:`, `,` or `/` is gone on with, without a blank. */
export interface CompletionWord {
  readonly word: string;
  /** In a few words. */
  readonly description?: string;
}

/** Paths that a shell completes by itself, as it quotes them and knows what `~` is. */
export interface CompletionPaths {
  readonly kind: 'files' | 'directories';
  /** What of the typed word comes before the path. */
  readonly prefix: string;
}

/** All that may stand where a word is being typed. */
export interface Completions {
  readonly words: readonly CompletionWord[];
  readonly paths?: CompletionPaths | undefined;
}

export const NOTHING: Completions = { words: [] };

export function wordsOf(words: readonly string[], description?: string): Completions {
  return { words: words.map((word) => ({ word, ...(description === undefined ? {} : { description }) })) };
}

export function joined(all: readonly Completions[]): Completions {
  return {
    words: all.flatMap(({ words }) => words),
    paths: all.find(({ paths }) => paths !== undefined)?.paths,
  };
}

/** The same where something stands before it in the same word. */
export function prefixed(prefix: string, { words, paths }: Completions): Completions {
  return {
    words: words.map((one) => ({ ...one, word: prefix + one.word })),
    paths: paths === undefined ? undefined : { ...paths, prefix: prefix + paths.prefix },
  };
}

/**
 * As the scripts of all shells read it: a line that says which paths may follow, `files PREFIX`, `directories PREFIX` or `words`; then a
 * line for each word that begins as what is typed, its description after a tab.
 */
export function renderCompletions({ words, paths }: Completions, typed: string): string {
  const first = paths === undefined ? 'words' : `${paths.kind} ${paths.prefix}`;
  const fitting = words.filter(({ word }) => word.startsWith(typed));
  const lines = fitting.map(({ word, description }) =>
    description === undefined ? word : `${word}\t${description}`,
  );
  return [first, ...new Set(lines)].map((line) => `${line}\n`).join('');
}
