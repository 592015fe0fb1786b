import { type Command, Option } from 'commander';
import { collect, parseLimit, parsePositive, parseRate } from './options.js';
import {
  collectLimit,
  INFLATE_CHOICES,
  LOG_FORMATS,
  LOG_LEVELS,
  OUTPUT_FORMATS,
  PROGRESS_MODES,
  SNAPSHOTTERS,
  UNPACK_LIMIT_NAMES,
} from '../config/settings.js';

/** The options that stand before or after the name of any command. */
export function addGlobalOptions(program: Command): void {
  program
    .option(
      '--config <file>',
      'read this configuration file and no other; /dev/null for none (default: $LANDFALL_CONFIG, then those of the user and of the system)',
    )
    .option(
      '--root <dir>',
      'the store (default: $LANDFALL_ROOT, then /var/lib/landfall or $XDG_DATA_HOME/landfall)',
    )
    .option(
      '--additional-root <dir>',
      'a store that is only read, whose images and layers are used where they lie; may be given several times (default: $LANDFALL_ADDITIONAL_ROOTS, with colons between them)',
      collect,
    )
    .addOption(
      new Option(
        '--snapshots <form>',
        'how layers are kept unpacked (default: $LANDFALL_SNAPSHOTS, then overlay where the kernel has it)',
      ).choices(SNAPSHOTTERS),
    )
    .option(
      '--hosts-dir <dir>',
      "mirrors as containerd's certs.d configures them; may be given several times (default: /etc/landfall/certs.d, then /etc/containerd/certs.d)",
      collect,
    )
    .option('--plain-http', 'speak HTTP without TLS to the registry')
    .option('--insecure', "do not verify the registry's certificate")
    .option('--ca <file>', 'trust the certificate authorities in this PEM file too')
    .option(
      '--authfile <file>',
      "credentials as docker keeps them (default: $REGISTRY_AUTH_FILE, then docker's own)",
    )
    .option(
      '--creds <user[:password]>',
      'credentials; without a password it is asked for, or read from standard input',
    )
    .option(
      '--policy <file>',
      "which signatures images need, as containers-policy.json(5) says it (default: $LANDFALL_POLICY, then the user's, then /etc/containers/policy.json)",
    )
    .option(
      '--concurrency <n>',
      'layers that are downloaded and unpacked at once (default: by the cores)',
      parsePositive,
    )
    .option('--limit-rate <bytes>', 'download no more bytes per second, for example 10M', parseRate)
    .option(
      '--max-retry-after <seconds>',
      'how long a registry may ask to be left alone before that is an error (default: 120)',
      parseLimit,
    )
    .option(
      '--unpack-limit <name=value>',
      `refuse layers that have more than so much, or less strictly than by default: ${UNPACK_LIMIT_NAMES.join(', ')}; may be given several times`,
      collectLimit,
    )
    .addOption(
      new Option(
        '--inflate <by>',
        'what inflates gzip layers (default: $LANDFALL_INFLATE, then auto: isa-l where it is installed)',
      ).choices(INFLATE_CHOICES),
    )
    .addOption(new Option('--progress <how>', 'how to show progress (default: auto)').choices(PROGRESS_MODES))
    .addOption(
      new Option('--output <form>', 'the form of what is answered (default: text)').choices(OUTPUT_FORMATS),
    )
    .addOption(new Option('--log-level <level>', 'how much to tell (default: info)').choices(LOG_LEVELS))
    .addOption(
      new Option('--log-format <form>', 'the form of what is told on the way (default: text)').choices(
        LOG_FORMATS,
      ),
    );
}
