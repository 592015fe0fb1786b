import { resolve } from 'node:path';
import { Access, Htpasswd, type RegistryServer, TlsFiles } from '../serve/index.js';
import type { CommandContext } from './command-context.js';
import { messageOf } from './error-facts.js';
import type { ServeFlags } from './serve-plan.js';

/** Who may come in, and how a server shows that it is itself. */
export interface ServeAccess extends Disposable {
  readonly access: Access | undefined;
  readonly tls: TlsFiles | undefined;
  /** Gives a server what is read anew from now on. */
  follow(server: Pick<RegistryServer, 'identify'>): void;
}

/**
 * What the options say of that. Both files are read again when they change, the certificate on SIGHUP too.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export async function openServeAccess(flags: ServeFlags, { log }: CommandContext): Promise<ServeAccess> {
  const { htpasswd, anonymousRead = false, tlsCert, tlsKey } = flags;
  const onError = (error: unknown): void => log.warn(messageOf(error));
  let followed: Pick<RegistryServer, 'identify'> | undefined;
  const users =
    htpasswd === undefined ? undefined : await Htpasswd.open({ file: resolve(htpasswd), onError });
  const tls =
    tlsCert === undefined || tlsKey === undefined
      ? undefined
      : await TlsFiles.open({
          certFile: resolve(tlsCert),
          keyFile: resolve(tlsKey),
          onChange: (identity) => {
            followed?.identify(identity);
            log.info('the certificate was read again');
          },
          onError,
        });
  const reload = (): void => void tls?.reload();
  // Without a certificate the signal means what it always does: the end.
  if (tls !== undefined) process.on('SIGHUP', reload);
  return {
    access: users === undefined ? undefined : new Access({ users, anonymousRead }),
    tls,
    follow: (server) => {
      followed = server;
    },
    [Symbol.dispose]: () => {
      process.off('SIGHUP', reload);
      tls?.[Symbol.dispose]();
    },
  };
}
