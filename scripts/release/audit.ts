import is from '@sindresorhus/is';

/**
 * A finding that is known, and why it does no harm here. They stand in `scripts/release/audit-allowed.json`.
 */
export interface AllowedAdvisory {
  /** `GHSA-…` */
  readonly advisory: string;
  readonly reason: string;
}

/** What `npm audit` found, beside what is known. */
export type AuditOutcome =
  | { readonly offered: false; readonly why: string }
  | {
      readonly offered: true;
      /** A line each. */
      readonly unexplained: readonly string[];
      readonly explained: readonly string[];
      /** What is explained and not found any more: the explanation can go. */
      readonly obsolete: readonly string[];
    };

/** What a registry answers that has no such service. */
const NOT_OFFERED: ReadonlySet<unknown> = new Set([400, 404, 405, 410, 501]);

/**
 * @param json what `npm audit --json` printed
 * @throws Error where the registry has the service and did not answer
 */
export function judgeAudit(json: string, allowed: readonly AllowedAdvisory[]): AuditOutcome {
  const report: unknown = JSON.parse(json);
  if (!is.plainObject(report)) throw new Error('npm audit printed something else than a report');
  const { vulnerabilities, statusCode, message } = report;
  if (!is.plainObject(vulnerabilities)) {
    const why = is.string(message)
      ? message.replace(/https?:\/\/\S+/g, 'the registry')
      : 'it gives no reason';
    if (NOT_OFFERED.has(statusCode)) return { offered: false, why };
    throw new Error(`npm audit failed: ${why}`);
  }
  const found = new Map(Object.values(vulnerabilities).flatMap(advisoriesOf));
  const reasons = new Map(allowed.map(({ advisory, reason }) => [advisory, reason]));
  const lines = [...found];
  return {
    offered: true,
    unexplained: lines.filter(([id]) => !reasons.has(id)).map(([id, title]) => `${id}: ${title}`),
    explained: lines.filter(([id]) => reasons.has(id)).map(([id]) => `${id}: ${reasons.get(id) ?? ''}`),
    obsolete: [...reasons.keys()].filter((id) => !found.has(id)),
  };
}

/**
 * The advisories behind what is said of one package; a package that only uses such a one has none of its own.
 */
function advisoriesOf(vulnerability: unknown): (readonly [id: string, title: string])[] {
  if (!is.plainObject(vulnerability) || !is.array(vulnerability['via'])) return [];
  return vulnerability['via'].filter(is.plainObject).map((via) => {
    const { url, name, title, severity } = via;
    const id = /GHSA-[\w-]+/.exec(String(url))?.[0] ?? String(via['source']);
    return [id, `${String(name)}: ${String(title)} (${String(severity)})`] as const;
  });
}

/** @throws Error where the file says it otherwise, or gives no reason */
export function parseAllowed(text: string): readonly AllowedAdvisory[] {
  const json: unknown = JSON.parse(text);
  if (!is.array(json)) throw new Error('the explained advisories are no list');
  return json.map((entry) => {
    if (!is.plainObject(entry)) throw new Error('an explained advisory is no object');
    const { advisory, reason } = entry;
    if (!is.nonEmptyString(advisory) || !is.nonEmptyString(reason))
      throw new Error('an explained advisory needs "advisory" and "reason"');
    return { advisory, reason };
  });
}
