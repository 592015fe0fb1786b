import type { RewriteRule } from './host-config.js';

/** What Go's expressions can and JavaScript's would take for something else. */
const ONLY_IN_GO = /\\[AzQECpP]|\[\[:|\(\?[imsU-]+[:)]/;

/**
 * A rule as k3s's registries.yaml writes it: a regular expression, and a replacement in which `$1`, `${1}` and `${name}`
 * stand for what its groups matched and `$$` for a dollar sign.
 *
 * @throws {SyntaxError} what is wrong, in words
 */
export function parseRewriteRule(expression: string, template: string): RewriteRule {
  if (ONLY_IN_GO.test(expression)) throw new SyntaxError('uses what only the expressions of Go have');
  const source = expression.replaceAll('(?P<', '(?<');
  const pattern = new RegExp(source, 'g');
  // An alternative that matches the empty text tells what groups there are.
  const groups = new RegExp(`${source}|`).exec('');
  const names = new Set(Object.keys(groups?.groups ?? {}));
  const replacement = template.replace(
    /\$(?:\$|\{(\w+)\}|(\w+))?/g,
    (dollar: string, braced: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare;
      if (name === undefined) return '$$';
      if (names.has(name)) return `$<${name}>`;
      const number = /^\d{1,2}$/.test(name) ? Number(name) : Infinity;
      if (number === 0) return '$&';
      if (number >= (groups?.length ?? 0)) {
        throw new SyntaxError(`has no group for ${dollar}; write \${1}a where a letter follows`);
      }
      return `$${String(number).padStart(2, '0')}`;
    },
  );
  return { pattern, replacement };
}
