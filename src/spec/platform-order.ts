import type { Platform } from './platform.js';

/** A processor in normal form; '' is the usual variant. */
export interface Processor {
  readonly architecture: string;
  readonly variant: string;
}

/** The processors whose programs a normalised platform runs, best first, as containerd's `platforms.Only` has them. */
export function acceptedProcessors(host: Platform): Processor[] {
  const variant = host.variant ?? '';
  switch (host.architecture) {
    case 'amd64':
      return [...amd64Variants(variant).map((each) => ({ architecture: 'amd64', variant: each })), I386];
    case 'arm':
      return armProcessors(variant);
    case 'arm64':
      return [
        ...arm64Variants(variant).map((each) => ({ architecture: 'arm64', variant: each })),
        ...armProcessors(/^v[89]\.\d+$/.test(variant) || variant === '' ? 'v8' : variant),
      ];
    default:
      // What names no variant asks for none.
      return [variant, ...(variant === '' ? [] : [''])].map((each) => ({
        architecture: host.architecture,
        variant: each,
      }));
  }
}

const I386: Processor = { architecture: '386', variant: '' };

function amd64Variants(variant: string): string[] {
  const level = levelOf(variant);
  if (level === undefined) return [variant];
  return [variant, ...countdown(level.major - 1, 1).map((each) => (each === 1 ? '' : `v${each}`))];
}

function armProcessors(variant: string): Processor[] {
  const level = levelOf(variant);
  const below = level === undefined ? [] : countdown(level.major - 1, 5).map((each) => `v${each}`);
  return [variant, ...below].map((each) => ({ architecture: 'arm', variant: each }));
}

/** Armv9.x has all of Armv8.(x+5), since v9.0 grew out of v8.5. */
function arm64Variants(variant: string): string[] {
  const level = levelOf(variant === '' ? 'v8' : variant);
  if (level === undefined || level.major < 8) return [variant];
  const variants = [variant];
  let { major, minor } = level;
  if (major === 9) {
    variants.push(...countdown(minor - 1, 0).map((each) => (each === 0 ? 'v9' : `v9.${each}`)));
    major = 8;
    minor += 6;
  }
  if (major === 8) variants.push(...countdown(minor - 1, 0).map((each) => (each === 0 ? '' : `v8.${each}`)));
  return variants;
}

/** `v8.3` as numbers. Two digits bound the work that a hostile variant can ask for. */
function levelOf(variant: string): { major: number; minor: number } | undefined {
  const match = /^v(\d{1,2})(?:\.(\d{1,2}))?$/.exec(variant);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2] ?? 0) };
}

/** from, from - 1, … to; empty where from lies below to. */
function countdown(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, from - to + 1) }, (_, index) => from - index);
}

/** Windows Server 2022: from here on a host runs older containers too. */
const STABLE_ABI_BUILD = 20348;

/**
 * Whether a host runs containers of a system's version. Only Windows ties its containers to the version, and to the
 * build up to Windows Server 2022.
 */
export function runsOsVersion(host: Platform, wanted: string | undefined): boolean {
  const ours = windowsVersion(host['os.version'] ?? '');
  if (host.os !== 'windows' || ours === undefined || wanted === undefined) return true;
  const theirs = windowsVersion(wanted);
  if (theirs?.release !== ours.release) return false;
  if (ours.build < STABLE_ABI_BUILD) return theirs.build === ours.build;
  return theirs.build >= STABLE_ABI_BUILD && theirs.build <= ours.build;
}

function windowsVersion(version: string): { release: string; build: number } | undefined {
  const match = /^(\d{1,3}\.\d{1,3})\.(\d{1,5})(?:\.|$)/.exec(version);
  return match === null ? undefined : { release: match[1] ?? '', build: Number(match[2]) };
}
