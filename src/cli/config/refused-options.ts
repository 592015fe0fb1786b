import type { Option } from 'commander';
import { keyOf } from '../option-kind.js';

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
