import type { Credentials } from '../auth/credentials.js';
import type { RewriteRule } from './host-config.js';
import type { TomlTable } from '../../formats/toml-table.js';

/** What landfall adds to a host's fields. */
export interface LandfallFields {
  /** `file` is the absolute path of a credentials file in docker's form. */
  readonly credentials: 'own' | 'upstream' | 'none' | Credentials | { readonly file: string };
  readonly rewrite: readonly RewriteRule[];
  readonly maxConnections: number | undefined;
  readonly requestsPerSecond: number | undefined;
}

/**
 * Reads a host's table `landfall`.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function readLandfallFields(
  table: TomlTable | undefined,
  asPath: (path: string) => string,
  onWarning: (text: string) => void,
): LandfallFields {
  if (table === undefined) {
    return { credentials: 'own', rewrite: [], maxConnections: undefined, requestsPerSecond: undefined };
  }
  const fields: LandfallFields = {
    credentials: readCredentials(table, asPath, onWarning),
    rewrite: readRewrite(table.table('rewrite')),
    maxConnections: table.positive('max_connections', true),
    requestsPerSecond: table.positive('requests_per_second', false),
  };
  for (const text of table.unknownKeys()) onWarning(text);
  return fields;
}

const CREDENTIALS_HINT =
  'Write "own", "upstream", "none", or a table with username and password, identitytoken, registrytoken or file.';

function readCredentials(
  table: TomlTable,
  asPath: (path: string) => string,
  onWarning: (text: string) => void,
): LandfallFields['credentials'] {
  const value = table.get('credentials');
  if (value === undefined) return 'own';
  if (value === 'own' || value === 'upstream' || value === 'none') return value;
  const given = typeof value === 'string' ? undefined : table.table('credentials');
  if (given === undefined) {
    throw table.fault('credentials', 'is none of "own", "upstream" and "none"', { hint: CREDENTIALS_HINT });
  }
  const [found, ...more] = credentialsOf(given, asPath);
  if (found === undefined || more.length > 0) {
    const what = found === undefined ? 'has neither a pair nor a token nor a file' : 'has more than one kind';
    throw table.fault('credentials', what, { hint: CREDENTIALS_HINT });
  }
  for (const text of given.unknownKeys()) onWarning(text);
  return found;
}

function credentialsOf(table: TomlTable, asPath: (path: string) => string): LandfallFields['credentials'][] {
  const username = nonEmpty(table, 'username');
  const password = nonEmpty(table, 'password');
  const identityToken = nonEmpty(table, 'identitytoken');
  const registryToken = nonEmpty(table, 'registrytoken');
  const file = nonEmpty(table, 'file');
  if ((username === undefined) !== (password === undefined)) {
    const missing = username === undefined ? 'username' : 'password';
    throw table.fault(missing, 'is missing', { hint: CREDENTIALS_HINT });
  }
  return [
    ...(username === undefined || password === undefined ? [] : [{ username, password }]),
    ...(identityToken === undefined ? [] : [{ identityToken }]),
    ...(registryToken === undefined ? [] : [{ registryToken }]),
    ...(file === undefined ? [] : [{ file: asPath(file) }]),
  ];
}

function nonEmpty(table: TomlTable, key: string): string | undefined {
  const text = table.string(key);
  if (text === '') throw table.fault(key, 'is empty');
  return text;
}

function readRewrite(rules: TomlTable | undefined): readonly RewriteRule[] {
  return (rules?.keys() ?? []).flatMap((expression) => {
    const replacement = rules?.string(expression);
    if (rules === undefined || replacement === undefined) return [];
    try {
      return [parseRewriteRule(expression, replacement)];
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause;
      throw rules.fault(expression, `is no rule for rewriting: ${cause.message}`, {
        cause,
        hint: 'Write a regular expression of JavaScript, and a replacement with $1 for its first group.',
      });
    }
  });
}

/** What Go's expressions can and JavaScript's would take for something else. */
const ONLY_IN_GO = /\\[AzQECpP]|\[\[:|\(\?[imsU-]+[:)]/;

/**
 * A rule as k3s's registries.yaml writes it: a regular expression, and a replacement in which `$1`, `${1}` and `${name}`
 * stand for what its groups matched and `$$` for a dollar sign.
 *
 * @throws {SyntaxError} what is wrong, in words
 */
function parseRewriteRule(expression: string, template: string): RewriteRule {
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
