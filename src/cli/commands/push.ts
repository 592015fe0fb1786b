import { familiarReference, parseReference } from '../../spec/index.js';
import { LandfallError } from '../../errors.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { copyJson } from '../copy-facts.js';
import type { CopyFlags } from '../copy-options.js';
import { parseImagePlace } from '../image-place.js';
import { renderCopy } from '../render-copy.js';
import { copyImage } from './copy.js';

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
  if (parseImagePlace(name).kind !== 'store') {
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
  const place = parseImagePlace(text);
  if (place.kind === 'registry') return text;
  if (place.kind !== 'store') {
    throw new LandfallError('INVALID_CONFIG', `${text} is not at a registry`, {
      hint: 'Use landfall copy for layouts and archives.',
    });
  }
  return `docker://${familiarReference(parseReference(text, { defaultTag: true }))}`;
}
