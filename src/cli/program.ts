import { Command } from 'commander';
import { addArchiveCommands } from './archive-commands.js';
import { addGlobalOptions } from './global-options.js';
import { addImageCommands } from './image-commands.js';
import { addMountCommands } from './mount-commands.js';
import { addNameCommands } from './name-commands.js';
import { addNodeCommands } from './node-commands.js';
import { addExamples } from './options.js';
import { addPullCommands } from './pull-commands.js';
import { addRegistryCommands } from './registry-commands.js';
import type { RunCommand } from './run-command.js';
import { addServeCommands } from './serve-commands.js';
import { addStoreCommands } from './store-commands.js';
import { addSyncCommands } from './sync-commands.js';
import { addTransferCommands } from './transfer-commands.js';
import { addUnpackCommands } from './unpack-commands.js';
import { versionLine } from './version.js';

/** The whole command line: what `--help` says and what docs/cli.md is held against. */
export function createProgram(run: RunCommand): Command {
  const program = new Command('landfall')
    .description('Brings container images ashore: pulls them from a registry, verifies and unpacks them.')
    .version(versionLine(), '-V, --version', 'print the version')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  addGlobalOptions(program);
  addPullCommands(program, run);
  addImageCommands(program, run);
  addNameCommands(program, run);
  addUnpackCommands(program, run);
  addMountCommands(program, run);
  addServeCommands(program, run);
  addTransferCommands(program, run);
  addRegistryCommands(program, run);
  addArchiveCommands(program, run);
  addSyncCommands(program, run);
  addNodeCommands(program, run);
  addStoreCommands(program, run);
  addExamples(program, [
    'landfall pull debian:trixie',
    'landfall images',
    'landfall mount debian:trixie /mnt',
    'landfall pull --help',
  ]);
  return program;
}
