import type { FormReader } from './form-reader.js';
import type { Connection, PasswordFrom } from './mirror-file.js';
import type { YamlPath } from './yaml-text.js';

export interface RawConnection {
  readonly authFile?: string;
  readonly credentials?: {
    readonly username: string;
    readonly passwordEnv?: string;
    readonly passwordFile?: string;
  };
  readonly tls?: {
    readonly ca?: string;
    readonly insecure?: boolean;
    readonly plainHttp?: boolean;
    readonly clientCert?: { readonly cert: string; readonly key: string };
  };
  readonly limits?: {
    readonly rate?: string | number;
    readonly requestsPerSecond?: number;
    readonly connections?: number;
  };
}

/** How a source or a destination is spoken to. */
export function readConnection(reader: FormReader, raw: RawConnection, where: YamlPath): Connection {
  const { authFile, credentials, tls = {}, limits = {} } = raw;
  if (authFile !== undefined && credentials !== undefined)
    reader.faultAtKey(where, 'credentials', 'authFile and credentials exclude each other');
  const password =
    credentials === undefined ? undefined : passwordOf(reader, credentials, [...where, 'credentials']);
  const { clientCert } = tls;
  return {
    authFile: reader.path(authFile),
    credentials:
      credentials === undefined || password === undefined
        ? undefined
        : { username: credentials.username, password },
    ca: reader.path(tls.ca),
    clientCert:
      clientCert === undefined
        ? undefined
        : { cert: reader.path(clientCert.cert) ?? '', key: reader.path(clientCert.key) ?? '' },
    insecure: tls.insecure,
    plainHttp: tls.plainHttp,
    rate: reader.rate([...where, 'limits', 'rate'], limits.rate),
    requestsPerSecond: limits.requestsPerSecond,
    connections: limits.connections,
  };
}

function passwordOf(
  reader: FormReader,
  { passwordEnv, passwordFile }: NonNullable<RawConnection['credentials']>,
  where: YamlPath,
): PasswordFrom | undefined {
  if (passwordEnv !== undefined && passwordFile === undefined) return { env: passwordEnv };
  const file = reader.path(passwordFile);
  if (file !== undefined && passwordEnv === undefined) return { file };
  reader.fault(where, 'the credentials need either passwordEnv or passwordFile');
  return undefined;
}
