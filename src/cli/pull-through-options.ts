import type { Command } from 'commander';
import { collect } from './options.js';

/** The options of a server that is filled on demand. */
export function addPullThroughOptions(command: Command): void {
  command
    .option('--pull-through', 'bring what is asked for and not here from its registry, and keep it')
    .option(
      '--upstream <registry>',
      'a registry that content may be brought from; may be given several times (default: docker.io)',
      collect,
    )
    .option(
      '--pull-through-ttl <duration>',
      'how long a tag is taken to lead where it did, before its registry is asked again (default: 1m)',
    )
    .option(
      '--print-hosts',
      'print the hosts.toml files that have nodes use this server as a mirror, and serve nothing',
    )
    .option(
      '--advertise <host:port>',
      'where nodes reach this server, for --print-hosts (default: as --listen says)',
    );
}
