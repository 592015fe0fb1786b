import type { Command, Option } from 'commander';

/** What belongs together in a help text, below a heading of its own. */
export interface HelpGroup<T> {
  readonly title: string;
  readonly members: readonly T[];
}

type Group = readonly [title: string, names: readonly string[]];

const COMMANDS: readonly Group[] = [
  ['Pull and look at images', ['pull', 'images', 'inspect', 'tree', 'diff', 'ls', 'cat', 'blob']],
  ['Name, keep and remove them', ['tag', 'rmi', 'pin', 'unpin']],
  ['Use their files', ['unpack', 'export', 'bundle', 'mount', 'umount', 'mounts']],
  ['Copy and mirror', ['copy', 'push', 'sync', 'save', 'load', 'verify', 'delete', 'serve']],
  ['Ask a registry', ['resolve', 'tags', 'referrers', 'login', 'logout']],
  ['Serve a node', ['daemon', 'pulls']],
  ['Look after the store and this machine', ['df', 'gc', 'fsck', 'doctor', 'config', 'completion', 'help']],
];

const OPTIONS: readonly Group[] = [
  ['Store', ['--root', '--additional-root', '--snapshots']],
  [
    'Registry',
    ['--hosts-dir', '--plain-http', '--insecure', '--ca', '--authfile', '--creds', '--max-retry-after'],
  ],
  ['Trust and limits', ['--policy', '--unpack-limit']],
  ['Speed', ['--concurrency', '--limit-rate', '--inflate']],
  ['Output', ['--progress', '--output', '--log-level', '--log-format']],
  ['Settings and help', ['--config', '--version', '--help']],
];

/** The commands by purpose, each group in the order in which one meets them. */
export function groupCommands(commands: readonly Command[]): readonly HelpGroup<Command>[] {
  return groupBy(COMMANDS, commands, (command) => command.name());
}

/** The options that all commands have, by what they are about. */
export function groupGlobalOptions(options: readonly Option[]): readonly HelpGroup<Option>[] {
  return groupBy(OPTIONS, options, (option) => option.long ?? option.flags);
}

/** What no group names comes last: it is never left out. */
function groupBy<T>(
  groups: readonly Group[],
  all: readonly T[],
  nameOf: (one: T) => string,
): readonly HelpGroup<T>[] {
  const named = new Set(groups.flatMap(([, names]) => names));
  const others = all.map(nameOf).filter((name) => !named.has(name));
  return [...groups, ['More', others] as const]
    .map(([title, names]) => ({
      title,
      members: names.flatMap((name) => all.filter((one) => nameOf(one) === name)),
    }))
    .filter(({ members }) => members.length > 0);
}
