import { resolve } from 'node:path';
import { answer, type CommandContext } from './command-context.js';
import type { ExitCode } from './exit-codes.js';
import { mirrorHosts, mirrorUrl } from './mirror-hosts.js';
import { type PullThroughFlags, upstreamsOf } from './pull-through-plan.js';
import type { ServePlan } from './serve-plan.js';

/**
 * Prints the files by which nodes use this server as a mirror. `--ca` and `--insecure` say how they are to know it.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export function printHosts(
  flags: PullThroughFlags,
  { plan, secure }: { readonly plan: Pick<ServePlan, 'at'>; readonly secure: boolean },
  context: CommandContext,
): ExitCode {
  const { ca, insecure, plainHttp } = context.settings;
  const url = mirrorUrl(flags.advertise, { at: plan.at, secure });
  const files = mirrorHosts({
    upstreams: upstreamsOf(flags),
    url,
    ca: ca === undefined ? undefined : resolve(ca),
    skipVerify: insecure,
    plainHttp,
  });
  answer(context, { url, files }, () =>
    files.map(({ path, content }) => `# /etc/containerd/certs.d/${path}\n${content}`).join('\n'),
  );
  return 0;
}
