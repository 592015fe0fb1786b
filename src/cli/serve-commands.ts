import { Argument, type Command } from 'commander';
import type { ServeFlags } from './commands/serve.js';
import { addExamples, collect, parseLimit, parseRate } from './options/options.js';
import type { RunCommand } from './options/run-command.js';

/** The command for a mirror. */
export function addServeCommands(program: Command, run: RunCommand): void {
  const command = program
    .command('serve')
    .summary('serve images over the registry API')
    .description(
      'Serves the store, or an OCI layout, as a registry that images are pulled from, and with --writable pushed to.',
    )
    .addArgument(new Argument('[source]', 'oci:DIR; the store when left out'))
    .option('--listen <host:port>', 'where to listen; port 0 takes a free one (default: 127.0.0.1:5000)')
    .option('--writable', 'take pushes and deletions too; of the store only');
  addPullThroughOptions(command);
  addAccessOptions(command);
  addLimitOptions(command);
  command
    .option(
      '--metrics <host:port>',
      'serve metrics for Prometheus and /healthz there, over HTTP (default: nowhere)',
    )
    .action((source: string | undefined, flags: ServeFlags) =>
      run(async (context) => (await import('./commands/serve.js')).serveCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall serve',
    'landfall serve --listen 0.0.0.0:5000 oci:mirror',
    'landfall serve --listen 0.0.0.0:5000 --pull-through --upstream docker.io --upstream quay.io',
    'landfall serve --listen 0.0.0.0:5000 --print-hosts --upstream docker.io --advertise mirror.lan:5000',
    'landfall serve --writable --htpasswd users --anonymous-read --tls-cert cert.pem --tls-key key.pem',
  ]);
}

function addAccessOptions(command: Command): void {
  command
    .option('--tls-cert <file>', 'speak TLS with this certificate, in PEM; it is read again when it changes')
    .option('--tls-key <file>', 'the key of the certificate, in PEM')
    .option('--htpasswd <file>', 'ask for the password of a user of this file, which htpasswd -B makes')
    .option('--anonymous-read', 'let everybody read, also without a password; needs --htpasswd');
}

function addLimitOptions(command: Command): void {
  command
    .option(
      '--max-upload-size <size>',
      'the largest blob that is taken, such as 20G (default: 512G)',
      parseRate,
    )
    .option('--max-requests <n>', 'requests that are answered at once (default: 2048)', parseLimit)
    .option('--max-connections <n>', 'connections that are open at once (default: 4096)', parseLimit)
    .option(
      '--client-timeout <duration>',
      'cut off clients that are waited for and hardly move for so long (default: 1m)',
    );
}

/** The options of a server that is filled on demand. */
function addPullThroughOptions(command: Command): void {
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
