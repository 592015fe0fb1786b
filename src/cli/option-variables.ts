import type { Option } from 'commander';

/** Those that are not called as their option is, the first that is set counts. */
const NAMED_OTHERWISE: ReadonlyMap<string, readonly string[]> = new Map([
  ['additional-root', ['LANDFALL_ADDITIONAL_ROOTS']],
  // The second is that of skopeo, podman and buildah.
  ['authfile', ['LANDFALL_AUTHFILE', 'REGISTRY_AUTH_FILE']],
]);

/** These answer by themselves, so that nothing is left to be set. */
const ANSWERS: readonly string[] = ['help', 'version'];

/** The environment variables that stand for a global option: `--plain-http` is `LANDFALL_PLAIN_HTTP`. */
export function variablesOf(option: Option): readonly string[] {
  const name = option.name();
  if (ANSWERS.includes(name)) return [];
  return NAMED_OTHERWISE.get(name) ?? [`LANDFALL_${name.toUpperCase().replaceAll('-', '_')}`];
}
