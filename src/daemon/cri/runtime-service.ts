import type { UnaryMethod } from '../grpc/calls.js';
import type { StatusRequest, StatusResponse, VersionRequest, VersionResponse } from './messages.js';

export interface RuntimeServiceOptions {
  /** Of this program, as semver. */
  readonly version: string;
  /** Names under which pulls may ask for this node's images, besides none. */
  readonly runtimeHandlers: readonly string[];
}

export interface RuntimeService {
  readonly version: UnaryMethod<VersionRequest, VersionResponse>;
  readonly status: UnaryMethod<StatusRequest, StatusResponse>;
}

const API_VERSION = 'v1';
/** Of the kubelet's runtime API: the only one that there has ever been. */
const KUBELET_API_VERSION = '0.1.0';

/** As much of the runtime service as a client needs to connect to an image service (CRI: RuntimeService). */
export function runtimeService({ version, runtimeHandlers }: RuntimeServiceOptions): RuntimeService {
  return {
    version: () =>
      Promise.resolve({
        version: KUBELET_API_VERSION,
        runtimeName: 'landfall',
        runtimeVersion: version,
        runtimeApiVersion: API_VERSION,
      }),
    status: ({ verbose }) =>
      Promise.resolve({
        status: {
          conditions: [
            {
              type: 'RuntimeReady',
              status: false,
              reason: 'ImageServiceOnly',
              message:
                'landfall serves images and runs no containers; give the kubelet another runtime endpoint',
            },
            {
              type: 'NetworkReady',
              status: false,
              reason: 'ImageServiceOnly',
              message: 'landfall serves images and sets up no networks',
            },
          ],
        },
        runtimeHandlers: ['', ...runtimeHandlers].map((name) => ({ name })),
        ...(verbose ? { info: { version: JSON.stringify({ version, node: process.version }) } } : {}),
      }),
  };
}
