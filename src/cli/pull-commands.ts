import { Argument, type Command, Option } from 'commander';
import type { PullFlags } from './commands/pull.js';
import { addExamples, platformOption } from './options.js';
import type { RunCommand } from './run-command.js';
import { SYNC_MODES } from './settings.js';

export function addPullCommands(program: Command, run: RunCommand): void {
  const command = program
    .command('pull')
    .summary('download, verify and unpack images')
    .description(
      'Downloads images from their registries, verifies them and unpacks their layers, all at once.',
    )
    .addArgument(
      new Argument('<reference...>', 'images, for example debian:trixie or quay.io/team/app@sha256:…'),
    )
    .addOption(platformOption('the platform to unpack'))
    .option('--all-platforms', 'download every platform of an image; unpack one')
    .option('--no-unpack', 'download only')
    .option('--verify-first', 'verify all of a layer before any of it is unpacked')
    .option('--discard-layers', 'drop the blob of each layer once it is unpacked')
    .addOption(
      new Option('--sync <what>', 'what survives a power cut once the pull is done (default: full)').choices(
        SYNC_MODES,
      ),
    )
    .option('--trace <file>', 'write a trace that chrome://tracing and ui.perfetto.dev open')
    .option('--timeline <file.svg>', 'draw where the time went')
    .option('-q, --quiet', 'print only the digests')
    .action((references: string[], flags: PullFlags) =>
      run(async (context) => (await import('./commands/pull.js')).pullCommand(references, flags, context)),
    );
  addExamples(command, [
    'landfall pull debian:trixie',
    'landfall pull --platform linux/arm64 alpine quay.io/prometheus/busybox',
    'landfall pull --plain-http registry.lan:5000/app:1',
    'landfall pull --discard-layers registry.k8s.io/kube-proxy:v1.34.0',
    'landfall pull --timeline pull.svg debian:trixie',
    'landfall pull --output json --progress none alpine',
  ]);
}
