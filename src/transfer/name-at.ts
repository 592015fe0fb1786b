/** How a person writes what a repository calls by a tag or a digest. */
export function nameAt({ name, location }: { name: string; location: string }, tagOrDigest: string): string {
  if (name === '' && tagOrDigest === '') return location;
  return `${location}${tagOrDigest.includes(':') && name !== '' ? '@' : ':'}${tagOrDigest}`;
}
