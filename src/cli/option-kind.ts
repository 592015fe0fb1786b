import type { Option } from 'commander';

/** What an option takes: nothing, one of a few words, a number, text, several texts, or several numbers by name. */
export type OptionKind = 'switch' | 'choice' | 'number' | 'text' | 'list' | 'table';

/** Of these, every parser of an option takes one. */
const SAMPLES: readonly string[] = ['1', '1M', 'layers=1', '0:1:1'];

/** Asks the option's own parser, so that what an option takes is said in one place. */
export function kindOf(option: Option): OptionKind {
  if (option.negate || option.isBoolean()) return 'switch';
  if (option.argChoices !== undefined) return 'choice';
  const made = parsedSample(option);
  if (Array.isArray(made)) return 'list';
  if (typeof made === 'object') return 'table';
  return typeof made === 'number' ? 'number' : 'text';
}

/** Whether the option names a file or a directory, as its help says. */
export function takesPath(option: Option): boolean {
  return /[<[](?:dir|file)[\]>]/.test(option.flags);
}

/** How a configuration file calls an option: by its long name, `unpack` for `--no-unpack`. */
export function keyOf(option: Option): string {
  return option.negate ? option.name().replace(/^no-/, '') : option.name();
}

/** The same of a flag as the commands have it: `plain-http` for `plainHttp`. */
export function keyOfAttribute(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function parsedSample(option: Option): unknown {
  for (const sample of SAMPLES) {
    try {
      return parseTexts(option, [sample]);
    } catch {
      // It takes something else.
    }
  }
  return undefined;
}

/**
 * What the option's own parser makes of the texts, in order, as if it had been given so often.
 *
 * @throws {InvalidArgumentError} commander's, or whatever else the parser throws
 */
export function parseTexts(option: Option, texts: readonly string[]): unknown {
  const { parseArg } = option;
  return texts.reduce<unknown>(
    (before, text) => (parseArg === undefined ? text : parseArg(text, before)),
    undefined,
  );
}
