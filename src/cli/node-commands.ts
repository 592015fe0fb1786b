import { type Command, Option } from 'commander';
import type { DaemonFlags } from './commands/daemon.js';
import type { PullsFlags } from './commands/pulls.js';
import { addExamples, collect, parsePositive } from './options.js';
import type { RunCommand } from './run-command.js';
import { SYNC_MODES } from './settings.js';

/** The commands for the node of a cluster. */
export function addNodeCommands(program: Command, run: RunCommand): void {
  for (const add of [addDaemon, addPulls]) add(program, run);
}

function addPulls(program: Command, run: RunCommand): void {
  const command = program
    .command('pulls')
    .summary('show what the daemon pulls')
    .description('Shows what the daemon on this root pulls at the moment, and how far it is.')
    .option('--watch', 'go on showing it until interrupted')
    .action((flags: PullsFlags) =>
      run(async (context) => (await import('./commands/pulls.js')).pullsCommand(flags, context)),
    );
  addExamples(command, ['landfall pulls', 'landfall pulls --watch', 'landfall pulls --watch --output json']);
}

function addDaemon(program: Command, run: RunCommand): void {
  const command = program
    .command('daemon')
    .summary("serve a node's images over gRPC")
    .description(
      "Serves the store as a node's image service (CRI), which a kubelet can use as its imageServiceEndpoint.",
    )
    .option('--cri <address>', 'the socket to listen at (default: unix:///run/landfall/landfall.sock)')
    .option(
      '--snapshotter <address>',
      'also serve the snapshots to a containerd, as its proxy plugin, at this socket (default: no)',
    )
    .option(
      '--containerd <address>',
      'also let the containerd at this socket know the images that are here; needs --snapshotter (default: no)',
    )
    .option('--max-parallel-pulls <n>', 'images that are pulled at once (default: no limit)', parsePositive)
    .option(
      '--max-parallel-pulls-per-registry <n>',
      'images of one registry that are pulled at once (default: no limit)',
      parsePositive,
    )
    .option(
      '--progress-timeout <duration>',
      'give up a pull that makes no progress for so long; 0s never does (default: 5m)',
    )
    .option(
      '--runtime-handler <name>',
      "take pulls for this runtime handler, with the same images as the default's; may be given several times",
      collect,
    )
    .option(
      '--pin <pattern>',
      "tell the kubelet to keep images of this name, or of names that fit, such as 'registry.k8s.io/*'; may be given several times",
      collect,
    )
    .option(
      '--pre-pull <file>',
      'keep the images of this list on the node, pinned: one a line; they are pulled at the start, and again when they are gone',
    )
    .option(
      '--pull-secrets <file>',
      'also look for credentials in this pull secret of Kubernetes, each time anew; may be given several times',
      collect,
    )
    .option(
      '--policy-dir <dir>',
      "signature policies of Kubernetes' namespaces, NAMESPACE.json; for the others, that of --policy (default: none)",
    )
    .option('--discard-layers', 'drop the blob of each layer once it is unpacked')
    .addOption(
      new Option('--sync <what>', 'what survives a power cut once a pull is done (default: full)').choices(
        SYNC_MODES,
      ),
    )
    .option(
      '--metrics <host:port>',
      'serve metrics for Prometheus, /healthz and /readyz there, over HTTP (default: nowhere)',
    )
    .action((flags: DaemonFlags) =>
      run(async (context) => (await import('./commands/daemon.js')).daemonCommand(flags, context)),
    );
  addExamples(command, [
    'landfall daemon',
    "landfall daemon --cri unix:///run/landfall.sock --pin 'registry.k8s.io/pause:*'",
    'landfall daemon --max-parallel-pulls 4 --discard-layers',
  ]);
}
