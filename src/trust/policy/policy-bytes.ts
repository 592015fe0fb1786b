import { isAbsolute } from 'node:path';
import { quoted } from '../../spec/index.js';
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

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The bytes of base64 with its padding and nothing else (RFC 4648, section 4); undefined for what is none, and for nothing at all. */
function decodeBase64(text: string): Buffer | undefined {
  return text !== '' && BASE64.test(text) ? Buffer.from(text, 'base64') : undefined;
}

/** One block of a PEM file (RFC 7468). */
export interface PemBlock {
  /** `PUBLIC KEY`, `CERTIFICATE` */
  readonly label: string;
  readonly der: Buffer;
}

const BLOCK =
  /-----BEGIN ([A-Z0-9 ]{1,40})-----[ \t]*\r?\n([A-Za-z0-9+/=\s]*?)-----END \1-----[ \t]*(?:\r?\n|$)/g;

export interface PemFile {
  readonly blocks: readonly PemBlock[];
  /** What stands before, between and after the blocks. */
  readonly rest: string;
}

/** The blocks of a PEM file; undefined where something in it begins or ends like a block and is none. */
export function readPem(bytes: Buffer): PemFile | undefined {
  // Whatever else may stand around the blocks, their own letters are ASCII.
  const text = bytes.toString('latin1');
  const blocks: PemBlock[] = [];
  for (const [, label = '', body = ''] of text.matchAll(BLOCK)) {
    const der = decodeBase64(body.replace(/\s/g, ''));
    if (der === undefined) return undefined;
    blocks.push({ label, der });
  }
  const rest = text.replace(BLOCK, '').trim();
  return rest.includes('-----') ? undefined : { blocks, rest };
}
