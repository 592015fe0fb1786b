import { createRequire } from 'node:module';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/spec/index.js';
import { CertificateAuthority } from '../support/certificate-authority.js';
import { ForwardProxy } from '../support/forward-proxy.js';
import { landfall } from '../support/landfall-command.js';
import { manifestReply, ScriptedRegistry, type Step } from '../support/scripted-registry.js';

const HEAD: Step = { on: 'HEAD /v2/team/app/manifests/1', ...manifestReply('{}') };
const DIGEST = digestOf(Buffer.from('{}'));

/** The built command has parts of undici only; the tests of src/registry have all of it. */
describe('with the parts of undici that it has, the built command', () => {
  const authority = new CertificateAuthority();
  const tls = authority.server({ hosts: ['127.0.0.1', 'registry.example'] });
  let work: string;
  let ca: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-bundled-undici-'));
    ca = join(work, 'ca.pem');
    await writeFile(ca, authority.cert);
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const resolve = async (host: string, flags: string[], env: Record<string, string> = {}): Promise<void> => {
    const args = ['resolve', '--hosts-dir', '/nonexistent', ...flags, `${host}/team/app:1`];
    expect(await landfall(args, { env })).toMatchObject({ code: 0, stdout: `${DIGEST}\n`, stderr: '' });
  };

  it('asks over HTTP', async () => {
    await using registry = await ScriptedRegistry.start([HEAD]);
    await resolve(registry.address, ['--plain-http']);
  });

  it('asks over TLS', async () => {
    await using registry = await ScriptedRegistry.start([HEAD], tls);
    await resolve(registry.address, ['--ca', ca]);
  });

  it('asks a proxy', async () => {
    await using registry = await ScriptedRegistry.start([HEAD]);
    await using proxy = await ForwardProxy.start({ leads: { 'registry.example': registry.address } });
    await resolve('registry.example', ['--plain-http'], { HTTP_PROXY: proxy.origin });
    expect(proxy.lines).toEqual(['HEAD http://registry.example/v2/team/app/manifests/1']);
  });

  it('asks through a tunnel', async () => {
    await using registry = await ScriptedRegistry.start([HEAD], tls);
    await using proxy = await ForwardProxy.start({ leads: { 'registry.example': registry.address } });
    await resolve('registry.example', ['--ca', ca], { HTTPS_PROXY: proxy.origin });
    expect(proxy.lines).toEqual(['CONNECT registry.example:443']);
  });
});

it('the parts of undici are those that its index gives', () => {
  const load = createRequire(import.meta.url);
  const whole = load('undici') as Record<string, unknown>;
  expect({
    Agent: load('undici/lib/dispatcher/agent.js') as unknown,
    buildConnector: load('undici/lib/core/connect.js') as unknown,
    Dispatcher: load('undici/lib/dispatcher/dispatcher.js') as unknown,
    Pool: load('undici/lib/dispatcher/pool.js') as unknown,
  }).toEqual({
    Agent: whole['Agent'],
    buildConnector: whole['buildConnector'],
    Dispatcher: whole['Dispatcher'],
    Pool: whole['Pool'],
  });
});
