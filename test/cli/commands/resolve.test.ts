import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { MEDIA_TYPES } from '../../../src/spec/index.js';
import { run, type ServedLists, serveLists } from './serve-lists.js';

describe('resolve', () => {
  let served: ServedLists;
  beforeAll(async () => {
    served = await serveLists();
  });
  afterAll(() => served[Symbol.asyncDispose]());

  test.each(['', 'docker://'])('prints the digest alone of %sREFERENCE', async (prefix) => {
    const { host, image } = served;
    expect(await run('resolve', `${prefix}${host}/team/app:1`)).toEqual({
      code: 0,
      out: `${image.digest}\n`,
      err: '',
    });
  });

  test('as JSON tells what it is too', async () => {
    const { host, image } = served;
    const { out } = await run('resolve', '--output', 'json', '--platform', 'arm64', `${host}/team/app:1`);
    expect(JSON.parse(out)).toEqual({
      reference: `${host}/team/app:1`,
      digest: image.digest,
      mediaType: MEDIA_TYPES.ociManifest,
      size: image.size,
      platform: 'linux/arm64',
    });
  });

  const faults: [name: string, argv: string[], code: number, message: string][] = [
    ['a tag that is not there', ['HOST/team/app:9'], 3, 'not found'],
    ['another platform', ['--platform', 'linux/s390x', 'HOST/team/app:1'], 3, 'linux/s390x'],
    ['a file', ['oci:mirror:1'], 2, 'is not at a registry'],
    ['no reference', ['UPPER'], 2, 'invalid reference'],
  ];
  test.each(faults)('%s', async (_name, argv, code, message) => {
    const words = argv.map((word) => word.replace('HOST', served.host));
    const ran = await run('resolve', ...words);
    expect(ran).toMatchObject({ code, out: '' });
    expect(ran.err).toContain(message);
  });
});
