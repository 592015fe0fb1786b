import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { main } from '../../../src/cli/main.js';
import type { SettingInfo } from '../../../src/cli/commands/config.js';
import type { Ran } from '../commands/serve-lists.js';
import { FakeSignals, fakeSurroundings } from '../fake-surroundings.js';

/** A home, and a place for the system's file, with such configuration files as they are given. */
export class Configured implements AsyncDisposable {
  readonly home: string;
  readonly system: string;
  readonly user: string;

  private constructor(directory: string) {
    this.home = directory;
    this.system = join(directory, 'etc/config.toml');
    this.user = join(directory, '.config/landfall/config.toml');
  }

  static async make(files: { readonly system?: string; readonly user?: string } = {}): Promise<Configured> {
    const made = new Configured(await mkdtemp(join(tmpdir(), 'landfall-config-')));
    if (files.system !== undefined) await made.write(made.system, files.system);
    if (files.user !== undefined) await made.write(made.user, files.user);
    return made;
  }

  async write(file: string, text: string): Promise<void> {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  /** Runs the command in this process, with these files and nothing else in its environment. */
  async run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const surroundings = fakeSurroundings({
      env: { HOME: this.home, LANDFALL_CONFIG: '', ...env },
      systemConfig: this.system,
      uid: 1000,
    });
    const code = await main(argv, surroundings, new FakeSignals());
    return { code, out: surroundings.stdout.text, err: surroundings.stderr.text };
  }

  /** What `landfall config` says of a key. */
  async setting(
    key: string,
    argv: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<SettingInfo> {
    const { code, out, err } = await this.run([...argv, 'config', key, '--output', 'json'], env);
    if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
    const [setting, ...others] = (JSON.parse(out) as { settings: SettingInfo[] }).settings;
    if (setting === undefined || others.length > 0) throw new Error(`${key} is not one key:\n${out}`);
    return setting;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.home, { recursive: true });
  }
}
