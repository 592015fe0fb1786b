import { resolve } from 'node:path';
import { output } from '../bound-process.js';
import type { BenchEnvironment, Contestant, RunContext, Sample } from '../contract.js';
import { measureCommand } from '../measure.js';

/** The built command. */
export const LANDFALL_COMMAND: string = resolve(import.meta.dirname, '../../bin/landfall.js');

/** Where it does not matter what inflates. */
export const LANDFALL = 'landfall';
export const LANDFALL_ZLIB = 'landfall, zlib';
export const LANDFALL_ISA_L = 'landfall, ISA-L';

/** What is on the disk when a pull is done. */
export type Sync = 'full' | 'blobs' | 'none';

export interface LandfallPull {
  readonly name: string;
  readonly reference: string;
  /** Pulled into the same store before each run, which is not measured. */
  readonly first?: string;
  /** Default: `blobs`, which is as durable as containerd is by default. */
  readonly sync?: Sync;
  /** Further options of `pull`. */
  readonly options?: readonly string[];
}

/** `landfall pull` into an empty store. */
export async function landfallPull(pull: LandfallPull): Promise<Contestant> {
  const { name, reference, first, sync = 'blobs', options = [] } = pull;
  const args = ({ directory }: RunContext, each: string): readonly string[] => [
    LANDFALL_COMMAND,
    ...['--root', `${directory}/store`, '--progress', 'none', '--plain-http'],
    ...['pull', `--sync=${sync}`, ...options, each],
  ];
  return {
    name,
    version: await landfallVersion(),
    prepare: async (context) => {
      if (first !== undefined) await output(process.execPath, args(context, first));
    },
    run: (context): Promise<Sample> => measureCommand(process.execPath, args(context, reference)),
  };
}

/** One contestant that inflates with Node's zlib, and one with ISA-L where that is installed. */
export async function landfallByInflater(
  { note }: Pick<BenchEnvironment, 'note'>,
  pull: Omit<LandfallPull, 'name'>,
): Promise<Contestant[]> {
  const withInflater = (name: string, inflate: string): Promise<Contestant> =>
    landfallPull({ ...pull, name, options: [...(pull.options ?? []), `--inflate=${inflate}`] });
  const zlib = await withInflater(LANDFALL_ZLIB, 'zlib');
  if (await hasIsaL()) return [zlib, await withInflater(LANDFALL_ISA_L, 'isa-l')];
  note('ISA-L is not here: apt-get install libisal2');
  return [zlib];
}

export async function landfallVersion(): Promise<string> {
  const version = await output(process.execPath, [LANDFALL_COMMAND, '--version']);
  return `${version.trim()} on Node.js ${process.versions.node}`;
}

/** What `landfall doctor` says of it. */
async function hasIsaL(): Promise<boolean> {
  const said = await output(process.execPath, [LANDFALL_COMMAND, 'doctor', '--output', 'json']);
  const { capabilities } = JSON.parse(said) as { capabilities: { name: string; available: boolean }[] };
  return capabilities.some(({ name, available }) => name.includes('ISA-L') && available);
}
