import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderError } from '../../src/cli/output/command-context.js';
import { type CommandOptions, landfall } from '../support/landfall-command.js';

/** What the page shows of one error: the command that was typed, when there is one, and what it printed. */
export interface Shown {
  /** Without the program's name. */
  readonly args?: readonly string[] | undefined;
  readonly stderr: string;
  /** Undefined where it was not the command that failed. */
  readonly exitCode?: number | undefined;
  /** What is called otherwise on the page, besides what {@link asOnPage} knows. */
  readonly names?: readonly (readonly [here: string | RegExp, there: string])[];
}

/** An empty directory with a store in it, for one provocation. */
export class Stage implements AsyncDisposable {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async set(): Promise<Stage> {
    return new Stage(await mkdtemp(join(tmpdir(), 'landfall-provoke-')));
  }

  get root(): string {
    return join(this.directory, 'store');
  }

  /** Runs the built command on the store of this stage, as somebody types it. */
  async run(args: readonly string[], options: CommandOptions = {}): Promise<Shown> {
    const env = { LANDFALL_ROOT: this.root, ...options.env };
    const { code, stderr } = await landfall([...args], { ...options, env });
    return { args, stderr, exitCode: code };
  }

  /** Runs a command that has to do what it is for. */
  async prepare(...args: readonly string[]): Promise<void> {
    const { exitCode, stderr } = await this.run(args);
    if (exitCode !== 0) throw new Error(`landfall ${args.join(' ')} failed:\n${stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** An error of the library as the command would print it. */
export function rendered(error: unknown): Shown {
  return { stderr: renderError(error) };
}

/** The words of a run here, as the page has them. */
export function asOnPage({ args, stderr, names = [] }: Shown, stage: Stage): string {
  const command = args === undefined ? '' : `$ landfall ${args.join(' ')}\n`;
  const said = stderr.slice(Math.max(0, stderr.search(/^landfall: (?!warning)/m)));
  const text = `${command}${said}`
    .replaceAll(stage.root, '/var/lib/landfall')
    .replaceAll(stage.directory, '/srv')
    .replaceAll(/127\.0\.0\.1:\d+/g, 'registry.lan:5000')
    .replaceAll(/sha256:[0-9a-f]{16,64}/g, 'sha256:…')
    .replaceAll(/\b\d{4}-\d\d-\d\d \d\d:\d\d UTC/g, '2026-01-31 12:00 UTC')
    .replaceAll('landfall test authority', 'Site CA')
    .trimEnd();
  return names.reduce((renamed, [here, there]) => renamed.replaceAll(here, there), text);
}
