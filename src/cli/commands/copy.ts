import { LandfallError } from '../../errors.js';
import { familiarReference, formatSize, parseReference } from '../../spec/index.js';
import type { CopyReport } from '../../transfer/copy/copy-report.js';
import { CopySession } from '../../transfer/copy/copy-session.js';
import { copyNamed } from '../../transfer/copy/copy.js';
import { parseTransport } from '../../transfer/transports/image-transport.js';
import type { PolicyFile } from '../../trust/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { copyChoice, copyCounts, type CopyFlags, copyJson, omittedNames } from './copy-info.js';
import { countOf, printable } from '../format/text.js';
import { refuseTerminal } from '../output/bytes-output.js';
import {
  CommandTransports,
  type CommandTransportsOptions,
  type SideFlags,
} from '../images/command-transports.js';
import { policyOf } from '../images/with-store.js';
import { openCopyDisplay } from '../progress/event-display.js';
import { invalidConfig } from '../config/settings.js';

export interface CopyCommandFlags extends CopyFlags, SideFlags {
  readonly dryRun?: boolean;
  readonly recheck?: boolean;
  readonly srcCreds?: string;
  readonly destCreds?: string;
  readonly quiet?: boolean;
}

export async function copyCommand(
  source: string,
  destination: string,
  flags: CopyCommandFlags,
  context: CommandContext,
): CommandResult {
  const { srcCreds: sourceCreds, destCreds: destinationCreds, quiet = false } = flags;
  const toStdout = isStandardOutput(destination);
  if (toStdout) refuseTerminal(context, 'Name a file, or lead the output into another program.');
  const policy = await policyOf(context);
  const report = await copyImage(
    source,
    destination,
    { ...flags, sourceCreds, destinationCreds, sides: flags, policy },
    context,
  );
  // Whatever came after the archive would make it one that is refused.
  if (toStdout) return 0;
  answer(context, copyJson(report), () => (quiet ? `${report.target.digest}\n` : renderCopy(report)));
  return 0;
}

interface CopyImageFlags extends Omit<CopyCommandFlags, 'srcCreds' | 'destCreds'>, CommandTransportsOptions {
  /** Without one, no signature is asked for. */
  readonly policy?: PolicyFile | undefined;
}

/** Copies one image between two places as they are typed. */
async function copyImage(
  source: string,
  destination: string,
  flags: CopyImageFlags,
  context: CommandContext,
): Promise<CopyReport> {
  const choice = copyChoice(flags, 'one');
  const { dryRun = false, recheck = false, quiet = false, policy } = flags;
  const { settings, signal } = context;
  if (dryRun && parseTransport(destination).kind === 'archive') throw dryArchive();
  await using transports = new CommandTransports(context, flags);
  const display = openCopyDisplay(context, { quiet });
  const session = new CopySession({
    dryRun,
    recheck,
    policy,
    signal,
    concurrency: settings.concurrency,
    onEvent: (event) => display.show(event),
  });
  try {
    return await copyNamed(transports, { ...choice, source, destination }, session);
  } finally {
    display.finish();
  }
}

function isStandardOutput(destination: string): boolean {
  const transport = parseTransport(destination);
  return transport.kind === 'archive' && transport.file === '-';
}

/** An archive is written anew each time, so that there is nothing to compare with. */
function dryArchive(): LandfallError {
  return invalidConfig('an archive is written whole each time, so --dry-run says nothing', {
    hint: 'Leave out --dry-run, or name another destination.',
  });
}

export interface PushFlags extends CopyFlags {
  readonly dryRun?: boolean;
  readonly quiet?: boolean;
}

/** Copies an image of the store to a registry: to that of its name, or to the one that is named. */
export async function pushCommand(
  name: string,
  destination: string | undefined,
  flags: PushFlags,
  context: CommandContext,
): CommandResult {
  if (parseTransport(name).kind !== 'store') {
    throw new LandfallError('INVALID_CONFIG', `${name} is no image of the store`, {
      hint: `Use landfall copy ${name} docker://REF.`,
    });
  }
  const to = destinationOf(destination ?? name);
  const report = await copyImage(name, to, flags, context);
  const { quiet = false } = flags;
  answer(context, copyJson(report), () => (quiet ? `${report.target.digest}\n` : renderCopy(report)));
  return 0;
}

function destinationOf(text: string): string {
  const transport = parseTransport(text);
  if (transport.kind === 'registry') return text;
  if (transport.kind !== 'store') {
    throw invalidConfig(`${text} is not at a registry`, {
      hint: 'Use landfall copy for layouts and archives.',
    });
  }
  return `docker://${familiarReference(parseReference(text, { defaultTag: true }))}`;
}

/** The work of a copy, in a few lines. */
export function renderCopy(report: CopyReport): string {
  const { destination, target, resolved, omitted, referrers, referrersLeftOut, signatures = [] } = report;
  const info: [string, string][] = [];
  if (resolved.digest !== target.digest) info.push(['from index', resolved.digest]);
  info.push(['content', contentLine(report)]);
  if (omitted.length > 0) info.push(['left out', omittedNames(omitted)]);
  if (referrers.length > 0) info.push(['referrers', countOf(countReferrers(referrers), 'artifact')]);
  if (referrersLeftOut === true) info.push(['referrers', 'left out']);
  const signers = new Set(signatures.map(({ signedBy }) => signedBy));
  if (signers.size > 0) info.push(['signed by', [...signers].join(', ')]);
  const lines = info.map(([name, fact]) => `  ${name.padEnd(10)} ${printable(fact)}`);
  // Where it has no other name there, the location ends with the digest.
  const place = destination.endsWith(`:${target.digest}`)
    ? destination.slice(0, -target.digest.length - 1)
    : destination;
  return [printable(place), `  ${target.digest}`, ...lines].map((line) => `${line}\n`).join('');
}

function contentLine(report: CopyReport): string {
  const { copied, mounted, exists, planned } = copyCounts(report);
  if (report.outcome === 'exists') return 'up to date: nothing was copied';
  const parts: string[] = [];
  if (planned.count > 0) parts.push(`${planned.count} to copy (${formatSize(planned.bytes)})`);
  if (copied.count > 0) parts.push(`${copied.count} copied (${formatSize(copied.bytes)})`);
  if (mounted.count > 0) parts.push(`${mounted.count} mounted (${formatSize(mounted.bytes)})`);
  if (exists.count > 0) parts.push(`${exists.count} already there`);
  return parts.join(', ');
}

function countReferrers(referrers: readonly CopyReport[]): number {
  return referrers.reduce((sum, { referrers: below }) => sum + 1 + countReferrers(below), 0);
}
