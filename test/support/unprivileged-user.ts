import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import {
  type CommandOptions,
  type CommandResult,
  LANDFALL,
  peerOutput,
  runCommand,
} from './landfall-command.js';
import { isRoot } from './needs-root.js';

/** `nobody` of every Linux. */
const NOBODY = 65_534;
const TREE = resolve(import.meta.dirname, '../..');

/**
 * Somebody without privileges, at home in a directory of their own: who runs the tests, or `nobody` where
 * that is root. What the built command consists of is copied for `nobody`, since it may lie where only root
 * can read it.
 */
export class UnprivilegedUser implements AsyncDisposable {
  readonly uid: number;
  /** Belongs to this user, and goes with this object. */
  readonly directory: string;
  /** The built command, where this user can read it. */
  readonly landfall: string;

  private constructor(uid: number, directory: string, landfall: string) {
    this.uid = uid;
    this.directory = directory;
    this.landfall = landfall;
  }

  static async start(): Promise<UnprivilegedUser> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-user-'));
    const uid = isRoot ? NOBODY : (process.getuid?.() ?? NOBODY);
    const user = new UnprivilegedUser(uid, directory, isRoot ? join(directory, COMMAND) : LANDFALL);
    for (const name of ['home', 'tmp']) await mkdir(join(directory, name));
    if (isRoot) {
      await copyCommand(directory);
      for (const path of [directory, join(directory, 'home'), join(directory, 'tmp')]) {
        await chown(path, NOBODY, NOBODY);
      }
    }
    return user;
  }

  /** What has to stand before a command for this user to run it. */
  get become(): readonly string[] {
    return isRoot ? ['setpriv', `--reuid=${this.uid}`, `--regid=${this.uid}`, '--clear-groups', '--'] : [];
  }

  get env(): Readonly<Record<string, string>> {
    return { HOME: join(this.directory, 'home'), TMPDIR: join(this.directory, 'tmp') };
  }

  run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const [program = command, ...rest] = [...this.become, command, ...args];
    return runCommand(program, rest, {
      cwd: this.directory,
      ...options,
      env: { ...this.env, ...options.env },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Directories of an image may have any mode, and in a user namespace files may get other owners.
    await peerOutput('chmod', ['-R', 'u+rwX', this.directory]);
    await peerOutput('rm', ['-rf', this.directory]);
  }
}

const COPY = 'program';
const COMMAND = join(COPY, relative(TREE, LANDFALL));

/** The built command, and the packages that it needs to run. */
async function copyCommand(directory: string): Promise<void> {
  const program = join(directory, COPY);
  await mkdir(program);
  for (const path of ['dist', 'package.json', ...(await productionPackages())]) {
    await cp(join(TREE, path), join(program, path), { recursive: true });
  }
  await chmod(directory, 0o755);
  await peerOutput('chmod', ['-R', 'a+rX', program]);
}

/** As npm noted them when it installed; those of other platforms are noted too, and not here. */
async function productionPackages(): Promise<string[]> {
  const note = JSON.parse(await readFile(join(TREE, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { dev?: boolean }>>;
  };
  const wanted = Object.entries(note.packages).filter(([, { dev }]) => dev !== true);
  return wanted.map(([path]) => path).filter((path) => existsSync(join(TREE, path)));
}
