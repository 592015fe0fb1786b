/** Where the page of an image lies. @param name canonical */
export function imagePath(name: string): string {
  return `/images/${encodePath(name)}`;
}

/** Where the list of a repository lies. @param repository `docker.io/library/alpine` */
export function repositoryPath(repository: string): string {
  return `/repositories/${encodePath(repository)}`;
}

function encodePath(text: string): string {
  return text
    .split('/')
    .map((segment) => encodeURIComponent(segment).replaceAll('%3A', ':').replaceAll('%40', '@'))
    .join('/');
}

/** The name in a path below a prefix; undefined for a path elsewhere, or one that is not encoded rightly. */
export function nameInPath(path: string, prefix: string): string | undefined {
  if (!path.startsWith(prefix)) return undefined;
  try {
    return decodeURIComponent(path.slice(prefix.length));
  } catch {
    return undefined;
  }
}
