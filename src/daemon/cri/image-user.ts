/** Who an image's commands run as (CRI: Image.uid and Image.username, of which one is set at most). */
export interface ImageUser {
  readonly uid?: number;
  readonly username?: string;
}

/**
 * Reads `User` of an image's config (image-spec: config.md): `user`, `uid`, `user:group`, `uid:gid`, `uid:group` or
 * `user:gid`. The group is nobody's concern here.
 */
export function imageUser(user: string | undefined): ImageUser {
  const [name = ''] = (user ?? '').split(':');
  if (name === '') return {};
  const uid = /^\d+$/.test(name) ? Number(name) : undefined;
  return uid !== undefined && Number.isSafeInteger(uid) ? { uid } : { username: name };
}
