import { judgeImages, type PolicyVerdict } from '../../transfer/judge-images.js';
import { verify } from '../../transfer/verify.js';
import { faultOf, type VerifyFault } from '../../transfer/verify-graph.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { EXIT_CODES, type ExitCode, exitCodeOf } from '../exit-codes.js';
import { policyOf } from '../policy-of.js';
import { renderVerified, verifiedJson } from '../verified-images.js';
import { withVerifySource } from '../verify-source.js';

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
