import { readLandfallForm } from './landfall-form.js';
import type { MirrorFile } from './mirror-file.js';
import { isSkopeoForm, readSkopeoForm } from './skopeo-form.js';
import { YamlText } from './yaml-text.js';

export interface ReadMirrorFileOptions {
  /** As messages are to name it. */
  readonly name: string;
  /** Absolute; what paths in the file are relative to. */
  readonly directory: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Of a file of skopeo's form: whether all platforms come along. Default false. */
  readonly allPlatforms?: boolean | undefined;
}

/**
 * Reads a declared set of images: landfall's own form, or skopeo's where the file has its shape.
 *
 * @throws {MirrorFileError} INVALID_CONFIG, with the line of all that is wrong
 */
export function readMirrorFile(text: string, options: ReadMirrorFileOptions): MirrorFile {
  const { name, directory, now, allPlatforms = false } = options;
  const yaml = new YamlText(name, text);
  return isSkopeoForm(yaml.value)
    ? readSkopeoForm(yaml, { directory, now, allPlatforms })
    : readLandfallForm(yaml, { directory, now });
}
