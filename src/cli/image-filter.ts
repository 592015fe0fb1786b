import { LandfallError } from '../errors.js';
import { familiarReference, parseReference } from '../spec/index.js';
import { matchesGlob } from './glob.js';

/** What of an image can be filtered by. */
export interface FilteredImage {
  /** Canonical. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pinned: boolean;
}

export type ImageFilter = (image: FilteredImage) => boolean;

/**
 * A filter as docker's `--filter` has it: `reference=GLOB`, `label=KEY`, `label=KEY=VALUE`, `pinned=true`, `pinned=false`.
 * Errors: INVALID_CONFIG.
 */
export function parseImageFilter(text: string): ImageFilter {
  const [, key = '', value = ''] = /^(\w+)=(.+)$/s.exec(text) ?? [];
  if (key === 'reference') return ({ name }) => namesOf(name).some((one) => matchesGlob(value, one));
  if (key === 'label') return labelFilter(value);
  if (key === 'pinned' && (value === 'true' || value === 'false'))
    return ({ pinned }) => pinned === (value === 'true');
  throw new LandfallError('INVALID_CONFIG', `${JSON.stringify(text)} is not a filter`, {
    hint: 'Write --filter reference=GLOB, label=KEY, label=KEY=VALUE or pinned=true; for example reference=debian:*.',
  });
}

function labelFilter(text: string): ImageFilter {
  const at = text.indexOf('=');
  if (at < 0) return ({ labels }) => Object.hasOwn(labels, text);
  const key = text.slice(0, at);
  const value = text.slice(at + 1);
  return ({ labels }) => Object.hasOwn(labels, key) && labels[key] === value;
}

/** A filter may be written for either form of a name. */
function namesOf(name: string): readonly string[] {
  return [name, familiarReference(parseReference(name))];
}
