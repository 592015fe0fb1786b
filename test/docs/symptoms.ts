import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CertificateAuthority } from '../support/certificate-authority.js';
import { LANDFALL, runCommand } from '../support/landfall-command.js';
import { isRoot } from '../support/needs-root.js';
import { startLyingRegistry } from '../support/lying-registry.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';
import { plainImage, withImage } from './going-wrong.js';
import type { Shown, Stage } from './stage.js';

/** What a section about a symptom shows. */
export interface Symptom {
  readonly title: string;
  readonly provoke: (stage: Stage) => Promise<Shown>;
}

/** A pull from a registry that shows a certificate of an authority that is known, or not. */
async function overTls(stage: Stage, o: { known: boolean; expired?: boolean }): Promise<Shown> {
  const authority = new CertificateAuthority();
  const ca = join(stage.directory, 'ca.pem');
  await writeFile(ca, authority.cert);
  await using registry = await ScriptedRegistry.start([], authority.server({ expired: o.expired ?? false }));
  return await stage.run(['pull', ...(o.known ? ['--ca', ca] : []), `${registry.address}/team/app:1`]);
}

/** A mount by somebody who may not. */
function unprivilegedMount(stage: Stage): Promise<Shown> {
  return withImage(stage, [], async (reference) => {
    const target = join(stage.directory, 'mnt');
    await mkdir(target);
    const args = ['mount', '--platform', 'linux/amd64', reference, target];
    const without = ['setpriv', '--inh-caps=-sys_admin', '--bounding-set=-sys_admin'];
    const words = [...(isRoot ? without : []), process.execPath, LANDFALL, ...args];
    const { code, stderr } = await runCommand(words[0] ?? '', words.slice(1), {
      env: { LANDFALL_ROOT: stage.root },
    });
    return { args, stderr, exitCode: code };
  });
}

/** A pull through a proxy that nobody runs. */
async function throughDeadProxy(stage: Stage): Promise<Shown> {
  await using registry = await startLyingRegistry(await plainImage(join(stage.directory, 'layout')));
  const dead = registry.address;
  await registry[Symbol.asyncDispose]();
  const shown = await stage.run(['pull', 'registry.example/team/app:1'], {
    env: { HTTPS_PROXY: `http://${dead}` },
  });
  return { ...shown, names: [['registry.lan:5000', 'proxy.lan:3128']] };
}

export const SYMPTOMS: readonly Symptom[] = [
  { title: 'x509: the certificate is not trusted', provoke: (stage) => overTls(stage, { known: false }) },
  { title: 'The clock is wrong', provoke: (stage) => overTls(stage, { known: true, expired: true }) },
  { title: 'mount: operation not permitted', provoke: unprivilegedMount },
  { title: 'Behind a corporate proxy', provoke: throughDeadProxy },
];
