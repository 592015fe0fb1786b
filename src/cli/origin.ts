/** Whose configuration file it is: the system's, the user's, or one that was named in place of both. */
export type ConfigScope = 'system' | 'user' | 'named';

/** Where the value of an option comes from. */
export type Origin =
  | { readonly from: 'option' }
  | { readonly from: 'environment'; readonly variable: string }
  | {
      readonly from: 'file';
      readonly scope: ConfigScope;
      readonly path: string;
      /** From 1. It is looked for only when it is asked for. */
      readonly line: () => number;
    }
  | { readonly from: 'default' };

/** Origins by the keys of a configuration file, such as `root` and `pull.platform`; what is not there is a default. */
export type Origins = ReadonlyMap<string, Origin>;

/** As it is told to people: `--root`, `$LANDFALL_ROOT`, `/etc/landfall/config.toml:3`, `default`. */
export function describeOrigin(origin: Origin, long: string): string {
  switch (origin.from) {
    case 'option':
      return long;
    case 'environment':
      return `$${origin.variable}`;
    case 'file':
      return `${origin.path}:${origin.line()}`;
    case 'default':
      return 'default';
  }
}
