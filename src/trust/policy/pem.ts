const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * The bytes of base64 with its padding and nothing else (RFC 4648, section 4); undefined for what is none,
 * and for nothing at all.
 */
export function decodeBase64(text: string): Buffer | undefined {
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
