import { verify } from '../../transfer/verify.js';
import { faultOf, type VerifyFault } from '../../transfer/verify-graph.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { EXIT_CODES, type ExitCode } from '../exit-codes.js';
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
  return await withVerifySource(source, context, async ({ name, roots, faults, isLeftOut }) => {
    const report = await verify(roots, {
      signal,
      isLeftOut,
      diffIds: flags.diffIds ?? false,
      referrers: flags.referrers ?? false,
      concurrency: settings.concurrency,
    });
    const all = [...faults.map((fault) => faultOf(fault, undefined)), ...report.faults];
    const verified = { source: name, ...report, faults: all };
    answer(context, verifiedJson(verified), () => renderVerified(verified));
    return exitCodeOf(all);
  });
}

/** Of what is worst: bytes that are not there or not right, then what is malformed, then what could not be read. */
function exitCodeOf(faults: readonly VerifyFault[]): ExitCode {
  const codes = faults.map(({ kind, code }): ExitCode => {
    return kind === 'missing' || kind === 'damaged' ? EXIT_CODES.DIGEST_MISMATCH : EXIT_CODES[code];
  });
  for (const code of [EXIT_CODES.DIGEST_MISMATCH, EXIT_CODES.BAD_ARCHIVE]) {
    if (codes.includes(code)) return code;
  }
  return codes[0] ?? 0;
}
