import { createPublicKey, type KeyObject } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type CommandResult, runCommand } from './landfall-command.js';
import type { SigningLeaf } from './signing-authority.js';
import type { SigningKey } from './signing-keys.js';

/** A key pair in files, as cosign keeps it. */
export interface CosignKey {
  /** Path of the private key, which has an empty password. */
  readonly file: string;
  /** Path of the public key in PEM. */
  readonly public: string;
}

/** Who signs by cosign: a key, or a certificate with its key. */
export interface CosignSigner {
  readonly key: CosignKey;
  readonly certificate?: { readonly leaf: string; readonly chain: string };
}

/** Neither asks for a yes, nor for the internet. */
const OFFLINE = ['--allow-http-registry', '--allow-insecure-registry'];

/** Makes a key pair below `dir`. */
export async function cosignKey(dir: string, name: string): Promise<CosignKey> {
  const place = join(dir, name);
  await mkdir(place, { recursive: true });
  await cosign(['generate-key-pair', '--output-key-prefix', join(place, 'key')]);
  return { file: join(place, 'key.key'), public: join(place, 'key.pub') };
}

/** Has cosign take over a key that is there already; Debian's 2.5 takes none but Ed25519's. */
export async function importedCosignKey(dir: string, name: string, key: SigningKey): Promise<CosignKey> {
  const place = join(dir, name);
  await mkdir(place, { recursive: true });
  const pem = join(place, 'plain.pem');
  await writeFile(pem, key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await cosign(['import-key-pair', '--key', pem, '--output-key-prefix', join(place, 'key')]);
  return { file: join(place, 'key.key'), public: join(place, 'key.pub') };
}

/** A certificate for a key of cosign's. @param issue is given its public key */
export async function cosignCertificate(
  dir: string,
  name: string,
  issue: (key: SigningKey) => SigningLeaf,
): Promise<CosignSigner> {
  const key = await cosignKey(dir, name);
  const leaf = issue(publicPart(await readFile(key.public, 'utf8')));
  const certificate = { leaf: join(dir, name, 'leaf.pem'), chain: join(dir, name, 'chain.pem') };
  await writeFile(certificate.leaf, leaf.pem);
  await writeFile(certificate.chain, leaf.chain.map((one) => one.toString()).join(''));
  return { key, certificate };
}

function publicPart(pem: string): SigningKey {
  return {
    publicKey: createPublicKey(pem),
    pem,
    fingerprint: '',
    get privateKey(): KeyObject {
      throw new Error('only cosign has it');
    },
  };
}

/**
 * Signs what a digest names, at its registry. @param identity what the signature is to say that it is for;
 * default: the repository
 */
export async function cosignSign(
  image: string,
  { key, certificate }: CosignSigner,
  identity?: string,
): Promise<void> {
  const by =
    certificate === undefined
      ? []
      : ['--certificate', certificate.leaf, '--certificate-chain', certificate.chain];
  const as = identity === undefined ? [] : ['--sign-container-identity', identity];
  await cosign(['sign', '--yes', '--tlog-upload=false', ...OFFLINE, '--key', key.file, ...by, ...as, image]);
}

/** What `cosign verify` says of an image. */
export async function cosignVerify(image: string, by: readonly string[]): Promise<CommandResult> {
  return await run(['verify', '--insecure-ignore-tlog', ...OFFLINE, ...by, image]);
}

async function cosign(args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(args);
  if (code !== 0) throw new Error(`cosign ${args.join(' ')} failed (${code}):\n${stderr}`);
}

async function run(args: readonly string[]): Promise<CommandResult> {
  return await runCommand('cosign', args, { env: { COSIGN_PASSWORD: '' } });
}
