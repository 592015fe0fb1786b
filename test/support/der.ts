/*
 * Just enough of DER (X.690) to write a certificate.
 */

/** A value with its tag and length. */
export function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

export const sequence = (...items: Uint8Array[]): Buffer => der(0x30, ...items);
/** Its value in bytes, or as it is written: `2.5.29.17`. */
export const objectId = (...bytes: number[] | [string]): Buffer =>
  der(0x06, Buffer.from(bytes.flatMap((part) => (typeof part === 'string' ? encodedId(part) : [part]))));
export const bitString = (bytes: Uint8Array, unused = 0): Buffer => der(0x03, Buffer.from([unused]), bytes);
export const octets = (content: Uint8Array): Buffer => der(0x04, content);
export const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text));
export const utcTime = (date: Date): Buffer =>
  der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
export const TRUE: Buffer = der(0x01, Buffer.from([0xff]));

/** PEM. */
export function pemOf(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

function encodedId(text: string): number[] {
  const [first = 0, second = 0, ...others] = text.split('.').map(Number);
  return [first * 40 + second, ...others].flatMap((arc) => {
    const bytes = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) bytes.unshift((rest & 0x7f) | 0x80);
    return bytes;
  });
}
