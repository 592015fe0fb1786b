export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** In characters: bcrypt looks at 72 bytes of a password, and nobody has a name of this length. */
const LONGEST = 4096;

/**
 * What an `Authorization` header of the Basic scheme holds (RFC 7617). `none` also where both parts are empty, which some
 * clients send when they know no credentials.
 */
export function readBasic(header: string | undefined): BasicCredentials | 'none' | 'unreadable' {
  if (header === undefined) return 'none';
  const encoded = header.length > LONGEST ? undefined : /^basic +([a-z0-9+/_-]+=*)\s*$/i.exec(header)?.[1];
  if (encoded === undefined) return 'unreadable';
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (text === ':') return 'none';
  return colon === -1 ? 'unreadable' : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
