import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { systemAuthorities } from '../../../src/registry/http/system-authorities.js';
import { parseReference } from '../../../src/spec/index.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { manifestReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { selfSigned } from '../../support/self-signed.js';

const HEAD: Step = { on: 'HEAD /v2/app/manifests/1', ...manifestReply('{}') };

describe('the authorities of a machine', () => {
  let work: string;
  const [one, two, three] = ['one', 'two', 'three'].map((name) => selfSigned(name).cert.trim());
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-authorities-'));
    await mkdir(join(work, 'certs'));
    await writeFile(join(work, 'bundle.pem'), `# the bundle\n${one}\n\n${two}\n`);
    await writeFile(join(work, 'other.pem'), `${three}\n`);
    await writeFile(join(work, 'certs/own.pem'), `${three}\n`);
    await writeFile(join(work, 'certs/README'), 'no certificate\n');
    await symlink('../bundle.pem', join(work, 'certs/link.pem'));
  });
  afterEach(() => rm(work, { recursive: true, force: true }));

  const at = (name: string): string => join(work, name);
  const places = (): { files: string[]; directories: string[] } => ({
    files: [at('none.pem'), at('bundle.pem'), at('other.pem')],
    directories: [at('nowhere'), at('certs')],
  });
  const nowhere = { files: [], directories: [] };

  it.each([
    ['the first bundle that is there, and what lies in the directory', {}, () => places(), [one, two, three]],
    ['SSL_CERT_FILE in place of the bundle', { SSL_CERT_FILE: 'other.pem' }, () => nowhere, [three]],
    ['SSL_CERT_DIR, with what it links to', { SSL_CERT_DIR: 'certs' }, () => nowhere, [one, two, three]],
    [
      'NODE_EXTRA_CA_CERTS besides',
      { SSL_CERT_FILE: 'bundle.pem', NODE_EXTRA_CA_CERTS: 'other.pem' },
      () => nowhere,
      [one, two, three],
    ],
    [
      'what Node brings, where there is nothing',
      { SSL_CERT_FILE: 'none.pem' },
      () => nowhere,
      rootCertificates,
    ],
  ])('are %s', async (_, names, where, expected) => {
    const env = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, at(name)]));
    expect((await systemAuthorities(env, where())).toSorted()).toEqual([...expected].toSorted());
  });

  it('are believed, and no others', async () => {
    const tls = selfSigned();
    await writeFile(at('site.pem'), tls.cert);
    await using registry = await ScriptedRegistry.start([HEAD], tls);
    const resolve = async (env: Record<string, string>): Promise<unknown> => {
      await using client = fastClient({ env });
      return await client.resolver().resolve(parseReference(`${registry.address}/app:1`));
    };
    expect((await failure(resolve({ SSL_CERT_FILE: at('other.pem') }))).message).toContain(
      'unknown authority',
    );
    await resolve({ SSL_CERT_FILE: at('site.pem') });
  });
});
