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

/** Why an option is taken from the command line only, and what to do instead. */
export interface Refusal {
  readonly why: string;
  readonly hint: string;
}

const ANSWERS: Refusal = { why: 'answers by itself', hint: 'Take it out.' };

const CONFIG: Refusal = {
  why: 'names the file that is read in place of this one',
  hint: 'Give --config on the command line, or set LANDFALL_CONFIG.',
};

const SECRET: Refusal = {
  why: 'is a password, which belongs into no configuration',
  hint: 'Log in with `landfall login`, or name a file of credentials: authfile = "FILE".',
};

const ONE_RUN: Refusal = {
  why: 'says what one run reads, writes or does in place of its usual work',
  hint: 'Give it on the command line.',
};

const CONFIRMS: Refusal = {
  why: 'has things deleted or changed that a run without it leaves alone',
  hint: 'Give it on the command line, each time.',
};

/** By the command, empty for the global options, and the key. Besides these, what a command cannot do without. */
export const REFUSED_OPTIONS: Readonly<Record<string, Readonly<Record<string, Refusal>>>> = {
  '': { version: ANSWERS, config: CONFIG, creds: SECRET },
  pull: { trace: ONE_RUN, timeline: ONE_RUN },
  inspect: { raw: ONE_RUN, config: ONE_RUN },
  cat: { file: ONE_RUN },
  blob: { file: ONE_RUN },
  export: { file: ONE_RUN },
  load: { input: ONE_RUN, name: ONE_RUN },
  copy: { 'src-creds': SECRET, 'dest-creds': SECRET },
  sync: { prune: CONFIRMS, yes: CONFIRMS, report: ONE_RUN, since: ONE_RUN, shard: ONE_RUN },
  login: { username: ONE_RUN, 'password-stdin': ONE_RUN },
  logout: { all: CONFIRMS },
  serve: { 'print-hosts': ONE_RUN },
  fsck: { repair: CONFIRMS, rebuild: CONFIRMS },
  doctor: { hosts: ONE_RUN, containerd: ONE_RUN },
  config: { files: ONE_RUN, template: ONE_RUN, quiet: ONE_RUN },
};

/**
 * Why a configuration file may not say what the option is; undefined where it may.
 *
 * @param command empty for the global options
 */
export function refusalOf(command: string, option: Option): Refusal | undefined {
  // The command line is refused before a file is looked at.
  if (option.mandatory) return ONE_RUN;
  const refused = REFUSED_OPTIONS[command];
  const key = keyOf(option);
  return refused !== undefined && Object.hasOwn(refused, key) ? refused[key] : undefined;
}
