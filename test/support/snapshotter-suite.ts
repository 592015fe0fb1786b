import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { LANDFALL, peerOutput, runCommand } from './landfall-command.js';
import { needsPeer } from './peers.js';

/** The cases of containerd's suite, as snapshots/testsuite/testsuite.go spells them. */
export const SUITE_CASES = [
  'Basic',
  'StatActive',
  'StatComitted',
  'TransitivityTest',
  'PreareViewFailingtest',
  'Update',
  'Remove',
  'Walk',
  'LayerFileupdate',
  'RemoveDirectoryInLowerLayer',
  'Chown',
  'DirectoryPermissionOnCommit',
  'RemoveIntermediateSnapshot',
  'DeletedFilesInChildSnapshot',
  'MoveFileFromLowerLayer',
  'ViewReadonly',
  'StatInWalk',
  'CloseTwice',
  'RootPermission',
  'Rename',
  '128LayersMount',
] as const;

/** What came of one case. */
export interface SuiteVerdict {
  readonly verdict: 'PASS' | 'FAIL' | 'SKIP' | 'none';
  /** What it said. */
  readonly log: string;
}

const SOURCE = resolve(import.meta.dirname, '../snapshotter/suite_test.go');
const GO_PATH = '/usr/share/gocode';
/** What it is built from, and the Debian packages that bring that. */
const SOURCES: Readonly<Record<string, string>> = {
  'github.com/containerd/containerd/snapshots/testsuite': 'golang-github-containerd-containerd-dev',
  'github.com/containerd/continuity/fs/fstest': 'golang-github-containerd-continuity-dev',
  'github.com/stretchr/testify/assert': 'golang-github-stretchr-testify-dev',
  'google.golang.org/grpc': 'golang-google-grpc-dev',
};

/** Why the suite cannot run here, or undefined; throws instead under LANDFALL_REQUIRE_PEERS=1. */
export function whyNoSuite(): string | undefined {
  const reason = needsPeer('go', 'unshare');
  const missing = Object.entries(SOURCES).filter(([path]) => !existsSync(join(GO_PATH, 'src', path)));
  if (missing.length === 0) return reason;
  const absent = `not here: ${missing.map(([, debianPackage]) => debianPackage).join(', ')}`;
  if (process.env['LANDFALL_REQUIRE_PEERS'] === '1')
    throw new Error(`LANDFALL_REQUIRE_PEERS=1, but ${absent}`);
  return absent;
}

/**
 * Runs containerd's conformance suite against the built daemon, in a mount namespace of its own, and gives
 * the verdict on each case by its name.
 */
export async function runSuite(): Promise<ReadonlyMap<string, SuiteVerdict>> {
  const work = await mkdtemp(join(tmpdir(), 'landfall-suite-'));
  try {
    const binary = await buildSuite(work);
    const { stdout, stderr } = await runCommand(
      'unshare',
      ['-m', '--propagation', 'private', binary, '-test.v', '-test.timeout', '10m'],
      { env: { NODE: process.execPath, LANDFALL }, cwd: work },
    );
    return verdictsIn(`${stdout}\n${stderr}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function buildSuite(work: string): Promise<string> {
  const source = join(work, 'src', 'snapshotter');
  await mkdir(source, { recursive: true });
  await copyFile(SOURCE, join(source, 'suite_test.go'));
  const binary = join(work, 'suite');
  await peerOutput('env', [
    ...['-C', work, 'GO111MODULE=off', 'GOFLAGS=', `GOPATH=${work}:${GO_PATH}`, 'CGO_ENABLED=0'],
    ...[`GOCACHE=${join(tmpdir(), 'landfall-go-build')}`, `HOME=${work}`],
    ...['go', 'test', '-c', '-o', binary, 'snapshotter'],
  ]);
  return binary;
}

/** Go says before what a case says whose that is, wherever it is another's than before. */
function verdictsIn(output: string): ReadonlyMap<string, SuiteVerdict> {
  const found = new Map<string, SuiteVerdict>();
  let at = '';
  for (const line of output.split('\n')) {
    const [, speaker] = /^=== (?:RUN|CONT|NAME) +TestLandfall\/(\S+)/.exec(line) ?? [];
    const [, verdict, name] = /^ +--- (PASS|FAIL|SKIP): TestLandfall\/(\S+)/.exec(line) ?? [];
    at = name ?? speaker ?? at;
    const before = found.get(at) ?? { verdict: 'none', log: '' };
    found.set(at, {
      verdict: (verdict as SuiteVerdict['verdict'] | undefined) ?? before.verdict,
      log: `${before.log}${line}\n`,
    });
  }
  return found;
}
