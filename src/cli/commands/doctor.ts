import { resolve } from 'node:path';
import { checkContainerd, type ContainerdReport } from '../../daemon/index.js';
import { diagnose, type DiagnosedCapability } from '../../engine/upkeep/doctor.js';
import type { HostConfig } from '../../registry/index.js';
import { formatSize, parseReference } from '../../spec/index.js';
import { probeSystem } from '../../system/index.js';
import type { FoundPolicy } from '../../trust/index.js';
import { answer, type CommandContext, type CommandResult, messageOf } from '../output/command-context.js';
import { printable, renderTable } from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { foundPolicy } from '../images/with-store.js';
import { tableWidth } from '../output/terminal.js';

export interface DoctorFlags {
  /** A reference, of which only the registry matters. */
  readonly hosts?: string;
  /** The path of containerd's configuration; true for the usual one. */
  readonly containerd?: string | true;
}

const CONTAINERD_CONFIG = '/etc/containerd/config.toml';
/** Something is missing. */
const INCOMPLETE = 1;

export async function doctorCommand(flags: DoctorFlags, context: CommandContext): CommandResult {
  if (flags.hosts !== undefined) return await showHosts(flags.hosts, context);
  if (flags.containerd !== undefined) return await showContainerd(flags.containerd, context);
  const diagnosis = await diagnose(context.settings.root);
  const signaturePolicy = await policyInfo(context);
  const configFiles = (context.configuration?.places ?? []).filter(({ isThere }) => isThere);
  const info = {
    ...diagnosis,
    signaturePolicy: signaturePolicy ?? null,
    configFiles: configFiles.map(({ path, scope }) => ({ path, scope })),
  };
  answer(context, info, () => {
    const { node, platform, root, freeBytes, capabilities } = diagnosis;
    const table = capabilityTable(capabilities, tableWidth(context.stdout, context.env));
    const machine = `node ${node}, ${platform}; store ${printable(root)}, ${formatSize(freeBytes)} free`;
    const files = configFiles.map(({ path }) => path).join(', ') || 'no file';
    const configuration = `configuration: ${printable(files)}; see landfall config`;
    return `${machine}\n${configuration}\n${printable(policyLine(signaturePolicy))}\n\n${table}${remedies(capabilities)}`;
  });
  return 0;
}

/** Consequences that a terminal has no room for stand below, for missing capabilities only. */
function capabilityTable(capabilities: readonly DiagnosedCapability[], width: number | undefined): string {
  const columns = [
    { title: 'CAPABILITY' },
    { title: 'HERE' },
    { title: 'DETAIL', shrinks: true },
    { title: 'WITHOUT IT' },
  ];
  const rows = capabilities.map(({ name, available, detail, without }) => [
    name,
    available ? 'yes' : 'no',
    detail,
    without,
  ]);
  const whole = renderTable(columns, rows);
  if (width === undefined || whole.split('\n').every((line) => line.length <= width)) return whole;
  const missing = capabilities.filter(({ available }) => !available);
  const consequences = missing.map(({ name, without }) => `without ${name}: ${printable(without)}\n`);
  const narrow = renderTable(
    columns.slice(0, -1),
    rows.map((row) => row.slice(0, -1)),
    { width },
  );
  return consequences.length === 0 ? narrow : `${narrow}\n${consequences.join('')}`;
}

/** The remedies for missing capabilities, each once where it serves several. */
function remedies(capabilities: readonly DiagnosedCapability[]): string {
  const byHint = new Map<string, string[]>();
  for (const { name, hint } of capabilities) {
    if (hint !== undefined) byHint.set(hint, [...(byHint.get(hint) ?? []), name]);
  }
  const lines = [...byHint].map(([hint, names]) => `${names.join(', ')}: ${printable(hint)}\n`);
  return lines.length === 0 ? '' : `\n${lines.join('')}`;
}

