import type { Command } from 'commander';
import { addArchiveCommands } from './archive-commands.js';
import { addCompletionCommands } from './completion-commands.js';
import { addConfigCommands } from './config-commands.js';
import { type Examples, setExamples } from './examples.js';
import { formatHelp } from './format-help.js';
import { paint } from './format/paint.js';
import { addGlobalOptions } from './global-options.js';
import { addImageCommands } from './image-commands.js';
import { addMountCommands } from './mount-commands.js';
import { addNameCommands } from './name-commands.js';
import { addNodeCommands } from './node-commands.js';
import { addPullCommands } from './pull-commands.js';
import { addRegistryCommands } from './registry-commands.js';
import type { RunCommand } from './run-command.js';
import { addServeCommands } from './serve-commands.js';
import { ShadowingCommand } from './shadowing-command.js';
import { addStoreCommands } from './store-commands.js';
import { addSyncCommands } from './sync-commands.js';
import { addTransferCommands } from './transfer-commands.js';
import { addUnpackCommands } from './unpack-commands.js';
import { versionLine } from './version.js';

/** By the jobs that people come with. */
const EXAMPLES: readonly Examples[] = [
  {
    purpose: 'Pull images, and see what is here:',
    lines: ['landfall pull debian:trixie quay.io/prometheus/busybox', 'landfall images'],
  },
  {
    purpose: 'Look at one, and at its files:',
    lines: ['landfall inspect debian:trixie', 'landfall mount debian:trixie /mnt'],
  },
  {
    purpose: 'Mirror images with their signatures, or carry them across an air gap:',
    lines: [
      'landfall copy --all --referrers docker://alpine docker://registry.lan:5000/alpine',
      'landfall save debian:trixie alpine -o images.tar',
      'landfall serve --listen 0.0.0.0:5000 --pull-through --upstream docker.io',
    ],
  },
  {
    purpose: 'Serve the images of a Kubernetes node:',
    lines: ['landfall daemon --cri unix:///run/landfall/landfall.sock'],
  },
  { purpose: 'Read on about a command:', lines: ['landfall pull --help'] },
];

/** The whole command line: what `--help` says and what docs/cli.md is held against. */
export function createProgram(run: RunCommand): Command {
  const program = new ShadowingCommand('landfall')
    .description('Brings container images ashore: pulls them from a registry, verifies and unpacks them.')
    .version(versionLine(), '-V, --version', 'print the version')
    .usage('[options] [command]')
    .configureHelp({ formatHelp, showGlobalOptions: true, styleTitle: (title) => paint('bold', title) })
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .showSuggestionAfterError(false)
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
  addConfigCommands(program, run);
  addCompletionCommands(program, run);
  setExamples(program, EXAMPLES);
  return program;
}
