import type { UnaryMethod } from '../grpc/calls.js';

export interface RuntimeServiceOptions {
  /** Of this program, as semver. */
  readonly version: string;
  /** Names under which pulls may ask for this node's images, besides none. */
  readonly runtimeHandlers: readonly string[];
}

interface RuntimeCondition {
  readonly type: string;
  readonly status: false;
  readonly reason: string;
  readonly message: string;
}

export interface RuntimeService {
  readonly version: UnaryMethod<object, Readonly<Record<string, string>>>;
  readonly status: UnaryMethod<
    { readonly verbose: boolean },
    {
      readonly status: { readonly conditions: readonly RuntimeCondition[] };
      readonly info?: Readonly<Record<string, string>>;
      readonly runtimeHandlers: readonly { readonly name: string }[];
    }
  >;
}

function condition(type: string, message: string): RuntimeCondition {
  return { type, status: false, reason: 'ImageServiceOnly', message };
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
            condition(
              'RuntimeReady',
              'landfall serves images and runs no containers; give the kubelet another runtime endpoint',
            ),
            condition('NetworkReady', 'landfall serves images and sets up no networks'),
          ],
        },
        runtimeHandlers: ['', ...runtimeHandlers].map((name) => ({ name })),
        ...(verbose ? { info: { version: JSON.stringify({ version, node: process.version }) } } : {}),
      }),
  };
}
