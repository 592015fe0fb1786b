import path from 'node:path';
import { FileOutput } from '../../content/index.js';
import { messageOf } from '../output/command-context.js';
import type { Log } from '../output/log.js';
import type { TimedRequest } from './timeline-recorder.js';
import type { Timeline } from './timeline.js';
import { invalidConfig } from '../config/settings.js';

export interface TimelineFileNames {
  readonly trace?: string | undefined;
  readonly timeline?: string | undefined;
}

/**
 * The files that describe a pull. They are opened before it begins, so that it is known whether they can be
 * written at all, and put in their places when it has ended, however it did. To be disposed of in any case.
 */
export class TimelineFiles implements AsyncDisposable {
  readonly #trace: FileOutput | undefined;
  readonly #picture: FileOutput | undefined;

  private constructor(trace: FileOutput | undefined, picture: FileOutput | undefined) {
    this.#trace = trace;
    this.#picture = picture;
  }

  /** @throws {LandfallError} INVALID_CONFIG (no name of a file), FILESYSTEM, NO_SPACE */
  static async open({ trace, timeline }: TimelineFileNames): Promise<TimelineFiles> {
    const [traceFile, pictureFile] = [fileOf('--trace', trace), fileOf('--timeline', timeline)];
    if (traceFile !== undefined && traceFile === pictureFile) {
      throw invalidConfig('--trace and --timeline name the same file', {
        hint: 'Give each a name of its own, such as pull.json and pull.svg.',
      });
    }
    const opened = traceFile === undefined ? undefined : await FileOutput.open(traceFile);
    try {
      return new TimelineFiles(
        opened,
        pictureFile === undefined ? undefined : await FileOutput.open(pictureFile),
      );
    } catch (error) {
      await opened?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  get wantsTrace(): boolean {
    return this.#trace !== undefined;
  }

  /** Writes both. A file that cannot be written is a warning: the pull itself is done. */
  async write(timeline: Timeline, requests: readonly TimedRequest[], log: Pick<Log, 'warn'>): Promise<void> {
    await written(this.#trace, log, async () =>
      (await import('./render-trace.js')).renderTrace(timeline, requests),
    );
    await written(this.#picture, log, async () =>
      (await import('./render-timeline.js')).renderTimeline(timeline),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#trace?.[Symbol.asyncDispose]();
    await this.#picture?.[Symbol.asyncDispose]();
  }
}

async function written(
  output: FileOutput | undefined,
  log: Pick<Log, 'warn'>,
  render: () => Promise<string>,
): Promise<void> {
  if (output === undefined) return;
  try {
    await output.write(Buffer.from(await render()));
    await output.finish();
  } catch (error) {
    log.warn(messageOf(error));
  }
}

function fileOf(option: string, name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (name !== '-' && name !== '') return path.resolve(name);
  throw invalidConfig(`${option} takes the name of a file`, {
    hint: 'Standard output has what the pull answers; write it to a file.',
  });
}
