import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { mapLimited } from '../../../src/concurrency/index.js';
import { isLandfallError } from '../../../src/errors.js';
import { parsePolicy } from '../../../src/trust/policy/parse-policy.js';
import { needsPeer } from '../../support/peers.js';
import { POLICY_ROWS, type PolicyRow } from '../../support/policy-rows.js';

/*
 * What is a policy and what is none, held against skopeo, which reads them with containers/image as podman, buildah and CRI-O do.
 */

let scratch: string;
/**
 * What skopeo makes of each row: it is asked for all of them at once, since starting it is what takes time.
 */
let skopeos: ReadonlyMap<PolicyRow, boolean>;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'landfall-policies-'));
  if (needsPeer('skopeo') !== undefined) return;
  skopeos = new Map(
    await mapLimited([...POLICY_ROWS.entries()], 4, async ([index, row]): Promise<[PolicyRow, boolean]> => [
      row,
      await skopeoAccepts(row, index),
    ]),
  );
});

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

/**
 * Whether skopeo takes the file for a policy. What it then says of the image, which is not there, does not
 * matter.
 */
async function skopeoAccepts({ text }: PolicyRow, index: number): Promise<boolean> {
  const file = join(scratch, `${index}.json`);
  await writeFile(file, text);
  const args = ['--policy', file, 'copy', `oci:${scratch}/absent:1`, `dir:${scratch}/out-${index}`];
  const stderr = await new Promise<string>((resolve) => {
    execFile(
      'skopeo',
      args,
      { env: { PATH: process.env['PATH'], HOME: scratch } },
      (_error, _stdout, text) => {
        resolve(text);
      },
    );
  });
  if (stderr.includes(`invalid policy in \\"${file}\\"`)) return false;
  if (stderr.includes('absent')) return true;
  throw new Error(`skopeo says neither: ${stderr}`);
}

async function landfallAccepts({ text }: PolicyRow): Promise<boolean> {
  try {
    await parsePolicy(Buffer.from(text), 'policy.json');
    return true;
  } catch (error) {
    if (isLandfallError(error)) return false;
    throw error;
  }
}

describe.skipIf(needsPeer('skopeo') !== undefined)('skopeo agrees', () => {
  const agreed = POLICY_ROWS.filter(({ peersDiffer }) => peersDiffer === undefined);
  it.each(agreed)('on $name', async (row) => {
    expect(skopeos.get(row)).toBe(await landfallAccepts(row));
  });
});

describe.skipIf(needsPeer('skopeo') !== undefined)('skopeo differs', () => {
  const differing = POLICY_ROWS.filter(({ peersDiffer }) => peersDiffer !== undefined);
  it.each(differing)('on $name: $peersDiffer', async (row) => {
    expect(skopeos.get(row)).toBe(!(await landfallAccepts(row)));
  });
});
