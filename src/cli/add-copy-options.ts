import { type Command, InvalidArgumentError } from 'commander';
import { collect } from './options.js';

/** Adds the options of commands that copy images; `one` says which platforms are copied where none is named. */
export function addCopyOptions(command: Command, { one }: { readonly one: string }): Command {
  return command
    .option('--all', 'all platforms of each image')
    .option(
      '--platform <platforms>',
      `only these, with commas between them, for example linux/amd64,linux/arm64; may be given several times (default: ${one})`,
      collectPlatforms,
    )
    .option('--rewrite-index', 'make a new index of the platforms that are named, which has another digest')
    .option('--referrers', 'also what refers to each image: signatures, SBOMs, attestations')
    .option(
      '--artifact-type <type>',
      'of the referrers only what is of this type, with all that refers to it; may be given several times',
      collect,
    )
    .option('--no-cosign-tags', "of the referrers not those that only cosign's tags tell of");
}

/** Platforms with commas between them; for options that may be given several times. */
export function collectPlatforms(text: string, before: readonly string[] = []): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('A platform is missing between two commas.');
  return [...before, ...names];
}
