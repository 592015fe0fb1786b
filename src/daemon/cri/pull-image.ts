import { status } from '@grpc/grpc-js';
import { type ErrorCode, isLandfallError, LandfallError, RegistryError, TrustError } from '../../errors.js';
import { type Digest, formatReference } from '../../spec/index.js';
import type { CallContext } from '../calls.js';
import { StatusError } from '../grpc-status.js';
import type { KeptCredentials } from '../kept-credentials.js';
import { nodeReference } from '../node-images.js';
import type { PolicyDirectory } from '../../trust/index.js';
import type { Pulls } from '../pulls/pulls.js';
import { credentialsOf } from './auth-config.js';
import { nameIn } from './image-spec.js';
import type { PullImageRequest, PullImageResponse } from './messages.js';

export interface PullImageOptions {
  readonly pulls: Pulls;
  /** Names under which pulls may ask for this node's images, besides none. */
  readonly runtimeHandlers: readonly string[];
  /** Where what a pull came with is kept for a moment. */
  readonly credentials: Pick<KeptCredentials, 'keep'>;
  /** The signature policies of Kubernetes' namespaces; absent where the daemon's own is everybody's. */
  readonly policies?: Pick<PolicyDirectory, 'forNamespace'> | undefined;
}

/**
 * Pulls an image and answers with its ID (CRI: PullImage), under the signature policy of the namespace whose pod it is for. One that is here
 * is held against that too. Annotations are not looked at: those that are sent are the pod's.
 *
 * @throws StatusError where the kubelet tells failures apart by their message; INVALID_CONFIG for a runtime handler that is not
 *   known, or credentials that make no sense; as pulling does
 */
export async function pullImage(
  { image: spec, auth, sandboxConfig }: PullImageRequest,
  { signal }: CallContext,
  { pulls, runtimeHandlers, credentials: kept, policies }: PullImageOptions,
): Promise<PullImageResponse> {
  const name = nameIn(spec);
  requireHandler(spec?.runtimeHandler ?? '', runtimeHandlers);
  try {
    const asked = nodeReference(name);
    const reference = formatReference(asked);
    const credentials = credentialsOf(auth, asked.registry);
    if (credentials !== undefined) kept.keep(reference, credentials);
    const policy = await policies?.forNamespace(sandboxConfig?.metadata?.namespace);
    const { imageId } = await pulls.pull({ reference, credentials, policy, signal });
    return { imageRef: imageId satisfies Digest };
  } catch (error) {
    throw asKubeletLooksForIt(error);
  }
}

function requireHandler(asked: string, known: readonly string[]): void {
  if (asked === '' || known.includes(asked)) return;
  throw new LandfallError(
    'INVALID_CONFIG',
    `the runtime handler ${JSON.stringify(asked)} is not known here`,
    {
      hint: 'Name it with --runtime-handler where the daemon is started, if it is to have the same images.',
    },
  );
}

const UNAVAILABLE: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'PROTOCOL']);

/** What a message begins with for a kubelet to know what failed (k8s.io/cri-api: pkg/errors). */
function prefixOf(error: LandfallError): string | undefined {
  // A daemon that is stopping is unavailable too.
  if (error instanceof RegistryError && UNAVAILABLE.has(error.code)) return 'RegistryUnavailable';
  return error instanceof TrustError ? 'SignatureValidationFailed' : undefined;
}

/**
 * A kubelet takes such a message for what it is only where the status is UNKNOWN: of every other one it looks at the text that
 * gRPC makes of it, which begins with the status.
 */
function asKubeletLooksForIt(error: unknown): unknown {
  const prefix = isLandfallError(error) ? prefixOf(error) : undefined;
  if (!isLandfallError(error) || prefix === undefined) return error;
  return new StatusError(status.UNKNOWN, `${prefix}: ${error.message}. ${error.hint}`, error);
}
