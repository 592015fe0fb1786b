import { Argument } from 'commander';
import type { ConfigFlags } from './commands/config.js';
import { SYNC_MODES } from './config/settings.js';
import { collect, type LandfallCommand, parsePositive, SHELLS } from './options/options.js';
import type { CommandContext } from './output/command-context.js';

/** The commands for a node, its store and its settings. */
export function addNodeCommands(program: LandfallCommand): void {
  program
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
    .choice('--sync <what>', 'what survives a power cut once a pull is done (default: full)', SYNC_MODES)
    .option(
      '--metrics <host:port>',
      'serve metrics for Prometheus, /healthz and /readyz there, over HTTP (default: nowhere)',
    )
    .examples(
      'landfall daemon',
      "landfall daemon --cri unix:///run/landfall.sock --pin 'registry.k8s.io/pause:*'",
      'landfall daemon --max-parallel-pulls 4 --discard-layers',
    )
    .runs(async () => (await import('./commands/daemon.js')).daemonCommand);

  program
    .command('pulls')
    .summary('show what the daemon pulls')
    .description('Shows what the daemon on this root pulls at the moment, and how far it is.')
    .option('--watch', 'go on showing it until interrupted')
    .examples('landfall pulls', 'landfall pulls --watch', 'landfall pulls --watch --output json')
    .runs(async () => (await import('./commands/pulls.js')).pullsCommand);

  program
    .command('df')
    .summary('show what the store takes on the disk')
    .description('Shows what the store takes on the disk, and what `landfall gc` would free of it.')
    .examples('landfall df', 'landfall df --output json')
    .runs(async () => (await import('./commands/df.js')).dfCommand);

  program
    .command('gc')
    .summary('remove what no image needs')
    .description('Removes blobs, snapshots and expired partial downloads that no image needs.')
    .option('--dry-run', 'only say what would be removed')
    .option('--unused-for <duration>', 'also remove images that were unused for so long, for example 720h')
    .option(
      '--partials-older-than <duration>',
      'remove partial downloads without progress for so long (default: 24h)',
    )
    .examples('landfall gc --dry-run', 'landfall gc', 'landfall gc --unused-for 30d')
    .runs(async () => (await import('./commands/gc.js')).gcCommand);

  program
    .command('fsck')
    .summary('check the store, and repair it')
    .description('Checks all that the store holds. Only with --repair or --rebuild is anything changed.')
    .option('--quick', 'check all but the contents of blobs and snapshots')
    .option('--repair', 'fetch damaged blobs again, and unpack damaged snapshots again')
    .option('--rebuild', 'make a new database from what lies on the disk')
    .examples('landfall fsck --quick', 'landfall fsck --repair', 'landfall fsck --rebuild')
    .runs(async () => (await import('./commands/fsck.js')).fsckCommand);

  program
    .command('doctor')
    .summary('show what this machine can do')
    .description('Shows what this machine can do for landfall, and what landfall does where it cannot.')
    .option('--hosts <reference>', 'show where an image would be asked for instead, in that order, and why')
    .option(
      '--containerd [file]',
      "show instead the lines that containerd's configuration lacks for landfall to be its snapshotter (default: /etc/containerd/config.toml)",
    )
    .examples(
      'landfall doctor',
      'landfall doctor --hosts quay.io/team/app',
      'landfall doctor --containerd',
      'landfall --root /srv/landfall doctor --output json',
    )
    .runs(async () => (await import('./commands/doctor.js')).doctorCommand);

  program
    .command('config')
    .summary('show which settings hold, and where each comes from')
    .description(
      'Shows the value of each setting and where it comes from: an option, a variable of the environment, a line of a configuration file, or the default.',
    )
    .argument('[key...]', 'only these: root, pull.platform, or pull for all of its table')
    .option('--files', 'show instead the paths of configuration files, and which exist')
    .option('--template', 'print instead a configuration file with all keys, each as a comment')
    .option('-q, --quiet', 'print only the values')
    .examples(
      'landfall config',
      'landfall config root hosts-dir unpack-limit',
      'landfall config --files',
      'landfall config --template',
    )
    .runs(async () => {
      const { configCommand } = await import('./commands/config.js');
      return (keys: string[], flags: ConfigFlags, context: CommandContext) =>
        configCommand(keys, flags, context, program);
    });

  program
    .command('completion')
    .summary('print the script by which a shell completes words')
    .description(
      'Prints the script by which a shell completes commands, options, their values, files and the images of the store when Tab is pressed.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .examples(
      'landfall completion bash > ~/.local/share/bash-completion/completions/landfall',
      'landfall completion zsh > /usr/local/share/zsh/site-functions/_landfall',
      'landfall completion fish > ~/.config/fish/completions/landfall.fish',
    )
    .runs(async () => (await import('./commands/completion.js')).completionCommand);
}
