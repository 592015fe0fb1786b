import { status } from '@grpc/grpc-js';
import {
  type ErrorCode,
  isLandfallError,
  LandfallError,
  RegistryError,
  SpecError,
  TrustError,
} from '../../errors.js';
import type { Credentials } from '../../registry/index.js';
import { type Digest, formatReference } from '../../spec/index.js';
import type { PolicyDirectory } from '../../trust/index.js';
import { type CallContext, StatusError } from '../grpc/calls.js';
import type { KeptCredentials } from '../pulls/credentials.js';
import { nodeReference } from './node-images.js';
import type { Pulls } from '../pulls/pulls.js';
import type { AuthConfig, ImageSpec, PullImageRequest } from './messages.js';

export interface PullImageOptions {
  readonly pulls: Pulls;
  /** Names under which pulls may ask for this node's images, besides none. */
  readonly runtimeHandlers: readonly string[];
  /** Where what a pull came with is kept for a moment. */
  readonly credentials: Pick<KeptCredentials, 'keep'>;
  /** The signature policies of Kubernetes' namespaces; without them the daemon's own holds for all. */
  readonly policies?: Pick<PolicyDirectory, 'forNamespace'> | undefined;
}

/**
 * Pulls an image and answers with its ID (CRI: PullImage), under the signature policy of the namespace whose
 * pod it is for. An image that is here is verified too. Annotations are ignored: they are the pod's.
 *
 * @throws StatusError where the kubelet tells failures apart by their message; INVALID_CONFIG for a runtime
 *   handler that is not known, or credentials that make no sense; as pulling does
 */
export async function pullImage(
  { image: spec, auth, sandboxConfig }: PullImageRequest,
  { signal }: CallContext,
  { pulls, runtimeHandlers, credentials: kept, policies }: PullImageOptions,
): Promise<{ readonly imageRef: string }> {
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
 * A kubelet recognises such a message only where the status is UNKNOWN: with any other, it reads the text
 * that gRPC makes of the error, which begins with the status.
 */
function asKubeletLooksForIt(error: unknown): unknown {
  const prefix = isLandfallError(error) ? prefixOf(error) : undefined;
  if (!isLandfallError(error) || prefix === undefined) return error;
  return new StatusError(status.UNKNOWN, `${prefix}: ${error.message}. ${error.hint}`, error);
}

/**
 * The credentials that a client sends with a pull (CRI: AuthConfig), in the order in which peers look at its
 * fields. Undefined where there are none, or where they are for another registry, which must never see them.
 *
 * @param registry as references name it: `docker.io`, `127.0.0.1:5000`
 * @throws LandfallError INVALID_CONFIG
 */
export function credentialsOf(auth: AuthConfig | null, registry: string): Credentials | undefined {
  if (auth === null || !isFor(auth.serverAddress, registry)) return undefined;
  if (auth.registryToken !== '') return { registryToken: auth.registryToken };
  if (auth.identityToken !== '') return { identityToken: auth.identityToken };
  if (auth.username !== '') return { username: auth.username, password: auth.password };
  if (auth.auth !== '') return decode(auth.auth);
  return undefined;
}

/** What Docker's own files call it. */
const DOCKER_HUB: ReadonlySet<string> = new Set(['index.docker.io', 'registry-1.docker.io', 'docker.io']);

/** @param address a host, or a URL of one as Docker's files have it: `https://index.docker.io/v1/` */
function isFor(address: string, registry: string): boolean {
  if (address === '') return true;
  const [host = ''] = address.replace(/^[a-z]+:\/\//i, '').split('/');
  return host.toLowerCase() === registry || (registry === 'docker.io' && DOCKER_HUB.has(host.toLowerCase()));
}

function decode(auth: string): Credentials {
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) {
    throw new LandfallError(
      'INVALID_CONFIG',
      'the field `auth` of the credentials is not username:password in base64',
      {
        hint: 'Check the secret that the pod pulls with.',
      },
    );
  }
  // Docker pads passwords with zeros.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
}

/**
 * What an image is called in a request (CRI: ImageSpec.image).
 *
 * @throws SpecError INVALID_REFERENCE where it is called nothing
 */
export function nameIn(spec: ImageSpec | null): string {
  if (spec !== null && spec.image !== '') return spec.image;
  throw new SpecError('INVALID_REFERENCE', 'the request names no image');
}
