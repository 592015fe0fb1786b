import type { ReadMirrorFileOptions } from './form-reader.js';
import { readLandfallForm } from './landfall-form.js';
import type { MirrorFile } from './mirror-file.js';
import { isSkopeoForm, readSkopeoForm } from './skopeo-form.js';
import { YamlText } from './yaml-text.js';

/**
 * Reads a declared set of images: landfall's own form, or skopeo's where the file has its shape.
 *
 * @throws {MirrorFileError} INVALID_CONFIG, with the line of all that is wrong
 */
export function readMirrorFile(text: string, options: ReadMirrorFileOptions): MirrorFile {
  const yaml = new YamlText(options.name, text);
  const file = isSkopeoForm(yaml.value) ? readSkopeoForm(yaml, options) : readLandfallForm(yaml, options);
  if (options.referrers !== false) return file;
  const sources = file.sources.map((source) => ({
    ...source,
    selections: source.selections.map((selection) => ({ ...selection, referrers: undefined })),
  }));
  return { ...file, sources };
}
