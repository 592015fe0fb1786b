import type { SecretRecord, TestSecret } from './secret-records.js';

/** The fewest characters of a secret: a shorter one would be found in anything. */
export const MIN_SECRET_CHARACTERS = 6;

interface Form {
  readonly secret: TestSecret;
  /** `as it is`, `in base64` */
  readonly how: string;
  readonly text: string;
}

/** One line for each place where a record holds a secret in some form; none of them holds it itself. */
export function findSecrets(records: Iterable<SecretRecord>, secrets: readonly TestSecret[]): string[] {
  const byBeginning = new Map<string, Form[]>();
  for (const form of secrets.flatMap(formsOf)) {
    const beginning = form.text.slice(0, MIN_SECRET_CHARACTERS);
    byBeginning.set(beginning, [...(byBeginning.get(beginning) ?? []), form]);
  }
  const found = new Set<string>();
  for (const { text, source, test } of records) {
    for (let at = 0; at + MIN_SECRET_CHARACTERS <= text.length; at += 1) {
      for (const form of byBeginning.get(text.slice(at, at + MIN_SECRET_CHARACTERS)) ?? []) {
        if (!text.startsWith(form.text, at)) continue;
        const { name, test: owner } = form.secret;
        found.add(`${name} (of ${owner}) is ${form.how} in the ${source} at ${test}`);
      }
    }
  }
  return [...found];
}

function formsOf(secret: TestSecret): Form[] {
  const { value } = secret;
  const asForm = new URLSearchParams({ _: value }).toString().slice(2);
  const percent = [encodeURIComponent(value), encodeURI(value), asForm];
  const texts: [how: string, texts: string[]][] = [
    ['as it is', [value]],
    ['as a quoted string', [JSON.stringify(value).slice(1, -1), value.replace(/[\\']/g, '\\$&')]],
    ['in a URI', [...percent, ...percent.map(withSmallHex)]],
    ['in base64', base64Of(value)],
    ['in base64url', base64Of(value).map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))],
  ];
  const forms = new Map(texts.reverse().flatMap(([how, all]) => all.map((text) => [text, how] as const)));
  return [...forms].map(([text, how]) => ({ secret, how, text }));
}

function withSmallHex(text: string): string {
  return text.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase());
}

/**
 * What base64 of anything that holds the value has in it, such as `user:value`: it depends on where the value
 * begins.
 */
function base64Of(value: string): string[] {
  return [0, 1, 2].map((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(value)]);
    const first = Math.ceil((before * 8) / 6);
    const end = Math.floor((bytes.length * 8) / 6);
    return bytes.toString('base64').slice(first, end);
  });
}
