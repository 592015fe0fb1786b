import { SYSTEM_CONFIG } from '../src/cli/config/settings.js';
import type { ExitCode } from '../src/cli/output/exit-codes.js';

/** What a manual page says of a thing. */
export type Fact = readonly [term: string, meaning: string];

/** What each exit code means. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'an error not listed below',
  2: 'wrong usage, also in the environment or a configuration file',
  3: 'not found: image, tag, blob, platform',
  4: 'not authenticated, or denied',
  5: 'registry or network unavailable after retries, a truncated download included',
  6: 'verification failed',
  7: 'a malformed or unsafe manifest, archive or entry',
  8: 'no space, or the file system refused',
  130: 'interrupted; what was downloaded is kept, and the same command goes on from it',
  143: 'terminated; as interrupted',
};

/** Variables that stand for no option. Those that do are called as the option is. */
export const ENVIRONMENT: readonly Fact[] = [
  ['DOCKER_CONFIG', "the directory of docker's `config.json`, where credentials are looked for"],
  ['REGISTRY_AUTH_FILE', 'as `LANDFALL_AUTHFILE`, for podman, skopeo and buildah too'],
  ['HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY', 'proxies, and the hosts that are reached without one'],
  ['XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_RUNTIME_DIR', 'where the files of a user are, see FILES'],
  ['TMPDIR', 'where temporary files are made'],
  ['NO_COLOR', 'no colours, when it is set and not empty'],
  ['COLUMNS', 'how wide help is where there is no terminal to ask'],
  ['TERM', '`dumb` is a terminal without bars and colours'],
  ['LC_ALL, LC_CTYPE, LANG', 'bars and trees are drawn with more than ASCII where these say UTF-8'],
  ['NOTIFY_SOCKET', 'where `landfall daemon` tells systemd that it is ready'],
];

export const FILES: readonly Fact[] = [
  [
    SYSTEM_CONFIG,
    'options for everybody on this machine; `landfall config --template` prints one with all keys',
  ],
  [
    '$XDG_CONFIG_HOME/landfall/config.toml',
    "a user's own, which counts more; `~/.config/landfall/config.toml` where the variable is not set",
  ],
  ['/var/lib/landfall', 'the store, as root'],
  [
    '$XDG_DATA_HOME/landfall',
    'the store of other users; `~/.local/share/landfall` where the variable is not set',
  ],
  ['/etc/landfall/certs.d, /etc/containerd/certs.d', 'mirrors, and how hosts are reached'],
  [
    '~/.docker/config.json, $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json',
    'credentials',
  ],
  ['~/.config/containers/policy.json, /etc/containers/policy.json', 'which signatures images need'],
  ['/run/landfall/landfall.sock', 'where `landfall daemon` listens'],
];
