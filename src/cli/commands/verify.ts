import { type Descriptor, formatPlatform } from '../../spec/index.js';
import { judgeImages, type PolicyVerdict } from '../../transfer/verify/judge-images.js';
import { faultOf, type VerifyFault, type VerifyFaultKind } from '../../transfer/verify/verify-graph.js';
import { verify, type VerifyReport } from '../../transfer/verify/verify.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { omittedJson } from './copy-facts.js';
import { EXIT_CODES, type ExitCode, exitCodeOf } from '../output/exit-codes.js';
import { countOf, formatSize } from '../format/size.js';
import { printable } from '../format/table.js';
import { policyOf } from '../images/policy-of.js';
import { errorFacts } from '../output/render-error.js';
import { withVerifySource } from './verify-source.js';

export interface VerifyFlags {
  readonly diffIds?: boolean;
  readonly referrers?: boolean;
}

export async function verifyCommand(
  source: string | undefined,
  flags: VerifyFlags,
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

/** Of what is worst: bytes that are not there or not right, or a lack of signatures, then what is malformed, then what could not be read. */
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

/** What was proven of a source. */
export interface VerifiedImages extends VerifyReport {
  readonly source: string;
  /** A signature policy that asks something of one of the images, and what it says of each, in their order. */
  readonly judged: { readonly policy: string; readonly verdicts: readonly PolicyVerdict[] } | undefined;
}

const KINDS: readonly VerifyFaultKind[] = ['missing', 'damaged', 'malformed', 'unreadable'];

/** As docs/json-output.md has it. */
export function verifiedJson(verified: VerifiedImages): object {
  const { source, images, documents, blobs, bytes, faults, leftOut, judged } = verified;
  return {
    source,
    whole: faults.length === 0,
    policy: judged?.policy,
    refused: judged && refusalsOf(verified).length,
    images: images.map(({ name, target: { digest, mediaType } }, at) => {
      return { name, digest, mediaType, ...verdictJson(judged?.verdicts[at]) };
    }),
    documents,
    blobs,
    bytes,
    ...Object.fromEntries(KINDS.map((kind) => [kind, faultsOf(faults, kind).map(faultJson)])),
    leftOut: leftOut.map(omittedJson),
  };
}

export function renderVerified(verified: VerifiedImages): string {
  const { source, images, documents, blobs, bytes, faults, leftOut, judged } = verified;
  const facts: readonly (readonly [string, string])[] = [
    ['images', String(images.length)],
    ['manifests', String(documents)],
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
    ...facts.map(([name, fact]) => `  ${name.padEnd(11)}${fact}`),
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
    error: verdict?.outcome === 'refused' ? errorFacts(verdict.error) : undefined,
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
        return [`refused: ${printable(name)}: ${printable(errorFacts(verdict.error).message)}`];
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
