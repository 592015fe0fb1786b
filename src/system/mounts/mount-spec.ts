import { LandfallError } from '../../errors.js';
import { attributeOf, bindMount } from './bind-mount.js';
import { mountOverlay, type OverlayLayers } from './overlay-mount.js';

/** A mount as containerd's API has it, but for its target: `mount -t TYPE -o OPTIONS SOURCE`. */
export interface MountSpec {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/**
 * Mounts what a snapshotter answered: type `overlay` with `lowerdir=`, `upperdir=`, `workdir=` (`\` escapes
 * `:`, `,` and itself) and `userxattr`, or `bind` (also as option `bind` or `rbind` of another type); and for
 * both `ro`, `rw`, `nosuid`, `nodev`, `noexec`, `noatime`, `nodiratime`.
 *
 * @throws LandfallError INVALID_CONFIG for another type or option, and as `mountOverlay`
 */
export function mountFromSpec(spec: MountSpec, target: string): void {
  const parsed = parseOptions(spec);
  const { readOnly, attributes } = parsed;
  if (spec.type === 'bind' || parsed.bind) {
    bindMount({ source: spec.source, target, readOnly, recursive: parsed.recursive, attributes });
  } else if (spec.type === 'overlay') {
    mountOverlay({ ...parsed.layers, target, readOnly, userxattr: parsed.userxattr, attributes });
  } else {
    throw new LandfallError('INVALID_CONFIG', `a mount of type ${spec.type} is not one of a snapshot`, {
      hint: 'Mount type overlay or bind.',
    });
  }
}

/** The mount that shows these layers, in the form that {@link mountFromSpec} and containerd take. */
export function overlaySpec(
  layers: OverlayLayers,
  o: { readOnly?: boolean; userxattr?: boolean } = {},
): MountSpec {
  const { lower, upper, work } = layers;
  const [only] = lower;
  if (only === undefined && upper !== undefined) {
    return { type: 'bind', source: upper, options: [o.readOnly === true ? 'ro' : 'rw', 'rbind'] };
  }
  if (only !== undefined && upper === undefined && lower.length === 1) {
    return { type: 'bind', source: only, options: ['ro', 'rbind'] };
  }
  const options: string[] = [];
  if (work !== undefined) options.push(`workdir=${escapeOverlayPath(work)}`);
  if (upper !== undefined) options.push(`upperdir=${escapeOverlayPath(upper)}`);
  options.push(`lowerdir=${lower.map(escapeOverlayPath).join(':')}`);
  if (o.userxattr === true) options.push('userxattr');
  if (o.readOnly === true) options.push('ro');
  return { type: 'overlay', source: 'overlay', options };
}

/** A path as it stands in an option of overlayfs. */
export function escapeOverlayPath(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}

interface ParsedOptions {
  layers: OverlayLayers;
  readOnly: boolean;
  userxattr: boolean;
  bind: boolean;
  recursive: boolean;
  attributes: number;
}

function parseOptions(spec: MountSpec): ParsedOptions {
  const parsed: ParsedOptions = {
    layers: { lower: [] },
    readOnly: false,
    userxattr: false,
    bind: false,
    recursive: false,
    attributes: 0,
  };
  for (const option of spec.options) {
    const equals = option.indexOf('=');
    const key = equals < 0 ? option : option.slice(0, equals);
    if (!parseOption(parsed, key, option.slice(key.length + 1))) {
      throw new LandfallError('INVALID_CONFIG', `the mount option ${key} is not one of a snapshot`);
    }
  }
  return parsed;
}

function parseOption(parsed: ParsedOptions, key: string, value: string): boolean {
  switch (key) {
    case 'lowerdir':
      parsed.layers.lower = splitLayers(value);
      return true;
    case 'upperdir':
      parsed.layers.upper = unescape(value);
      return true;
    case 'workdir':
      parsed.layers.work = unescape(value);
      return true;
    case 'userxattr':
      parsed.userxattr = true;
      return true;
    case 'rbind':
      parsed.bind = parsed.recursive = true;
      return true;
    case 'bind':
      parsed.bind = true;
      return true;
    case 'ro':
    case 'rw':
      parsed.readOnly = key === 'ro';
      return true;
    default: {
      const attribute = attributeOf(key);
      parsed.attributes |= attribute ?? 0;
      return attribute !== undefined;
    }
  }
}

/** Splits at colons that no backslash stands before. */
function splitLayers(value: string): string[] {
  return (value.match(/(?:\\.|[^\\:])+/gs) ?? []).map(unescape);
}

function unescape(path: string): string {
  return path.replace(/\\(.)/gs, '$1');
}
