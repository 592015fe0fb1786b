/** Whether a repository's name is a pattern. No name has one of these characters. */
export function isGlob(text: string): boolean {
  return /[*?]/.test(text);
}

/** A pattern of repositories' names: `*` and `?` stay within a component, `**` does not. */
export function repositoryGlob(pattern: string): (name: string) => boolean {
  const source = pattern.replace(/\*\*|[*?]|[^*?]+/g, (part) => {
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    return part.replace(/[.+^${}()|[\]\\/-]/g, '\\$&');
  });
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name);
}
