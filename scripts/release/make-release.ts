import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { disagreements } from './agreement.js';
import { judgeAudit, parseAllowed } from './audit.js';
import { releasedChangelog } from './changelog.js';
import { pack, sha256Of } from './pack.js';
import type { RunProgram } from './run-program.js';

export interface ReleaseOptions {
  /** The repository. */
  readonly root: string;
  /** An empty directory of its own, for the copy in which everything is done. */
  readonly work: string;
  /** The day, `YYYY-MM-DD`. */
  readonly date: string;
  /** Checks, and says what would be done. */
  readonly dryRun: boolean;
  readonly run: RunProgram;
  /** One line of what is going on. */
  readonly emit: (line: string) => void;
}

/** What a step works on. */
interface Site extends ReleaseOptions {
  /** A clone of the commit: what is not in it cannot get into the release. */
  readonly tree: string;
  readonly version: string;
  readonly changelog: string;
  readonly notes: string;
}

interface Step {
  readonly title: string;
  readonly run: (site: Site) => Promise<void>;
}

/** Where the release lies at the end, below the repository. */
export const RELEASE_DIRECTORY = 'release';

const npm = (title: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Step => ({
  title,
  run: async ({ run, tree }) => {
    await run('npm', args, { cwd: tree, env, show: true });
  },
});

/** Nothing of the repository changes before the last two. */
const STEPS: readonly Step[] = [
  { title: 'clone the commit', run: cloneCommit },
  { title: "write the version's part of the changelog there", run: writeChangelog },
  npm('install and build: npm ci', ['ci', '--no-audit', '--no-fund']),
  npm('compile the natives for x64 and arm64: scripts/natives', ['run', 'natives']),
  { title: 'look for known vulnerabilities: npm audit', run: audit },
  npm('lint', ['run', 'lint']),
  npm('types', ['run', 'typecheck']),
  npm('tests', ['test'], { LANDFALL_BUILT: '1', LANDFALL_REQUIRE_PEERS: '1' }),
  npm(
    'the package in an empty project, on every Node.js',
    ['test', '--', 'test/e2e/package.test.ts', 'test/e2e/package-contents.test.ts'],
    { LANDFALL_BUILT: '1', LANDFALL_LONG: '1' },
  ),
  {
    title: `pack twice into ${RELEASE_DIRECTORY}/, with the bill of materials, notes and checksums`,
    run: packRelease,
  },
  { title: 'write CHANGELOG.md', run: takeChangelog },
];

/**
 * Makes a release of the commit that is checked out: whatever a user gets is made, tested and packed in a
 * clone of it. Publishes nothing.
 *
 * @throws Error where the tree has changes, versions disagree, or a step fails; then the repository is as it
 *   was
 */
export async function makeRelease(options: ReleaseOptions): Promise<void> {
  const { root, work, date, dryRun, emit } = options;
  const { version, changelog: before } = await checked(options);
  const { changelog, notes } = releasedChangelog(before, version, date);
  const site: Site = { ...options, tree: join(work, 'tree'), version, changelog, notes };
  emit(`landfall ${version}, ${date}${dryRun ? ': what would be done' : ''}`);
  for (const [at, { title, run }] of STEPS.entries()) {
    emit(`${at + 1}/${STEPS.length} ${title}`);
    if (!dryRun) await run(site);
  }
  emit(dryRun ? `\n${notes}` : whatIsNext(version, join(root, RELEASE_DIRECTORY)));
}

async function checked({
  root,
  run,
}: ReleaseOptions): Promise<{ readonly version: string; readonly changelog: string }> {
  const changes = (await run('git', ['status', '--porcelain'], { cwd: root })).trimEnd();
  if (changes !== '') throw new Error(`the tree has changes; commit them, or put them away:\n${changes}`);
  const changelog = await readFile(join(root, 'CHANGELOG.md'), 'utf8');
  const [version, lock] = await Promise.all(
    ['package.json', 'package-lock.json'].map((file) => versionIn(root, file)),
  );
  if (version === undefined || lock === undefined) throw new Error('package.json has no version');
  const tags = (await run('git', ['tag', '--list'], { cwd: root })).split('\n').filter((tag) => tag !== '');
  const problems = disagreements({ manifest: version, lock, changelog, tags });
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return { version, changelog };
}

async function versionIn(root: string, file: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(root, file), 'utf8')) as { version?: unknown };
  return String(version);
}

async function cloneCommit({ run, root, tree }: Site): Promise<void> {
  await run('git', ['clone', '--quiet', '--no-hardlinks', root, tree], { cwd: root });
}

async function writeChangelog({ tree, changelog }: Site): Promise<void> {
  await writeFile(join(tree, 'CHANGELOG.md'), changelog);
}

async function audit({ run, tree, emit }: Site): Promise<void> {
  const allowed = parseAllowed(await readFile(join(tree, 'scripts/release/audit-allowed.json'), 'utf8'));
  const outcome = judgeAudit(await run('npm', ['audit', '--json'], { cwd: tree, mayFail: true }), allowed);
  if (!outcome.offered) {
    emit(
      `  the registry does not offer it (${outcome.why}): look at the advisories elsewhere before you publish`,
    );
    return;
  }
  for (const line of outcome.explained) emit(`  explained: ${line}`);
  for (const id of outcome.obsolete) emit(`  ${id} is explained and not found: its line can go`);
  if (outcome.unexplained.length > 0) {
    const lines = outcome.unexplained.map((line) => `  ${line}`).join('\n');
    throw new Error(`npm audit found what scripts/release/audit-allowed.json does not explain:\n${lines}`);
  }
}

async function packRelease({ run, root, tree, work, version, notes }: Site): Promise<void> {
  const [once, again] = [await pack(run, tree, join(work, '1')), await pack(run, tree, join(work, '2'))];
  if ((await sha256Of(once)) !== (await sha256Of(again)))
    throw new Error('packing the same tree twice gave other bytes');
  const release = join(root, RELEASE_DIRECTORY);
  await rm(release, { recursive: true, force: true });
  await mkdir(release);
  const archive = basename(once);
  const bill = `landfall-${version}.cdx.json`;
  await copyFile(once, join(release, archive));
  await copyFile(join(tree, 'dist/sbom.cdx.json'), join(release, bill));
  await writeFile(join(release, 'NOTES.md'), notes);
  const files = [archive, bill, 'NOTES.md'];
  const lines = await Promise.all(
    files.map(async (file) => `${await sha256Of(join(release, file))}  ${file}\n`),
  );
  await writeFile(join(release, 'SHA256SUMS'), lines.join(''));
}

async function takeChangelog({ root, changelog }: Site): Promise<void> {
  await writeFile(join(root, 'CHANGELOG.md'), changelog);
}

function whatIsNext(version: string, release: string): string {
  return `
The release lies in ${release}. What is next, when you want it:

  git commit --message 'Release ${version}' CHANGELOG.md
  git tag --annotate v${version} --file ${RELEASE_DIRECTORY}/NOTES.md
  git push --follow-tags
  npm publish ${RELEASE_DIRECTORY}/landfall-${version}.tgz
  and the files of ${RELEASE_DIRECTORY}/ beside the tag, SHA256SUMS among them
`;
}