/** The requirements on images before they are used. */
interface PolicyInfo {
  readonly file: string;
  readonly origin: FoundPolicy['origin'];
  readonly asks: 'nothing' | 'something' | 'everything is refused';
  /** Why it cannot be understood. */
  readonly error?: string;
}

async function policyInfo(context: CommandContext): Promise<PolicyInfo | undefined> {
  const found = await foundPolicy(context);
  if (found === undefined) return undefined;
  const { file, origin } = found;
  try {
    const asks = (await file.acceptsEverything()) ? 'nothing' : 'something';
    return { file: file.path, origin, asks };
  } catch (error) {
    return { file: file.path, origin, asks: 'everything is refused', error: messageOf(error) };
  }
}

function policyLine(info: PolicyInfo | undefined): string {
  if (info === undefined) return 'signatures: there is no policy, so every image is accepted; see --policy';
  const { file, asks, error } = info;
  if (error !== undefined) return `signatures: every image is refused: ${error}`;
  return asks === 'nothing'
    ? `signatures: ${file} accepts every image`
    : `signatures: ${file} says which are needed`;
}

/** The lines that a containerd's configuration lacks for landfall to be its snapshotter. */
async function showContainerd(file: string | true, context: CommandContext): CommandResult {
  const report = await checkContainerd(file === true ? CONTAINERD_CONFIG : resolve(file), {
    root: context.settings.root,
    idMappedMounts: (await probeSystem(context.settings.root)).idMappedMounts,
  });
  answer(context, report, () => renderContainerd(report));
  return report.complete ? 0 : INCOMPLETE;
}

/** The hosts that would be asked for content of a registry, in that order. No request is made. */
async function showHosts(text: string, context: CommandContext): CommandResult {
  const { registry } = parseReference(text.replace(/^docker:\/\//, ''));
  await using client = await openRegistry(context, [text]);
  const hosts = (await client.hostsOf(registry)).map(infoOf);
  answer(context, { registry, hosts }, () => {
    const table = renderTable(
      [{ title: '#' }, { title: 'HOST' }, { title: 'MAY' }, { title: 'CREDENTIALS' }, { title: 'WHY' }],
      hosts.map(({ url, capabilities, credentials, why }, at) => [
        String(at + 1),
        printable(url),
        capabilities.join(', ') || 'nothing',
        credentials,
        printable(why),
      ]),
    );
    return `${printable(registry)} is asked at:\n\n${table}`;
  });
  return 0;
}

/** Of credentials it is said whose they are, never which. */
function infoOf(host: HostConfig) {
  const { base, role, capabilities, credentials, connection, maxConnections, requestsPerSecond, why } = host;
  return {
    url: `${base.protocol}//${base.host}${base.pathname}`,
    role,
    capabilities: [...capabilities],
    credentials: typeof credentials === 'string' ? credentials : 'configured',
    verified: base.protocol === 'https:' && connection.insecure !== true,
    clientCertificate: (connection.client ?? []).length > 0,
    maxConnections,
    requestsPerSecond,
    why,
  };
}

/** The lines that a containerd's configuration lacks, as they can be put into it. */
export function renderContainerd({ file, version, missing }: ContainerdReport): string {
  if (missing.length === 0) return `${printable(file)} has all that landfall needs as a snapshotter\n`;
  const lines = [`${printable(file)}, of version ${version}, lacks:`];
  let before: string | undefined;
  let keys = new Set<string>();
  for (const { table, line, why, instead } of missing) {
    const key = line.slice(0, line.indexOf(' '));
    // Of a list of tables each has a header of its own.
    if (table !== before || keys.has(key)) {
      lines.push('', ...(table === '' ? [] : [table]));
      keys = new Set();
    }
    keys.add(key);
    before = table;
    lines.push(`# ${why}`);
    if (instead !== undefined)
      lines.push(`# instead of ${printable(instead.line)} (${printable(instead.place)})`);
    lines.push(line);
  }
  return `${lines.join('\n')}\n`;
}
