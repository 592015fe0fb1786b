import { Socket } from 'node:net';

import type { buildConnector, Dispatcher } from 'undici';

import { proxyAuthorization } from './proxy.js';
import { ProxyFailure } from './proxy-failure.js';

export interface TunnelOptions {
  readonly proxy: URL;
  /** Leads to the proxy. */
  readonly toProxy: Dispatcher;
  /** Makes a connection of TLS over one that stands. */
  readonly inTunnel: buildConnector.connector;
}

/** Connects to https origins through a proxy (RFC 9110, 9.3.6). Where the proxy is at fault it fails with {@link ProxyFailure}. */
export function tunnelConnector({ proxy, toProxy, inTunnel }: TunnelOptions): buildConnector.connector {
  const authorization = proxyAuthorization(proxy);
  const connect = async (target: string): Promise<Socket> => {
    const headers = {
      host: target,
      ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }),
    };
    const { socket, statusCode } = await toProxy.connect({ origin: proxy.origin, path: target, headers });
    if (statusCode >= 200 && statusCode < 300 && socket instanceof Socket) return socket;
    socket.on('error', () => undefined);
    socket.destroy();
    throw new ProxyFailure(proxy, { status: statusCode });
  };
  return (to, callback) => {
    connect(`${to.hostname}:${to.port === '' ? '443' : to.port}`).then(
      (socket) => inTunnel({ ...to, httpSocket: socket }, callback),
      (error: unknown) => {
        callback(error instanceof ProxyFailure ? error : new ProxyFailure(proxy, { cause: error }), null);
      },
    );
  };
}
