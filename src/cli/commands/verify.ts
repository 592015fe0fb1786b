import { stat } from 'node:fs/promises';
import { LandfallError } from '../../errors.js';
import {
  type Descriptor,
  formatPlatform,
  formatReference,
  formatSize,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { transportOf } from '../../transfer/transports/archives/archive.js';
import { openArchive } from '../../transfer/transports/archives/open-archive.js';
import { openDirectory } from '../../transfer/transports/directory-transport.js';
import type { GovernedImage } from '../../transfer/transports/destination.js';
import { type ImageTransport, parseTransport } from '../../transfer/transports/image-transport.js';
import { readDeclarationFile } from '../../transfer/transports/layout-index.js';
import { LayoutTransport } from '../../transfer/transports/layout-transport.js';
import { RegistryTransport } from '../../transfer/transports/registry-transport.js';
import { type JudgedRoot, judgeImages, type PolicyVerdict } from '../../transfer/verify/judge-images.js';
import { layoutRoots, registryRoots, storeRoots } from '../../transfer/verify/layout-roots.js';
import { faultOf, type VerifyFault, type VerifyFaultKind } from '../../transfer/verify/verify-graph.js';
import { verify, type VerifyOptions, type VerifyReport } from '../../transfer/verify/verify.js';
import { countOf, printable } from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { policyOf, withStore } from '../images/with-store.js';
import { answer, type CommandContext, type CommandResult, errorInfo } from '../output/command-context.js';
import { EXIT_CODES, type ExitCode, exitCodeOf } from '../output/exit-codes.js';
import { omittedJson } from './copy-info.js';

export async function verifyCommand(
  source: string | undefined,
  flags: { readonly diffIds?: boolean; readonly referrers?: boolean },
  context: CommandContext,
): CommandResult {
  const { signal, settings } = context;
  const policy = await policyOf(context);
  return await withVerifySource(source, context, async ({ name, roots, faults, isLeftOut }) => {
    const report = await verify(roots, {
      signal,
      isLeftOut,
      diffIds: flags.diffIds ?? false,
      referrers: flags.referrers ?? false,
      concurrency: settings.concurrency,
    });
    const all = [...faults.map((fault) => faultOf(fault, undefined)), ...report.faults];
    const verdicts = policy === undefined ? [] : await judgeImages(roots, policy, { signal });
    const asks = verdicts.some(({ outcome }) => outcome !== 'accepted');
    const judged = policy === undefined || !asks ? undefined : { policy: policy.path, verdicts };
    const verified = { source: name, ...report, faults: all, judged };
    answer(context, verifiedJson(verified), () => renderVerified(verified));
    return worstOf(all, verdicts);
  });
}

/**
 * Of what is worst: bytes that are not there or not right, or a lack of signatures, then what is malformed,
 * then what could not be read.
 */
function worstOf(faults: readonly VerifyFault[], verdicts: readonly PolicyVerdict[]): ExitCode {
  const codes = faults.map(({ kind, code }): ExitCode => {
    return kind === 'missing' || kind === 'damaged' ? EXIT_CODES.DIGEST_MISMATCH : EXIT_CODES[code];
  });
  for (const verdict of verdicts) if (verdict.outcome === 'refused') codes.push(exitCodeOf(verdict.error));
  for (const code of [EXIT_CODES.DIGEST_MISMATCH, EXIT_CODES.BAD_ARCHIVE]) {
    if (codes.includes(code)) return code;
  }
  return codes[0] ?? 0;
}

/** The proof of a source. */
export interface VerifiedImages extends VerifyReport {
  readonly source: string;
  /**
   * A signature policy that asks something of one of the images, and what it says of each, in their order.
   */
  readonly judged: { readonly policy: string; readonly verdicts: readonly PolicyVerdict[] } | undefined;
}

const KINDS: readonly VerifyFaultKind[] = ['missing', 'damaged', 'malformed', 'unreadable'];

/** As docs/json-output.md has it. */
export function verifiedJson(verified: VerifiedImages): object {
  const { source, images, manifests, blobs, bytes, faults, leftOut, judged } = verified;
  return {
    source,
    whole: faults.length === 0,
    policy: judged?.policy,
    refused: judged && refusalsOf(verified).length,
    images: images.map(({ name, target: { digest, mediaType } }, at) => {
      return { name, digest, mediaType, ...verdictJson(judged?.verdicts[at]) };
    }),
    manifests,
    blobs,
    bytes,
    ...Object.fromEntries(KINDS.map((kind) => [kind, faultsOf(faults, kind).map(faultJson)])),
    leftOut: leftOut.map(omittedJson),
  };
}

export function renderVerified(verified: VerifiedImages): string {
  const { source, images, manifests, blobs, bytes, faults, leftOut, judged } = verified;
  const info: readonly (readonly [string, string])[] = [
    ['images', String(images.length)],
    ['manifests', String(manifests)],
    ['blobs', String(blobs)],
    ['bytes', formatSize(bytes)],
    ...(leftOut.length === 0 ? [] : [['left out', leftOutLine(leftOut)] as const]),
    ...KINDS.flatMap((kind) => {
      const count = faultsOf(faults, kind).length;
      return count === 0 ? [] : [[kind, String(count)] as const];
    }),
    ...(judged === undefined ? [] : [['policy', printable(judged.policy)] as const]),
  ];
  const whole = faults.length === 0 ? 'is whole' : `is not whole: ${countOf(faults.length, 'fault')}`;
  const refused = refusalsOf(verified).length;
  return [
    `${printable(source)} ${whole}${refused === 0 ? '' : `; the policy refuses ${countOf(refused, 'image')}`}`,
    ...info.map(([name, fact]) => `  ${name.padEnd(11)}${fact}`),
    ...verdictLines(verified),
    ...faults.flatMap(faultLines),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function refusalsOf({ judged }: VerifiedImages): readonly PolicyVerdict[] {
  return judged?.verdicts.filter(({ outcome }) => outcome === 'refused') ?? [];
}

function verdictJson(verdict: PolicyVerdict | undefined): object {
  return {
    verdict: verdict?.outcome,
    signatures: verdict?.outcome === 'signed' ? verdict.signatures : undefined,
    error: verdict?.outcome === 'refused' ? errorInfo(verdict.error) : undefined,
  };
}

/** Of each image by itself, but for what accompanies one, or is a part of one. */
function verdictLines({ images, judged }: VerifiedImages): string[] {
  return (judged?.verdicts ?? []).flatMap((verdict, at) => {
    const name = images[at]?.name ?? '';
    switch (verdict.outcome) {
      case 'accepted':
        return [`accepted: ${printable(name)} needs no signature`];
      case 'signed': {
        const signers = new Set(verdict.signatures.map(({ signedBy }) => signedBy));
        return [`signed: ${printable(name)} by ${printable([...signers].join(', '))}`];
      }
      case 'refused':
        return [`refused: ${printable(name)}: ${printable(errorInfo(verdict.error).message)}`];
      case 'accompanies':
      case 'part':
        return [];
    }
  });
}

function faultsOf(faults: readonly VerifyFault[], kind: VerifyFaultKind): VerifyFault[] {
  return faults.filter((fault) => fault.kind === kind);
}

function faultJson({ code, message, descriptor, images }: VerifyFault): object {
  const { digest, mediaType, size } = descriptor ?? {};
  return { digest, mediaType, size, code, message, images };
}

function faultLines({ kind, message, descriptor, images }: VerifyFault): string[] {
  const about = descriptor === undefined ? '' : ` ${descriptor.mediaType}, ${formatSize(descriptor.size)}`;
  return [
    `${kind}: ${printable(message)}`,
    ...(about === '' ? [] : [`  is${printable(about)}`]),
    ...(images.length === 0 ? [] : [`  of ${printable(images.join(', '))}`]),
  ];
}

/** The platforms of what has one, and how many others there are. */
function leftOutLine(leftOut: readonly Descriptor[]): string {
  const platforms = leftOut.flatMap(({ platform }) =>
    platform === undefined ? [] : [formatPlatform(platform)],
  );
  const shown = [...new Set(platforms)].sort().join(', ');
  return `${leftOut.length}${shown === '' ? '' : ` (${shown})`}`;
}

/** A source that is to be proven whole, opened. */
export interface VerifySource extends Pick<VerifyOptions, 'isLeftOut'> {
  /** As a person would write it. */
  readonly name: string;
  readonly roots: readonly JudgedRoot[];
  /** Faults that its images do not show. */
  readonly faults: readonly LandfallError[];
}

/**
 * Opens what is to be proven whole, for as long as a function needs it: a file or `-` for an archive,
 * `oci:DIR`, `docker://REF`, `docker://HOST/` or `docker://HOST/PATH/` for all that lies below, an image of
 * the store, or without a name all of them.
 *
 * @throws {LandfallError} those of opening; BLOB_NOT_FOUND, NOT_FOUND for what is not there
 */
export async function withVerifySource<T>(
  text: string | undefined,
  context: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  const mirror = text === undefined ? null : MIRROR_NAME.exec(text);
  if (mirror !== null) return await withMirror(mirror, context, use);
  const imageTransport = text === undefined ? undefined : await transportNamed(text);
  switch (imageTransport?.kind) {
    case undefined:
    case 'store':
      return await withStore(context, async (store) => {
        const { roots, isLeftOut } = await storeRoots(store, imageTransport?.name);
        return await use({ name: `store:${store.root}`, roots, faults: [], isLeftOut });
      });
    case 'layout':
      return await use(await layoutSource(imageTransport, context));
    case 'directory': {
      const transport = openDirectory(imageTransport.directory);
      const roots = await rootsOf(transport, undefined, context.signal);
      return await use({ name: transport.name, roots, faults: [] });
    }
    case 'archive':
      return await withArchive(imageTransport, context, use);
    case 'registry':
      return await withRegistry(imageTransport, context, use);
  }
}

/** A name that ends with a slash stands for all repositories below it. */
const MIRROR_NAME = /^docker:\/\/([^/]+)\/((?:[^:@]+\/)?)$/;

/** No image has such a name: where the file is absent, an archive is missing. */
const ARCHIVE_NAME = /^[^:]*\.(?:tar|tgz|tzst|tar\.gz|tar\.zst)$/;

/** A path needs no transport where it can be nothing else. */
async function transportNamed(text: string): Promise<ImageTransport> {
  const archive = { kind: 'archive', format: 'oci', file: text, name: undefined } as const;
  if (text === '-') return archive;
  const [file, parts] = await Promise.all([stat(text), stat(`${text}.parts.json`)].map(kindOrNothing));
  if (file === 'file' || (file === undefined && (parts === 'file' || ARCHIVE_NAME.test(text))))
    return archive;
  if (file === 'directory' && /^\.{0,2}\//.test(text)) {
    return { kind: 'layout', directory: text, name: undefined };
  }
  return parseTransport(text);
}

async function kindOrNothing(
  found: Promise<{ isFile(): boolean; isDirectory(): boolean }>,
): Promise<'file' | 'directory' | undefined> {
  try {
    const status = await found;
    return status.isFile() ? 'file' : status.isDirectory() ? 'directory' : undefined;
  } catch {
    return undefined;
  }
}

async function layoutSource(
  { directory, name }: Extract<ImageTransport, { kind: 'layout' }>,
  { signal }: CommandContext,
): Promise<VerifySource> {
  const imageTransport = await LayoutTransport.open(directory);
  const { omitted } = await readDeclarationFile(directory);
  return {
    name: imageTransport.name,
    roots: await rootsOf(imageTransport, name, signal),
    faults: [],
    isLeftOut: among(omitted.map(({ digest }) => digest)),
  };
}

async function withArchive<T>(
  { file, name }: Extract<ImageTransport, { kind: 'archive' }>,
  { signal, stdin, env }: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  await using archive = await openArchive(file === '-' ? { stream: stdin } : { file }, {
    signal,
    spoolDirectory: env['TMPDIR'],
  });
  const faults = await archive.faults({ signal });
  const transport = transportOf(archive);
  const imageTransport = new LayoutTransport({
    content: archive,
    location: `${transport}:${archive.location}`,
    file: { transport, path: file === '-' ? undefined : file },
  });
  return await use({
    name: imageTransport.name,
    // Manifests cannot be made of what does not fit its configs.
    roots: faults.length > 0 ? [] : await rootsOf(imageTransport, name, signal),
    faults,
    isLeftOut: among(archive.declaration.omitted.map(({ digest }) => digest)),
  });
}

async function withRegistry<T>(
  { reference }: Extract<ImageTransport, { kind: 'registry' }>,
  context: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  const name = `docker://${formatReference(reference)}`;
  await using registry = await openRegistry(context, [formatReference(reference)]);
  const imageTransport = new RegistryTransport({ registry, host: reference.registry });
  const repository = imageTransport.repository(repositoryName(reference));
  const from = reference.digest ?? reference.tag ?? 'latest';
  const target = await repository.resolve(from, context);
  if (target === undefined) {
    throw new LandfallError('NOT_FOUND', `there is no ${name}`, {
      hint: 'Check the spelling of repository and tag.',
    });
  }
  const governed = (): Promise<GovernedImage> => repository.governed(from);
  return await use({ name, roots: [{ name, target, repository, governed }], faults: [] });
}

/** Every tag of every repository below a path, as far as the registry lists them. */
async function withMirror<T>(
  [name, host = '', prefix = '']: RegExpExecArray,
  context: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  const { registry: canonical } = parseReference(`${host}/any/repository`);
  await using registry = await openRegistry(context, [`${canonical}/any/repository`]);
  const imageTransport = new RegistryTransport({ registry, host: canonical });
  const roots = await registryRoots(imageTransport, prefix, { signal: context.signal });
  if (roots.length > 0) return await use({ name, roots, faults: [] });
  throw new LandfallError('NOT_FOUND', `${name} has no image`, {
    hint: 'Check the path; a registry may list less without a login.',
  });
}

async function rootsOf(
  imageTransport: LayoutTransport,
  name: string | undefined,
  signal: AbortSignal,
): Promise<readonly JudgedRoot[]> {
  if (name === undefined) return await layoutRoots(imageTransport, { signal });
  const repository = imageTransport.repository('');
  const target = await repository.resolve(name, { signal });
  const governed = (): Promise<GovernedImage> => repository.governed(name);
  if (target !== undefined) return [{ name, target, repository, governed }];
  throw new LandfallError('BLOB_NOT_FOUND', `${imageTransport.name} has no image ${JSON.stringify(name)}`, {
    hint: 'Leave the name out to verify all of it.',
  });
}

function among(digests: readonly string[]): NonNullable<VerifySource['isLeftOut']> {
  const declared = new Set(digests);
  return ({ digest }) => declared.has(digest);
}
