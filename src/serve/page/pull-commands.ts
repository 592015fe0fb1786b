import { familiarReference, type Reference } from '../../spec/index.js';
import { html, type Html } from './html.js';

/** How clients reach this server. */
export interface ServerAddress {
  /** `mirror.lan:5000`, as the client itself has it. */
  readonly host: string;
  /** Whether it speaks TLS. */
  readonly secure: boolean;
}

/**
 * A host with or without a port: what a client says it has asked, and what may be shown as part of a command.
 */
const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

/** What stands for the host where the client did not say it in a form that can be used. */
const PLACEHOLDER = 'MIRROR';

/** @param header `Host` of a request */
export function serverAddress(header: string | undefined, secure: boolean): ServerAddress {
  return { host: header !== undefined && HOST.test(header) ? header : PLACEHOLDER, secure };
}

/** The commands that pull an image from this server, by the tool. */
export function pullCommands(reference: Reference, { host, secure }: ServerAddress): readonly string[] {
  const path = pathHere(reference);
  if (path === undefined) return [];
  const name = `${host}/${path}`;
  const plain = secure || isLoopback(host) ? '' : '--plain-http ';
  return [`landfall pull ${plain}${name}`, `docker pull ${name}`, `crictl pull ${name}`];
}

/** The list of these commands, each with a button to copy it. */
export function commandList(reference: Reference, address: ServerAddress): Html {
  const commands = pullCommands(reference, address);
  const note = html`<li class="note">
    Names with the port of a registry can be pulled where this mirror is configured in hosts.toml:
  </li>`;
  const shown = commands.length > 0 ? commands : [`landfall pull ${familiarReference(reference)}`];
  return html`<ul class="commands">
    ${commands.length > 0 ? undefined : note}
    ${shown.map(
      (command) =>
        html`<li class="command">
          <code>${command}</code
          ><button type="button" class="copy" hidden aria-label="Copy ${command}">Copy</button>
        </li>`,
    )}
  </ul>`;
}

/** How the image is named at this server; undefined where clients cannot write that. */
function pathHere(reference: Reference): string | undefined {
  // A path may hold a host with dots, and no colon.
  return reference.registry.includes(':') ? undefined : familiarReference(reference);
}

function isLoopback(host: string): boolean {
  return /^(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(?::\d+)?$/.test(host);
}
