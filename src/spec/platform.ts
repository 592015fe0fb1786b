import { endianness } from 'node:os';
import { SpecError } from '../errors.js';
import { optionalString, optionalStrings, readObject, withFields } from './json-fields.js';
import { isIndexType, isManifestType } from './media-types.js';
import { quoted } from './quoted.js';

/**
 * What a manifest runs on (image-spec: image-index.md, platform): Go's names of systems and processors. A
 * manifest that leaves `os` or `architecture` out, or a platform that says `unknown`, has it empty or so, and
 * is never selected.
 */
export interface Platform {
  /** `linux` */
  readonly os: string;
  /** `amd64` */
  readonly architecture: string;
  /** The level of the processor: `v7` of arm, `v3` of amd64. Absent for the usual one, but for arm. */
  readonly variant?: string | undefined;
  /** Of Windows: `10.0.17763.1817` */
  readonly 'os.version'?: string | undefined;
  /** That it must have. */
  readonly 'os.features'?: readonly string[] | undefined;
}

/** Which platforms do for a wanted one, and which of two is closer to it. */
export interface PlatformMatcher {
  /** Whether it does. */
  readonly matches: (platform: Platform) => boolean;
  /** Negative when `a` is closer than `b`. What does not match comes last. */
  readonly compare: (a: Platform, b: Platform) => number;
}

const KNOWN_SYSTEMS: ReadonlySet<string> = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 windows zos'.split(
    ' ',
  ),
);
const KNOWN_PROCESSORS: ReadonlySet<string> = new Set(
  '386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm'.split(
    ' ',
  ),
);

const COMPONENT = /^[A-Za-z0-9_.-]+$/;
const SYSTEM = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/;

/**
 * A platform as people write it, normalised: `OS`, `ARCH` or `OS/ARCH[/VARIANT]`, the system optionally with
 * version and features, `windows(10.0.17763+win32k)`. What is left out is the host's. The syntax is
 * containerd's.
 *
 * @throws {SpecError} INVALID_CONFIG
 */
export function parsePlatform(text: string): Platform {
  const [first = '', architecture, variant, ...rest] = text.split('/');
  const system = SYSTEM.exec(first);
  if (system === null || rest.length > 0) throw invalidPlatform(text);
  for (const part of [architecture, variant]) {
    if (part !== undefined && !COMPONENT.test(part)) throw invalidPlatform(text);
  }
  const [, os = '', version = '', features = ''] = system;
  const options = {
    'os.version': decodeOption(version, text),
    'os.features': features
      .split('+')
      .slice(1)
      .map((feature) => decodeOption(feature, text)),
  };
  if (architecture !== undefined) return normalizePlatform({ os, architecture, variant, ...options });
  const host = hostPlatform();
  const asSystem = normalizePlatform({ ...host, os, ...options });
  if (KNOWN_SYSTEMS.has(asSystem.os)) return asSystem;
  const asProcessor = normalizePlatform({ os: host.os, architecture: first });
  if (KNOWN_PROCESSORS.has(asProcessor.architecture)) return asProcessor;
  throw invalidPlatform(text);
}

function decodeOption(option: string, text: string): string {
  try {
    return decodeURIComponent(option);
  } catch (cause) {
    throw invalidPlatform(text, cause);
  }
}

function invalidPlatform(text: string, cause?: unknown): SpecError {
  return new SpecError('INVALID_CONFIG', `invalid platform ${quoted(text)}`, {
    hint: 'Write a platform as OS/ARCH or OS/ARCH/VARIANT: linux/amd64, linux/arm/v7.',
    cause,
  });
}

/**
 * A platform from parsed JSON, as it stands there. Unknown fields stay on the object.
 *
 * @throws {SpecError} INVALID_MANIFEST, LIMIT_EXCEEDED
 */
export function parsePlatformObject(value: unknown, where: string): Platform {
  const raw = readObject(value, where);
  return withFields<Platform>(raw, {
    os: optionalString(raw, 'os', where) ?? '',
    architecture: optionalString(raw, 'architecture', where) ?? '',
    variant: optionalString(raw, 'variant', where),
    'os.version': optionalString(raw, 'os.version', where),
    'os.features': optionalStrings(raw, 'os.features', where),
  });
}

/**
 * The one spelling of a platform: lower case, Go's names, no variant where it is the usual one (but arm is
 * always v5 to v8).
 */
export function normalizePlatform(platform: Platform): Platform {
  const { os, architecture, variant, 'os.version': version, 'os.features': features, ...rest } = platform;
  const system = os.toLowerCase();
  const processor = normalizeProcessor(architecture.toLowerCase(), variant?.toLowerCase() ?? '');
  return {
    ...rest,
    os: system === 'macos' ? 'darwin' : system,
    architecture: processor.architecture,
    ...(processor.variant === '' ? {} : { variant: processor.variant }),
    ...(version === undefined || version === '' ? {} : { 'os.version': version }),
    ...(features === undefined || features.length === 0
      ? {}
      : { 'os.features': [...new Set(features)].sort() }),
  };
}

function normalizeProcessor(
  architecture: string,
  variant: string,
): { architecture: string; variant: string } {
  switch (architecture) {
    case 'i386':
      return { architecture: '386', variant: '' };
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return { architecture: 'amd64', variant: variant === 'v1' ? '' : variant };
    case 'aarch64':
    case 'arm64':
      if (['8', 'v8', 'v8.0'].includes(variant)) return { architecture: 'arm64', variant: '' };
      return { architecture: 'arm64', variant: variant === 'v9.0' ? 'v9' : variant };
    case 'armhf':
      return { architecture: 'arm', variant: 'v7' };
    case 'armel':
      return { architecture: 'arm', variant: 'v6' };
    case 'arm':
      if (variant === '') return { architecture, variant: 'v7' };
      return { architecture, variant: /^[5-8]$/.test(variant) ? `v${variant}` : variant };
    default:
      return { architecture, variant };
  }
}

