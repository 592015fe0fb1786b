import { isAbsolute } from 'node:path';

import { quoted } from '../../spec/index.js';
import { decodeBase64 } from './decode-base64.js';
import type { JsonField } from './json-tree.js';
import { itemsOf, stringOf } from './policy-object.js';
import type { PolicyText } from './policy-text.js';
import type { PolicyBytes } from './requirement.js';

/** What a field names or holds: `…Path` one file, `…Data` the bytes of one, and with an s at the end a list of such. */
export function policyBytesOf(text: PolicyText, field: JsonField): readonly PolicyBytes[] {
  const fields = field.key.endsWith('s')
    ? itemsOf(text, field).map((value) => ({ ...field, value }))
    : [field];
  const read = /Paths?$/.test(field.key) ? pathOf : dataOf;
  return fields.map((one) => read(text, one));
}

/**
 * Peers take a path that is not absolute from wherever the program was started. That would let whoever chooses the directory, of a
 * checkout say, choose the keys.
 */
function pathOf(text: PolicyText, field: JsonField): PolicyBytes {
  const path = stringOf(text, field);
  const { offset } = field.value;
  if (!isAbsolute(path)) {
    const what = `${quoted(field.key)} has to be an absolute path, which ${quoted(path)} is not: it would name other files wherever landfall is started`;
    throw text.fault(offset, what);
  }
  if (path.includes('\0')) throw text.fault(offset, `${quoted(field.key)} has a NUL, which no path can have`);
  return { path, line: text.lineOf(offset) };
}

/** With nothing between the letters but the line breaks that tools put there. */
function dataOf(text: PolicyText, field: JsonField): PolicyBytes {
  const data = decodeBase64(stringOf(text, field).replace(/[\r\n]/g, ''));
  const { offset } = field.value;
  if (data === undefined) throw text.fault(offset, `${quoted(field.key)} has to be base64, with its padding`);
  return { data, line: text.lineOf(offset) };
}
