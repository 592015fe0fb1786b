import type { BenchEnvironment, Contestant, RunContext, Sample } from '../contract.js';
import { measureCommand } from '../measure.js';
import { versionOf } from '../programs.js';

export const SKOPEO_COPY = 'skopeo copy';
export const SKOPEO_UMOCI = 'skopeo copy + umoci unpack';

/** `skopeo copy` to an OCI layout. */
export async function skopeoCopy({ programs }: BenchEnvironment, reference: string): Promise<Contestant[]> {
  if (!programs.have('skopeo')) return [];
  const version = await versionOf('skopeo');
  return [{ name: SKOPEO_COPY, version, run: (context) => copy(context, reference) }];
}

/** `skopeo copy` to an OCI layout, then `umoci unpack` of that to a directory. */
export async function skopeoUmoci(
  { programs, note }: BenchEnvironment,
  reference: string,
): Promise<Contestant[]> {
  if (!programs.have('skopeo', 'umoci')) return [];
  if (process.getuid?.() !== 0) {
    note('umoci unpack needs root');
    return [];
  }
  const version = `${await versionOf('skopeo')}, ${await versionOf('umoci')}`;
  const run = async (context: RunContext): Promise<Sample> => {
    const copied = await copy(context, reference);
    const { directory } = context;
    const unpacked = await measureCommand('umoci', [
      ...['unpack', '--image', `${directory}/layout:bench`, `${directory}/bundle`],
    ]);
    return inSequence(copied, unpacked);
  };
  return [{ name: SKOPEO_UMOCI, version, run }];
}

function copy({ directory }: RunContext, reference: string): Promise<Sample> {
  const names = [`docker://${reference}`, `oci:${directory}/layout:bench`];
  return measureCommand('skopeo', ['copy', '--quiet', '--src-tls-verify=false', ...names]);
}

function inSequence(first: Sample, second: Sample): Sample {
  return {
    wallSeconds: first.wallSeconds + second.wallSeconds,
    cpuSeconds: first.cpuSeconds + second.cpuSeconds,
    peakBytes: Math.max(first.peakBytes, second.peakBytes),
  };
}