/**
 * The inverse of {@link parsePlatform}: `linux/arm64`, `windows(10.0.17763.1)/amd64`; `unknown` without a
 * system.
 */
export function formatPlatform(platform: Platform): string {
  if (platform.os === '') return 'unknown';
  const features = [...(platform['os.features'] ?? [])].sort();
  const options = [platform['os.version'] ?? '', ...features].map(encodeOption).join('+');
  const system = `${encodeOption(platform.os)}${options === '' ? '' : `(${options})`}`;
  const rest = [platform.architecture, platform.variant ?? '']
    .filter((part) => part !== '')
    .map(encodeOption);
  return [system, ...rest].join('/');
}

/** Percent-encodes what the syntax does not allow. Also what makes untrusted names fit for a terminal. */
function encodeOption(option: string): string {
  return option.replace(/[^A-Za-z0-9_.-]/gu, (char) =>
    Array.from(Buffer.from(char), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

const NODE_PROCESSORS: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  mipsel: 'mipsle',
  // Node has one name for both byte orders.
  ppc64: endianness() === 'LE' ? 'ppc64le' : 'ppc64',
};

/** The platform of this process, without a variant that only reading the processor's flags could tell. */
export function hostPlatform(): Platform {
  return normalizePlatform({
    os: process.platform === 'win32' ? 'windows' : process.platform,
    architecture: NODE_PROCESSORS[process.arch] ?? process.arch,
  });
}

/**
 * Matches what a machine of the wanted platform can run: its own processor level, then each lower one, then
 * the 32-bit processor that it also is, in the order of containerd's `platforms.Only`. Features that an image
 * asks for must all be among the wanted ones; versions count on Windows only.
 */
export function platformMatcher(wanted: Platform): PlatformMatcher {
  const host = normalizePlatform(wanted);
  const accepted = acceptedProcessors(host);
  const features = new Set(host['os.features']);

  const rankOf = (candidate: Platform): number => {
    const { os, architecture, variant, ...rest } = normalizePlatform(candidate);
    if (os === '' || os === 'unknown' || os !== host.os) return -1;
    if (!runsOsVersion(host, rest['os.version'])) return -1;
    if (!(rest['os.features'] ?? []).every((feature) => features.has(feature))) return -1;
    return accepted.findIndex(
      (each) => each.architecture === architecture && each.variant === (variant ?? ''),
    );
  };
  return {
    matches: (platform) => rankOf(platform) !== -1,
    compare: (a, b) => {
      const [rankA, rankB] = [rankOf(a), rankOf(b)];
      if (rankA !== rankB) return rankA === -1 ? 1 : rankB === -1 ? -1 : rankA - rankB;
      return rankA === -1 ? 0 : compareDetails(a, b);
    },
  };
}

/** Of two equally close ones, first the one that uses more of the features, then the newer system. */
function compareDetails(a: Platform, b: Platform): number {
  const features = (b['os.features'] ?? []).length - (a['os.features'] ?? []).length;
  if (features !== 0) return features;
  return (b['os.version'] ?? '').localeCompare(a['os.version'] ?? '', 'en', { numeric: true });
}

/**
 * Whether it is one that something could run: neither what an attestation says, `unknown/unknown`, nor
 * nothing at all.
 */
export function isRunnablePlatform({ os, architecture }: Platform): boolean {
  return ![os, architecture].some((part) => part === '' || part === 'unknown');
}

/** What an index says of a manifest, as far as its platform goes. */
export interface PlatformEntry {
  /** Of the manifest. */
  readonly mediaType: string;
  /** Absent where the index does not say. */
  readonly platform?: Platform | undefined;
}

/**
 * The manifest of an index that is closest to the wanted platform; of equals the first. Never one without a
 * platform, nor an attestation (`unknown/unknown`), nor what is neither manifest nor index.
 */
export function selectPlatform<D extends PlatformEntry>(
  descriptors: readonly D[],
  wanted: Platform,
): D | undefined {
  const offered = descriptors.flatMap((descriptor) => {
    const { mediaType, platform } = descriptor;
    const isManifestOrIndex = isManifestType(mediaType) || isIndexType(mediaType);
    return isManifestOrIndex && platform !== undefined ? [{ descriptor, platform }] : [];
  });
  return closestPlatform(offered, wanted)?.descriptor;
}

/** What is closest to the wanted platform, of all that does for it; of equals the first. */
export function closestPlatform<T extends { readonly platform: Platform }>(
  offered: readonly T[],
  wanted: Platform,
): T | undefined {
  const { matches, compare } = platformMatcher(wanted);
  let best: T | undefined;
  for (const each of offered) {
    if (!matches(each.platform)) continue;
    if (best === undefined || compare(each.platform, best.platform) < 0) best = each;
  }
  return best;
}

/** A processor in normal form; '' is the usual variant. */
interface Processor {
  readonly architecture: string;
  readonly variant: string;
}

/**
 * The processors whose programs a normalised platform runs, best first, as containerd's `platforms.Only` has
 * them.
 */
function acceptedProcessors(host: Platform): Processor[] {
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
 * Whether a host runs containers of a system's version. Only Windows ties its containers to the version, and
 * to the build up to Windows Server 2022.
 */
function runsOsVersion(host: Platform, wanted: string | undefined): boolean {
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
