import { imageNames } from './image-names.js';

/** The names that the stores of a command line give, read once and only when they are asked for. */
export class StoreNames {
  readonly #roots: () => Promise<readonly string[]>;
  #names: Promise<readonly NamedImage[]> | undefined;

  /** @param roots the directories of the stores; what it throws means that there are none */
  constructor(roots: () => Promise<readonly string[]>) {
    this.#roots = roots;
  }

  /** As people write them, or in full where that is how the typed word begins. */
  async images(typed: string): Promise<string[]> {
    return fitting(
      await this.#all(),
      typed,
      ({ familiar }) => familiar,
      ({ canonical }) => canonical,
    );
  }

  /** The same without tags. */
  async repositories(typed: string): Promise<string[]> {
    const cut = (name: string): string => name.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
    return fitting(
      await this.#all(),
      typed,
      ({ familiar }) => cut(familiar),
      ({ canonical }) => cut(canonical),
    );
  }

  /** The registries that the images come from. */
  async hosts(): Promise<string[]> {
    return [...new Set((await this.#all()).map(({ canonical }) => canonical.split('/')[0] ?? ''))];
  }

  #all(): Promise<readonly NamedImage[]> {
    this.#names ??= this.#read().catch(() => []);
    return this.#names;
  }

  async #read(): Promise<readonly NamedImage[]> {
    const { familiarReference, parseReference } = await import('../../spec/reference.js');
    const names = await Promise.all((await this.#roots()).map(imageNames));
    return [...new Set(names.flat())].flatMap((canonical): NamedImage[] => {
      try {
        return [{ canonical, familiar: familiarReference(parseReference(canonical)) }];
      } catch {
        // Others may have put anything there; the rest is to be had all the same.
        return [];
      }
    });
  }
}

interface NamedImage {
  readonly canonical: string;
  readonly familiar: string;
}

function fitting(
  all: readonly NamedImage[],
  typed: string,
  short: (name: NamedImage) => string,
  long: (name: NamedImage) => string,
): string[] {
  const names = all.map((name) => (short(name).startsWith(typed) ? short(name) : long(name)));
  return [...new Set(names)];
}
