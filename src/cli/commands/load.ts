import { mapLimited } from '../../concurrency/index.js';
import { type UnpackedPresent, unpackPresent } from '../../engine/files/unpack.js';
import { ContentError, type LandfallError } from '../../errors.js';
import { formatPlatform, formatReference, hostPlatform, parsePlatform } from '../../spec/index.js';
import type { Archive, ArchiveFormat } from '../../transfer/transports/archives/archive.js';
import { openArchive } from '../../transfer/transports/archives/open-archive.js';
import { CopySession } from '../../transfer/copy/copy-session.js';
import {
  ArchiveLoader,
  type LoadedFromArchive,
  type PlannedImage,
} from '../../transfer/copy/load-archive.js';
import { StoreTransport } from '../../transfer/transports/store-transport.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { copyCounts, omittedJson, omittedNames, renderCopies } from './copy-info.js';
import { countOf, printable, type TableOptions } from '../format/text.js';
import { policyOf, withStore } from '../images/with-store.js';
import { openCopyDisplay } from '../progress/event-display.js';
import { tableWidth } from '../output/terminal.js';
import { type Outcome, outcomeOf, reportFailures, valuesOf } from '../output/several.js';
import { invalidConfig } from '../config/settings.js';

export interface LoadFlags {
  readonly input?: string;
  readonly name?: string;
  readonly platform?: readonly string[];
  /** False for `--no-unpack`. */
  readonly unpack?: boolean;
  readonly quiet?: boolean;
}

/** Images that are on their way at once; their blobs share what `--concurrency` allows. */
const CONCURRENCY = 4;

export async function loadCommand(flags: LoadFlags, context: CommandContext): CommandResult {
  const { input = '-', quiet = false } = flags;
  const { signal, stdin, stdout, env } = context;
  if (input === '-' && stdin.isTTY === true) {
    throw invalidConfig('an archive is not read from a terminal', {
      hint: 'Name a file with -i, or lead an archive into this command.',
    });
  }
  await using archive = await openArchive(input === '-' ? { stream: stdin } : { file: input }, {
    signal,
    spoolDirectory: env['TMPDIR'],
  });
  const outcomes = await loadAll(archive, flags, context);
  const loaded = valuesOf(outcomes);
  for (const one of loaded) {
    const absent = whatIsAbsent(one);
    if (absent !== undefined) context.log.warn(`${printable(one.name)}: ${absent}`);
  }
  const all = { archive: archive.location, format: archive.format, images: loaded };
  answer(context, loadedJson(all), () =>
    quiet
      ? loaded.map(({ report }) => `${report.target.digest}\n`).join('')
      : renderLoaded(all, { width: tableWidth(stdout, env) }),
  );
  return reportFailures(outcomes, context);
}

async function loadAll(
  archive: Archive,
  flags: LoadFlags,
  context: CommandContext,
): Promise<Outcome<LoadedImage>[]> {
  const { signal, settings, log } = context;
  const { input = '-', name, platform } = flags;
  const policy = await policyOf(context);
  const display = openCopyDisplay(context, { quiet: flags.quiet ?? false });
  try {
    return await withStore(context, async (store) => {
      await using destination = new StoreTransport({ store });
      const session = new CopySession({
        signal,
        concurrency: settings.concurrency,
        policy,
        onEvent: (event) => display.show(event),
      });
      const platforms = platform?.map((text) => parsePlatform(text));
      const path = input === '-' ? undefined : input;
      const loader = new ArchiveLoader({ archive, path, destination, session, name, platforms });
      const { images, nameless } = await loader.plan();
      for (const { digest } of nameless) {
        log.warn(`${digest} has no name in the archive and was not loaded: give it one with --name`);
      }
      if (images.length === 0) throw nothingToLoad(archive, nameless.length);
      await loader.requireRoom(images, { unpack: flags.unpack !== false });
      const loadOne = async (image: PlannedImage): Promise<LoadedImage> => {
        const loaded = await loader.load(image);
        const loadedAs = formatReference(image.reference);
        if (flags.unpack === false) return { ...loaded, name: loadedAs, unpacked: undefined };
        const unpacked = await unpackPresent(store, loaded.report.target, {
          signal,
          onWarning: (message) => log.warn(`${printable(loadedAs)}: ${message}`),
        });
        if (unpacked === undefined) log.info(notUnpacked(loadedAs));
        return { ...loaded, name: loadedAs, unpacked };
      };
      return await mapLimited(images, CONCURRENCY, (image) =>
        outcomeOf(formatReference(image.reference), () => loadOne(image)),
      );
    });
  } finally {
    display.finish();
  }
}

function notUnpacked(name: string): string {
  return `${printable(name)} has nothing for ${formatPlatform(hostPlatform())}, and was not unpacked`;
}

function nothingToLoad(archive: Archive, nameless: number): LandfallError {
  if (nameless === 0) {
    return new ContentError('BLOB_NOT_FOUND', `${archive.location} has no image`, {
      hint: 'Have it written again, with the images that are wanted.',
    });
  }
  return invalidConfig(`no image of ${archive.location} has a name`, {
    hint: 'Give it one: landfall load --name REF.',
  });
}

export interface LoadedImage extends LoadedFromArchive {
  /** Canonical. */
  readonly name: string;
  /** Absent where it was not unpacked. */
  readonly unpacked: UnpackedPresent | undefined;
}

export interface LoadedImages {
  readonly archive: string;
  readonly format: ArchiveFormat;
  readonly images: readonly LoadedImage[];
}

/** As docs/json-output.md has it. */
export function loadedJson({ archive, format, images }: LoadedImages): object {
  return { archive, format, images: images.map(imageJson) };
}

export function renderLoaded({ archive, images }: LoadedImages, options: TableOptions): string {
  return `${renderCopies(images, options)}loaded ${countOf(images.length, 'image')} from ${printable(archive)}\n`;
}

/** The missing parts of an image, for people; undefined where nothing is missing. */
export function whatIsAbsent({ missing, leftOut }: LoadedImage): string | undefined {
  const parts = [
    ...(missing.length === 0 ? [] : [`the archive lacks ${omittedNames(missing)}`]),
    ...(leftOut.length === 0 ? [] : [`left out on purpose: ${omittedNames(leftOut)}`]),
  ];
  return parts.length === 0 ? undefined : parts.join('; ');
}

function imageJson({ name, report, unpacked, missing, leftOut }: LoadedImage): object {
  const { target, outcome, referrers, signatures } = report;
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    outcome,
    platform: unpacked && formatPlatform(unpacked.platform),
    chainId: unpacked?.chainId,
    contents: copyCounts(report),
    referrers: referrers.length,
    missing: missing.map(omittedJson),
    leftOut: leftOut.map(omittedJson),
    signatures,
  };
}
